"""What an import would do, found out before anything is done."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasexp.archives.names import shown
from nasexp.config.units import Size
from nasexp.config.workspace import Project, check_name
from nasexp.errors import NasexpError, StageError, UsageError
from nasexp.importing.bashconfig import BashConfig, read_config
from nasexp.importing.copying import check_room
from nasexp.importing.mapping import Mapped, map_project, map_workspace
from nasexp.importing.tree import Measure, OldProject, OldTree, find_tree, measure
from nasexp.importing.yamltext import Addition, plan_addition
from nasexp.runs.paths import address_of
from nasexp.runs.record import read_record

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from nasexp.config.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PlannedProject:
    """A project that can be taken: from where, to where, with which settings, and how much."""

    old: OldProject
    target: Project
    mapped: Mapped
    measure: Measure

    @property
    def open_runs(self) -> list[str]:
        """The runs that have no end: cut off, or still going on."""
        records = [(read_record(folder), folder) for _, folder in self.old.runs]
        return [address_of(folder) for record, folder in records if record.ended is None]


@dataclass(frozen=True, slots=True)
class Refused:
    """A project that is not taken, and why or what to do."""

    name: str
    reason: str


@dataclass(slots=True)
class Plan:
    """What an import would do."""

    workspace: Workspace
    tree: OldTree
    base: BashConfig
    projects: list[PlannedProject] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def size(self) -> Size:
        """What would be copied, all in all."""
        return Size(sum(project.measure.size.size_bytes for project in self.projects))


def make_plan(workspace: Workspace, folder: str) -> Plan:
    """Look at the old folder and at the workspace; change nothing.

    Raises:
        UsageError: the folder is none of the old scripts.
        ConfigError: nasexp.yaml is broken.
        StageError: auto_runner.config cannot be read, or the disk has not the room.
    """
    tree = find_tree(folder, workspace)
    plan = Plan(workspace, tree, _config(tree.config, tree.config.name))
    plan.refused += [Refused(shown(name), why) for name, why in tree.unreadable.items()]
    for old in tree.projects:
        try:
            plan.projects.append(_plan_project(plan, old))
        except NasexpError as error:
            plan.refused.append(Refused(shown(old.name), told(error)))
    plan_settings(plan, ())  # what is wrong with nasexp.yaml shows here, before anything is made
    if plan.projects:
        check_room(workspace.root / "projects", plan.size)
    return plan


def plan_settings(plan: Plan, projects: Collection[str]) -> tuple[Mapped, Addition]:
    """Return what auto_runner.config becomes, and what of it comes to nasexp.yaml.

    Args:
        plan: of this import.
        projects: the projects that the workspace has, or would have.
    """
    mapped = map_workspace(plan.base, projects)
    return mapped, plan_addition(plan.workspace, mapped.settings)


def told(error: NasexpError) -> str:
    """Return an error in one line."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _config(path: Path, name: str) -> BashConfig:
    return read_config(path, name) if os.path.lexists(path) else BashConfig()


def _plan_project(plan: Plan, old: OldProject) -> PlannedProject:
    check_name("project", old.name)
    target = Project(old.name, plan.workspace.root / "projects" / old.name)
    if os.path.lexists(target.folder):
        raise UsageError(
            f"{plan.workspace.shown(target.folder)} is there already",
            hint="it stays as it is; to import it anew, move it away first",
        )
    own = _config(old.config, f"{old.name}/{old.config.name}")
    script = f"{old.name}/bin/run.sh" if (old.code / "run.sh").is_file() else ""
    mapped = map_project(own, plan.base, script)
    return PlannedProject(old, target, mapped, _measure(old))


def _measure(old: OldProject) -> Measure:
    code = [old.code] if old.code.is_dir() else []
    try:
        return measure([*code, *(folder for _, folder in old.runs)])
    except OSError as error:
        place = old.place(str(error.filename or old.folder))
        raise StageError(f"{place} cannot be read: {error.strerror}") from error
