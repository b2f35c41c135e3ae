"""`run --dry-run`: all that a run would do."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

from nasexp.archives.select import select
from nasexp.config.showing import HIDDEN, is_secret
from nasexp.config.units import Size
from nasexp.runs.numbering import next_number
from nasexp.stages.backup import BackupSettings
from nasexp.stages.train import fill_in

if TYPE_CHECKING:
    from nasexp.assembly import Assembly
    from nasexp.cli.context import CommandContext
    from nasexp.config.settings import Settings
    from nasexp.config.workspace import Project


def print_plan(
    context: CommandContext, project: Project, assembly: Assembly, notes: list[str]
) -> None:
    """Print the stages with what each would do; nothing is changed."""
    settings = assembly.settings
    core, number = settings.core, next_number(project)
    chosen = select(project.code)
    size = sum((project.code / str(member.path)).stat().st_size for member in chosen.members
               if (project.code / str(member.path)).is_file())  # fmt: skip
    every = settings.section("backup", BackupSettings).every
    params = {name: HIDDEN if is_secret(name) else value for name, value in core.params.items()}
    command = fill_in(core.run, params)
    context.print(f"{project.name}/run_{number} would")
    steps = [
        ("connect", f"to {_host(settings)}"),
        ("archive", f"{len(chosen.members)} files and folders, {Size(size)}"),
        *[("", f"leaving out {item}") for item in chosen.left_out],
        ("transfer", f"to {settings.host.settings.workdir} there"),
        ("train", f"{command}, environment {_environment(settings)}, timeout {core.timeout}"),
        *[("", note) for note in notes],
        *[("", f"parameter {name} = {value}") for name, value in params.items()],
        ("backup", f"{core.output}/ every {every}"),
        ("collect", f"into {context.workspace.shown(project.results / f'run_{number}')}"),
        ("shutdown", f"{settings.host.name} stays on"),
    ]  # fmt: skip
    for name, text in steps:
        context.print(f"  {name:9} {text}")
    context.print(_cost(settings))
    context.print("nothing was changed")


def _host(settings: Settings) -> str:
    address = settings.host.settings.address
    return f"{settings.host.name} ({address or 'this machine'})"


def _environment(settings: Settings) -> str:
    parts = settings.get("environment") or {}
    return " + ".join(f"{kind} {name}" for kind, name in parts.items()) or "system"


def _cost(settings: Settings) -> str:
    rate, timeout = settings.core.rate, settings.core.timeout.seconds
    if rate is None:
        return "no rate is set: `report` would count its hours, but no amount"
    if math.isinf(timeout):
        return f"it costs {rate} as long as it runs"
    cost = rate.cost(Decimal(str(timeout)))
    return f"about {cost.amount:.2f} {cost.currency} if it runs to its timeout"
