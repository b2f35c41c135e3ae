"""Shows a run as it happens: plain timestamped lines; `live` has the view for terminals."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.config.units import Size, clock
from nasexp.config.zone import shown_time, workspace_zone
from nasexp.runs.console import printable
from nasexp.stages.backup import BackupSettings

if TYPE_CHECKING:
    from nasexp.cli.context import CommandContext
    from nasexp.config.workspace import Workspace
    from nasexp.runs.paths import RunPaths
    from nasexp.runs.record import Record
    from nasexp.values import Ending, Outcome, Run, Stage


def make_view(context: CommandContext) -> PlainView:
    """Return the view that suits where the output goes."""
    if context.on_terminal:
        try:
            from nasexp.cli.live import LiveView  # noqa: PLC0415 - rich is for terminals only
        except ImportError:
            pass
        else:
            return LiveView(context)
    return PlainView(context)


@dataclass(frozen=True, slots=True)
class RunCard:
    """What a view has to know of a run: its address, what it trains, and for how long."""

    address: str
    training: str
    timeout: str
    backup_every_seconds: float


class PlainView:
    """Lines with the time in front, for pipes, logs and cron."""

    def __init__(self, context: CommandContext) -> None:
        self.context = context
        self._zone = workspace_zone(context.workspace)
        self.warnings: list[str] = []
        self.card = RunCard("", "", "never", math.inf)
        self.moment: datetime | None = None
        self._rest = b""

    @property
    def lost(self) -> str:
        """See `View.lost`."""
        return self.context.lost

    def line(self, text: str) -> None:
        """Print one line with the time."""
        self.context.print(f"{self._stamp()} {text}")

    def _stamp(self) -> str:
        """Return the time: of `moment` where that is set, else of now."""
        return shown_time(self.moment or datetime.now(UTC), self._zone, "%H:%M:%S")

    def note(self, text: str) -> None:
        """See `Monitor.note`."""
        self.line(f"          {text}")

    def warn(self, text: str) -> None:
        """See `Monitor.warn`."""
        self.line(f"warning   {text}")

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """A copy that runs is no line."""

    def console(self, data: bytes) -> None:
        """Print whole lines of the training's console."""
        whole, end, self._rest = (self._rest + data).rpartition(b"\n")
        if end:
            # All in one go: a flood of lines may not hold up who prints it.
            stamp = f"{self._stamp()} |         "
            self.context.print("\n".join(stamp + text for text in printable(whole).split("\n")))

    def ask(self, prompt: str) -> str | None:
        """See `Monitor.ask`."""
        return ask_on_terminal(prompt)

    def close(self) -> None:
        """End the view, whatever happened."""
        if self._rest:
            self.console(b"\n")

    def begin(self, card: RunCard) -> None:
        """Get to know the run; called once, before anything else about it."""
        self.card = card

    def stage_started(self, stage: str) -> None:
        """Tell where we are; the training is the only stage that lasts."""
        if stage == "train":
            self.line(f"train     {self.card.training} (timeout {self.card.timeout})")

    def stage_finished(self, stage: str, seconds: float, error: str) -> None:
        """Tell how it went; no error, no failure."""
        self.close()
        if error:
            self.line(f"{stage:9} FAILED after {clock(seconds)}: {error}")
        else:
            self.line(f"{stage:9} ok, {clock(seconds)}")

    def training_started(self) -> None:
        """The lines of the console tell that."""

    def timeout_moved(self, left_seconds: float | None) -> None:
        """A note has told that already."""

    def training_ended(self, told: str, *, ok: bool) -> None:
        """Print what the console had no line end behind, and why it ended if that is not right."""
        self.close()
        self._rest = b""
        if not ok:
            self.note(told)

    def finished(self, paths: RunPaths, record: Record) -> None:
        """Print the summary."""
        self.close()
        for text in summary_lines(self.context.workspace, paths, record):
            self.context.print(text)


class ViewPlugin:
    """Shows a run that this very process drives."""

    def __init__(self, view: PlainView) -> None:
        self._view = view

    @hookimpl
    def nasexp_stage_started(self, run: Run, stage: Stage) -> None:
        """Hand it on; the first stage is where one gets to know the run."""
        if stage.value == "connect":
            self._view.begin(card_of(run))
        self._view.stage_started(stage.value)

    @hookimpl
    def nasexp_stage_finished(self, stage: Stage, outcome: Outcome) -> None:
        """Hand it on."""
        self._view.stage_finished(stage.value, outcome.seconds, outcome.error)

    @hookimpl
    def nasexp_training_started(self) -> None:
        """Hand it on."""
        self._view.training_started()

    @hookimpl
    def nasexp_training_ended(self, ending: Ending) -> None:
        """Hand it on."""
        self._view.training_ended(str(ending), ok=ending.ok)

    @hookimpl
    def nasexp_run_finished(self, run: Run, record: Record) -> None:
        """Hand it on."""
        self._view.finished(run.paths, record)


def card_of(run: Run) -> RunCard:
    """Return what a view has to know of a run."""
    core = run.settings.core
    every = run.settings.section("backup", BackupSettings).every.seconds
    return RunCard(run.address, core.run, str(core.timeout), every)


def ask_on_terminal(prompt: str) -> str | None:
    """Ask for a secret without showing it; None where no person sits at a terminal."""
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    import getpass  # noqa: PLC0415 - seldom

    try:
        return getpass.getpass(prompt)
    except (EOFError, OSError):  # a terminal that went away
        return None


def summary_lines(workspace: Workspace, paths: RunPaths, record: Record) -> list[str]:
    """Return what a person wants to know in the end: address, result, time, folder."""
    seconds = record.elapsed_seconds()
    facts = [record.status if not record.warnings else f"{record.status}, with warnings"]
    facts += [f"trained {clock(seconds)}"] if seconds is not None else []
    facts += [f"{name} {value}" for name, value in record.columns.items()]
    lines = ["", f"{record.address}: {', '.join(facts)}"]
    lines.append(f"  folder   {workspace.shown(paths.folder)}")
    kept = [path for path in (paths.log, paths.archive) if path.exists()]
    for path in kept:
        size = Size(path.stat().st_size)
        lines.append(f"           {path.name:12} {size}")
    if paths.output.is_dir():
        count = sum(1 for path in paths.output.rglob("*") if not path.is_dir())
        lines.append(f"           output/      {count} file{'' if count == 1 else 's'}")
    return lines
