"""Finds the workspace and the projects in it; knows every path there by name."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from nasexp.errors import UsageError

CONFIG_NAME = "nasexp.yaml"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_RULE = "a name has letters, digits, `.`, `_`, `-`, begins with a letter or digit, 64 at most"


def check_name(kind: str, name: str) -> str:
    """Return a name of a project, run or host that is safe in any path; else UsageError."""
    if not NAME_PATTERN.fullmatch(name) or ".." in name:
        raise UsageError(f"{kind} {name!r} is no valid name", hint=NAME_RULE)
    return name


@dataclass(frozen=True, slots=True)
class Project:
    """A folder of `projects/`: settings, plugin, code and results."""

    name: str
    folder: Path

    @property
    def config_file(self) -> Path:
        """`project.yaml`."""
        return self.folder / "project.yaml"

    @property
    def plugin_file(self) -> Path:
        """`plugin.py`, as conftest.py is to pytest."""
        return self.folder / "plugin.py"

    @property
    def code(self) -> Path:
        """`bin/`: all that goes to the host."""
        return self.folder / "bin"

    @property
    def results(self) -> Path:
        """`results/`: a folder for each run."""
        return self.folder / "results"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder with `nasexp.yaml`, `plugins/` and `projects/`."""

    root: Path

    @property
    def config_file(self) -> Path:
        """`nasexp.yaml`."""
        return self.root / CONFIG_NAME

    @property
    def plugins(self) -> Path:
        """Plugin files of this workspace; loaded when they are named."""
        return self.root / "plugins"

    def projects(self) -> list[Project]:
        """Return every project, by name."""
        folder = self.root / "projects"
        names = sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else []
        found = [Project(name, folder / name) for name in names if NAME_PATTERN.fullmatch(name)]
        return [project for project in found if project.folder.is_dir()]

    def project(self, name: str) -> Project:
        """Return a project by name; raises UsageError with the nearest names."""
        check_name("project", name)
        project = Project(name, self.root / "projects" / name)
        if project.folder.is_dir():
            return project
        raise UsageError(f"there is no project '{name}'", hint=self._nearest_projects(name))

    def _nearest_projects(self, name: str) -> str:
        import difflib  # noqa: PLC0415 - only a wrong name pays for it

        names = [project.name for project in self.projects()]
        close = difflib.get_close_matches(name, names, n=3)
        if close:
            return f"did you mean {' or '.join(close)}?"
        if names:
            return f"the projects here are {', '.join(names[:10])}"
        return "make one with `nasexp new NAME`"

    def shown(self, path: Path) -> str:
        """Return a path as messages show it: relative to the workspace where it lies inside."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def find_workspace(given: str = "") -> Workspace:
    """Return the workspace: `given`, else $NASEXP_WORKSPACE, else upwards from here.

    Raises:
        UsageError: there is none; says where it looked.
    """
    named = given or os.environ.get("NASEXP_WORKSPACE", "")
    if named:
        root = Path(named).expanduser().resolve()
        if (root / CONFIG_NAME).is_file():
            return Workspace(root)
        raise UsageError(
            f"{root} is no workspace: it has no {CONFIG_NAME}",
            hint=f"`nasexp init {named}` makes one",
        )
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / CONFIG_NAME).is_file():
            return Workspace(folder)
    raise UsageError(
        f"no workspace: there is no {CONFIG_NAME} in {here} or in any folder above it",
        hint="go to a workspace, name one with --workspace DIR, or make one: nasexp init DIR",
    )
