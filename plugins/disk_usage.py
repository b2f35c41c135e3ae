"""Tells what the runs take on the NAS, and warns before its disk is full.

Switch it on in nasexp.yaml, and set when it warns:

    plugins: [disk_usage]
    disk_usage: {warn_below: 50GB}

It adds the command `disk-usage`, and looks at the free room before each run.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Annotated

from nasexp import hookimpl
from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.config.schema import Schema
from nasexp.config.settings import ConfigSection
from nasexp.config.units import Size
from nasexp.runs.paths import address_of, run_folders
from nasexp.values import Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nasexp.values import Run


class DiskUsageSettings(Schema, frozen=True):
    """The section `disk_usage`."""

    warn_below: Size = Size.parse("10GB")
    """Warn before a run when the disk of its results has less free room."""


@hookimpl
def nasexp_config_section() -> ConfigSection:
    """Own `disk_usage`."""
    return ConfigSection("disk_usage", DiskUsageSettings)


@hookimpl
def nasexp_stage_started(run: Run, stage: Stage) -> None:
    """Look once, before anything is written."""
    if stage is not Stage.CONNECT:
        return
    free = Size(shutil.disk_usage(run.paths.folder).free)
    limit = run.settings.section("disk_usage", DiskUsageSettings).warn_below
    if free < limit:
        run.monitor.warn(f"only {free} are free for results (disk_usage.warn_below: {limit})")


@hookimpl
def nasexp_tasks() -> list[Callable[..., None]]:
    """Add the command `disk-usage`."""
    return [disk_usage]


@command
def disk_usage(
    context: CommandContext,
    project: Annotated[str, Arg("only the runs of this project")] = "",
    as_json: Annotated[bool, Arg("print one JSON document", flag="json")] = False,
) -> None:
    """Tell what each run takes on this disk, the largest first."""
    workspace = context.workspace
    projects = [workspace.project(project)] if project else workspace.projects()
    folders = [folder for found in projects for _, folder in run_folders(found)]
    rows = sorted(((_size_bytes(folder), address_of(folder)) for folder in folders), reverse=True)
    free_bytes = shutil.disk_usage(workspace.root).free
    if as_json:
        runs = [{"run": address, "size_bytes": size} for size, address in rows]
        context.print_json({"runs": runs, "free_bytes": free_bytes})
        return
    context.print_table(["run", "size"], [[address, str(Size(size))] for size, address in rows])
    total = Size(sum(size for size, _ in rows))
    context.print(f"{len(rows)} runs take {total}, {Size(free_bytes)} are free")


def _size_bytes(folder: Path) -> int:
    """Return what a run's files take; a file with several hard links counts once."""
    seen: dict[tuple[int, int], int] = {}
    for root, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(root, name))  # noqa: PTH118 - any name
            seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())
