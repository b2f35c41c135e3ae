"""The commands that begin something: `init` makes a workspace, `new` a project in it."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.cli.program import callable_from_anywhere
from nasexp.errors import NasexpError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

SKELETONS = Path(__file__).parents[1] / "skeletons"
_ABOUT = {
    "nasexp.yaml": "what holds for every project",
    "tasks.py": "makes `invoke` know the tasks of nasexp here",
    ".gitignore": "keeps results out of git",
    "plugins/README.md": "where plugins of your own lie",
    "project.yaml": "the settings of the project",
    "bin/run.sh": "the command that trains",
    "bin/train.py": "a small training; put your own in its place",
}


@command
def init(
    context: CommandContext,
    folder: Annotated[str, Arg("the folder; it may exist already", flag="dir", positional=True)],
) -> None:
    """Make a workspace: a folder with nasexp.yaml, plugins/ and projects/.

    What lies in the folder already stays as it is.
    """
    from nasexp.config.workspace import CONFIG_NAME  # noqa: PLC0415 - as light as the rest here

    root = Path(folder).expanduser().absolute()
    if (root / CONFIG_NAME).exists():
        raise UsageError(f"{root} is a workspace already", hint="make a project: nasexp new NAME")
    try:
        made = list(_fill(root))
    except OSError as error:
        raise NasexpError(f"{error.filename or root} cannot be made: {error.strerror}") from error
    context.print(f"{root} is a workspace now")
    _tell(context, made)
    program = callable_from_anywhere(context.program)
    context.print(f"next: cd {shlex.quote(folder)} && {program} new PROJECT")


@command
def new(
    context: CommandContext,
    project: Annotated[str, Arg("the name of the new project", positional=True)],
) -> None:
    """Make a project that runs at once: settings, and a small training to begin with."""
    from nasexp.config.workspace import check_name  # noqa: PLC0415 - as above

    workspace = context.workspace
    check_name("project", project)
    target = workspace.root / "projects" / project
    if target.exists() or target.is_symlink():
        raise UsageError(
            f"{workspace.shown(target)} is there already", hint="choose another name, or move it"
        )
    try:
        made = _make_whole(target)
    except OSError as error:
        raise NasexpError(f"{error.filename or target} cannot be made: {error.strerror}") from error
    context.print(f"{workspace.shown(target)} is a project now")
    _tell(context, made)
    context.print(f"next: {callable_from_anywhere(context.program)} run --project {project}")


def _fill(root: Path) -> Iterator[str]:
    """Copy the workspace's skeleton, nasexp.yaml last; yield the names of what was made."""
    source = SKELETONS / "workspace"
    names = [name for name in _names(source) if name != "nasexp.yaml"]
    (root / "projects").mkdir(parents=True, exist_ok=True)
    for name in [*names, "nasexp.yaml"]:
        # A packer of wheels may leave out dot files, so it lies here without its dot.
        target = root / (".gitignore" if name == "gitignore" else name)
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, target)
            yield str(target.relative_to(root))


def _make_whole(target: Path) -> list[str]:
    """Copy the project's skeleton under another name, then rename it: all of it or nothing."""
    source = SKELETONS / "project"
    target.parent.mkdir(exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        (part / "project" / "bin").mkdir(parents=True)
        for name in _names(source):
            shutil.copyfile(source / name, part / "project" / name)
        (part / "project" / "bin" / "run.sh").chmod(0o755)
        (part / "project").rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _names(source)


def _names(source: Path) -> list[str]:
    files = [path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return sorted(str(path.relative_to(source)) for path in files)


def _tell(context: CommandContext, made: list[str]) -> None:
    for name in made:
        context.print(f"  {name:18} {_ABOUT.get(name, '')}")
