"""Shows a run as it happens: plain timestamped lines; `live` has the view for terminals."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.config.units import Size, clock
from nasexp.config.zone import shown_time, workspace_zone
from nasexp.runs.console import printable

if TYPE_CHECKING:
    from nasexp.cli.context import CommandContext
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


class PlainView:
    """Lines with the time in front, for pipes, logs and cron."""

    def __init__(self, context: CommandContext) -> None:
        self.context = context
        self._zone = workspace_zone(context.workspace)
        self.warnings: list[str] = []
        self._rest = b""

    @property
    def lost(self) -> str:
        """See `View.lost`."""
        return self.context.lost

    def line(self, text: str) -> None:
        """Print one line with the time."""
        self.context.print(f"{shown_time(datetime.now(UTC), self._zone, '%H:%M:%S')} {text}")

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
        *lines, self._rest = (self._rest + data).split(b"\n")
        for text in lines:
            self.line(f"|         {printable(text)}")

    def ask(self, prompt: str) -> str | None:
        """See `Monitor.ask`."""
        return ask_on_terminal(prompt)

    def close(self) -> None:
        """End the view, whatever happened."""
        if self._rest:
            self.console(b"\n")

    @hookimpl
    def nasexp_stage_started(self, run: Run, stage: Stage) -> None:
        """Tell where we are; the training is the only stage that lasts."""
        if stage.value == "train":
            core = run.settings.core
            self.line(f"train     {core.run} (timeout {core.timeout})")

    @hookimpl
    def nasexp_stage_finished(self, stage: Stage, outcome: Outcome) -> None:
        """Tell how it went."""
        self.close()
        if outcome.ok:
            self.line(f"{stage.value:9} ok, {clock(outcome.seconds)}")
        else:
            self.line(f"{stage.value:9} FAILED after {clock(outcome.seconds)}: {outcome.error}")

    @hookimpl
    def nasexp_training_ended(self, ending: Ending) -> None:
        """Print what the console had no line end behind."""
        self.close()
        self._rest = b""
        if not ending.ok:
            self.note(str(ending))

    @hookimpl
    def nasexp_run_finished(self, run: Run, record: Record) -> None:
        """Print the summary."""
        self.close()
        for text in summary_lines(run, record):
            self.context.print(text)


def ask_on_terminal(prompt: str) -> str | None:
    """Ask for a secret without showing it; None where no person sits at a terminal."""
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    import getpass  # noqa: PLC0415 - seldom

    try:
        return getpass.getpass(prompt)
    except (EOFError, OSError):  # a terminal that went away
        return None


def summary_lines(run: Run, record: Record) -> list[str]:
    """Return what a person wants to know in the end: address, result, time, folder."""
    seconds = record.elapsed_seconds()
    facts = [record.status if not record.warnings else f"{record.status}, with warnings"]
    facts += [f"trained {clock(seconds)}"] if seconds is not None else []
    facts += [f"{name} {value}" for name, value in record.columns.items()]
    lines = ["", f"{record.address}: {', '.join(facts)}"]
    lines.append(f"  folder   {run.workspace.shown(run.paths.folder)}")
    kept = [path for path in (run.paths.log, run.paths.archive) if path.exists()]
    for path in kept:
        size = Size(path.stat().st_size)
        lines.append(f"           {path.name:12} {size}")
    if run.paths.output.is_dir():
        count = sum(1 for path in run.paths.output.rglob("*") if not path.is_dir())
        lines.append(f"           output/      {count} file{'' if count == 1 else 's'}")
    return lines
