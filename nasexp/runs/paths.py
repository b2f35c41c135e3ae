"""Every file of a run's folder, and its address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasexp.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from nasexp.config.workspace import Project, Workspace

_RUN_NAME = re.compile(r"run_(0|[1-9][0-9]{0,8})")


def run_number(name: str) -> int | None:
    """Return 3 for `run_3`; None for any other name."""
    match = _RUN_NAME.fullmatch(name)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The folder of one run."""

    folder: Path

    @property
    def info(self) -> Path:
        """`key|value` lines, for people and for old scripts."""
        return self.folder / "run.info"

    @property
    def log(self) -> Path:
        """The console's bytes exactly; its length is where following goes on."""
        return self.folder / "log.log"

    @property
    def archive(self) -> Path:
        """The code that went in."""
        return self.folder / "bin.tar.gz"

    @property
    def config(self) -> Path:
        """The resolved configuration, each value with its origin."""
        return self.folder / "config.yaml"

    @property
    def output(self) -> Path:
        """The newest whole copy of the training's output."""
        return self.folder / "output"

    @property
    def incoming(self) -> Path:
        """Files on their way home; nothing here is whole."""
        return self.folder / ".incoming"

    @property
    def copied(self) -> Path:
        """Digests that were taken while files were copied, until the manifest has them."""
        return self.folder / ".copied"

    @property
    def manifest(self) -> Path:
        """`sha256sum -c` checks the folder with it."""
        return self.folder / "manifest.sha256"

    @property
    def journal(self) -> Path:
        """What was decided and seen."""
        return self.folder / "events.jsonl"

    @property
    def driver(self) -> Path:
        """Locked by the driver for its life."""
        return self.folder / ".driver"

    @property
    def driver_log(self) -> Path:
        """What a driver in the background had to say beside the journal: tracebacks."""
        return self.folder / ".driver.log"

    @property
    def progress(self) -> Path:
        """How far a copy is; a hint for who looks on, worth nothing later."""
        return self.folder / ".progress"

    @property
    def requests(self) -> Path:
        """What people ask of the driver, a file each."""
        return self.folder / ".requests"


def run_folders(project: Project) -> list[tuple[int, Path]]:
    """Return (number, folder) of a project's runs, oldest first."""
    if not project.results.is_dir():
        return []
    found = [(run_number(entry.name), entry) for entry in project.results.iterdir()]
    return sorted((number, path) for number, path in found if number is not None and path.is_dir())


def find_run(workspace: Workspace, address: str, default_project: str = "") -> Path:
    """Return the folder of a run by its address.

    Args:
        workspace: where to look.
        address: `example_proj/run_3`, `run_3` or `3` in the default project, `latest` (of the
            default project, or of all when there is none), `example_proj/latest`.
        default_project: the project meant when the address names none.

    Raises:
        UsageError: there is no such run; says which there are.
    """
    project_name, _, name = address.rpartition("/")
    if name == "latest":
        return _latest(workspace, project_name or default_project)
    name = f"run_{name}" if name.isdigit() else name
    if run_number(name) is None:
        raise UsageError(
            f"'{address}' is no address of a run", hint="write PROJECT/run_3, run_3 or latest"
        )
    if not (project_name or default_project):
        raise UsageError(
            f"'{address}' names no project", hint=f"write PROJECT/{name}, or set `project:`"
        )
    project = workspace.project(project_name or default_project)
    if (project.results / name).is_dir():
        return project.results / name
    known = run_folders(project)
    have = f"{project.name} has run_{known[0][0]} to run_{known[-1][0]}" if known else ""
    raise UsageError(
        f"there is no run {project.name}/{name}", hint=have or f"{project.name} has no runs yet"
    )


def _latest(workspace: Workspace, project_name: str) -> Path:
    projects = [workspace.project(project_name)] if project_name else workspace.projects()
    newest = [run_folders(project)[-1:] for project in projects]
    candidates = [path for found in newest for _, path in found]
    if not candidates:
        raise UsageError("there are no runs yet", hint="start one: nasexp run --project NAME")
    return max(candidates, key=lambda path: path.stat().st_mtime)


def address_of(folder: Path) -> str:
    """Return `example_proj/run_3` for a run's folder."""
    return f"{folder.parent.parent.name}/{folder.name}"
