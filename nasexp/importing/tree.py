"""Finds what there is in a folder of the old scripts. Reads only."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nasexp.archives.names import shown
from nasexp.config.units import Size
from nasexp.errors import UsageError
from nasexp.runs.paths import run_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nasexp.config.workspace import Workspace

GLOBAL_CONFIG = "auto_runner.config"
SCRIPTS = frozenset(
    {GLOBAL_CONFIG, "auto_runner.sh", "server_runner.sh", "local_runner.sh", "scripts"}
)
"""What the old folder holds beside projects; nasexp does all of it itself."""


@dataclass(frozen=True, slots=True)
class OldProject:
    """A project of the old folder.

    Attributes:
        name: its folder's name.
        folder: where it lies.
        runs: number and folder of each `results/run_N`, in order.
        left: what else lies there and stays there, by its path in the old folder.
    """

    name: str
    folder: Path
    runs: tuple[tuple[int, Path], ...]
    left: tuple[str, ...]

    @property
    def config(self) -> Path:
        """`NAME.config`; it may be missing."""
        return self.folder / f"{self.name}.config"

    @property
    def code(self) -> Path:
        """`bin/`; it may be missing."""
        return self.folder / "bin"

    def place(self, path: str) -> str:
        """Return a path for people, relative to the old folder where it lies in this project."""
        inside = Path(path).is_relative_to(self.folder)
        return shown(str(Path(path).relative_to(self.folder.parent)) if inside else path)


@dataclass(frozen=True, slots=True)
class OldTree:
    """The folder of the old scripts.

    Attributes:
        root: where it lies.
        projects: the projects in it, by name.
        left: what belongs to no project.
        unreadable: names that cannot be looked into, each with the reason.
    """

    root: Path
    projects: tuple[OldProject, ...]
    left: tuple[str, ...]
    unreadable: dict[str, str]

    @property
    def config(self) -> Path:
        """`auto_runner.config`; it may be missing."""
        return self.root / GLOBAL_CONFIG


@dataclass(frozen=True, slots=True)
class Measure:
    """How much would be copied, and what cannot be: pipes, sockets, devices."""

    size: Size
    special: tuple[str, ...] = ()


def find_tree(folder: str, workspace: Workspace) -> OldTree:
    """Look through a folder.

    Raises:
        UsageError: there is no such folder, it is none of the old scripts, or the import would
            have to write into it.
    """
    root = Path(folder).expanduser().resolve()
    if not root.is_dir():
        what = "is no folder" if root.exists() else "is missing"
        raise UsageError(f"{shown(str(root))} {what}", hint="name the folder of the bash scripts")
    try:
        names = sorted(entry.name for entry in os.scandir(root) if not _is_hidden(entry.name))
    except OSError as error:
        raise UsageError(f"{shown(str(root))} cannot be read: {error.strerror}") from error
    _refuse_own(root, workspace)
    found, unreadable = _projects(root, names)
    if not _has_scripts(root) and not any(project.config.is_file() for project in found):
        raise _no_tree(root)
    taken = {project.name for project in found} | SCRIPTS | set(unreadable)
    left = tuple(_marked(root / name) for name in names if name not in taken)
    return OldTree(root, tuple(found), left, unreadable)


def measure(folders: list[Path]) -> Measure:
    """Add up what lies in some folders. Raises OSError where one cannot be read."""
    size_bytes = 0
    special = []
    for entry in (entry for folder in folders for entry in _walk(folder)):
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            size_bytes += status.st_size
        elif is_special(status.st_mode):
            special.append(entry.path)
    return Measure(Size(size_bytes), tuple(special))


def is_special(mode: int) -> bool:
    """Whether something is neither a file nor a folder nor a link."""
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    folders = [os.fspath(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)


def _refuse_own(root: Path, workspace: Workspace) -> None:
    """Refuse a folder that the import itself would change."""
    own, projects = workspace.root.resolve(), (workspace.root / "projects").resolve()
    if own.is_relative_to(root) or projects.is_relative_to(root):
        raise UsageError(
            f"the workspace {shown(str(own))} lies in that folder, and nothing there is changed",
            hint="make a workspace beside it, `nasexp init DIR`, and import from there",
        )
    if root.is_relative_to(projects):
        raise UsageError(
            f"{shown(str(root))} lies among the projects of the workspace",
            hint="name the folder of the bash scripts, outside of projects/",
        )


def _has_scripts(root: Path) -> bool:
    return any((root / name).is_file() for name in (GLOBAL_CONFIG, "auto_runner.sh"))


def _no_tree(root: Path) -> UsageError:
    message = f"{shown(str(root))} is no folder of the bash scripts"
    if (root / f"{root.name}.config").is_file():
        return UsageError(f"{message}, but one project", hint=f"name {shown(str(root.parent))}")
    return UsageError(
        f"{message}: it has no {GLOBAL_CONFIG}, no auto_runner.sh and no NAME/NAME.config",
        hint="name the folder that holds them",
    )


def _is_hidden(name: str) -> bool:
    # Synology keeps its index in @eaDir, and what was deleted in #recycle.
    return name.startswith((".", "@", "#"))


def _projects(root: Path, names: list[str]) -> tuple[list[OldProject], dict[str, str]]:
    found: list[OldProject] = []
    unreadable: dict[str, str] = {}
    for name in names:
        try:
            found += [_project(root / name)] if _is_project(root, name) else []
        except OSError as error:
            place = os.path.relpath(error.filename or root / name, root)
            unreadable[name] = f"{shown(place)} cannot be read: {error.strerror}"
    return found, unreadable


def _is_project(root: Path, name: str) -> bool:
    folder = root / name
    if name in SCRIPTS or not folder.is_dir():
        return False
    return (folder / f"{name}.config").is_file() or (folder / "bin").is_dir()


def _project(folder: Path) -> OldProject:
    runs: list[tuple[int, Path]] = []
    left = [
        f"{folder.name}/{_marked(path)}"
        for path in sorted(folder.iterdir())
        if path.name not in {f"{folder.name}.config", "bin", "results"}
    ]
    results = folder / "results"
    for path in sorted(results.iterdir()) if results.is_dir() else ():
        number = run_number(path.name)
        if number is not None and path.is_dir():
            runs.append((number, path))
        else:
            left.append(f"{folder.name}/results/{_marked(path)}")
    return OldProject(folder.name, folder, tuple(sorted(runs)), tuple(left))


def _marked(path: Path) -> str:
    return f"{path.name}/" if path.is_dir() else path.name
