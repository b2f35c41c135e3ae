"""The view for terminals: the seven stages, a live tail of the console, what is being copied."""

from __future__ import annotations

import math
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nasexp.cli.view import PlainView, summary_lines
from nasexp.config.units import Size, clock
from nasexp.runs.console import printable
from nasexp.values import Stage

if TYPE_CHECKING:
    from nasexp.cli.context import CommandContext
    from nasexp.cli.view import RunCard
    from nasexp.runs.paths import RunPaths
    from nasexp.runs.record import Record

TAIL_LINES, MOST_LINES = 8, 40
OTHER_LINES = 12
REFRESH_HZ = 4
_SIGNS = {"": ("·", "dim"), "now": ("▶", "cyan"), "ok": ("✓", "green"), "failed": ("✗", "red")}


class LiveView(PlainView):
    """Redraws one small panel; what matters afterwards stays above it."""

    def __init__(self, context: CommandContext) -> None:
        super().__init__(context)
        self._tail: deque[str] = deque(maxlen=MOST_LINES)
        self._state: dict[str, str] = {}
        self._detail: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._copy = ""
        self._next_backup = math.inf
        self._backup_every = math.inf
        self._passes = 0
        self._console = Console(file=context.output)
        self._live = Live(
            get_renderable=self._panel, console=self._console, refresh_per_second=REFRESH_HZ
        )

    def note(self, text: str) -> None:
        """See `Monitor.note`."""
        self._console.print(Text(f"  {text}", style="dim"))

    def warn(self, text: str) -> None:
        """See `Monitor.warn`."""
        self._console.print(Text(f"! {text}", style="yellow"))

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """See `Monitor.progress`."""
        self._copy = f"{Size(done_bytes)} of {Size(total_bytes)}"

    def console(self, data: bytes) -> None:
        """Keep the last lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._tail.extend(printable(line) for line in lines)

    def ask(self, prompt: str) -> str | None:
        """Ask with the panel out of the way."""
        self._live.stop()
        try:
            return super().ask(prompt)
        finally:
            self._live.start()

    def close(self) -> None:
        """Leave the panel as it stands."""
        self._live.stop()

    def begin(self, card: RunCard) -> None:
        """See `PlainView.begin`."""
        super().begin(card)
        self._backup_every = card.backup_every_seconds
        self._console.print(Text(card.address, style="bold"))
        self._live.start()

    def stage_started(self, stage: str) -> None:
        """Mark the stage that runs."""
        self._state[stage], self._since[stage], self._copy = "now", self._now(), ""

    def training_started(self) -> None:
        """Begin to count to the next backup."""
        self._next_backup = self._now() + self._backup_every
        self._detail["train"] = f"timeout {self.card.timeout}"

    def stage_finished(self, stage: str, seconds: float, error: str) -> None:
        """Mark how it went."""
        self._state[stage], self._copy = "failed" if error else "ok", ""
        self._detail[stage] = error or clock(seconds)
        if stage == "backup":
            self._passes += 1
            self._detail[stage] += f", pass {self._passes}"
            if self._next_backup < math.inf:
                self._next_backup = self._now() + self._backup_every

    def training_ended(self, told: str, *, ok: bool) -> None:
        """Take in the last words and forget the next backup."""
        if self._rest:
            self.console(b"\n")
        self._next_backup = math.inf
        if not ok:
            self.warn(told)

    def finished(self, paths: RunPaths, record: Record) -> None:
        """Print the summary under the last picture."""
        self.close()
        style = {"ok": "green", "stopped": "yellow"}.get(record.status, "red")
        first, *rest = summary_lines(self.context.workspace, paths, record)[1:]
        self._console.print(Text(first, style=f"bold {style}"))
        for text in rest:
            self._console.print(Text(text))

    def timeout_moved(self, left_seconds: float | None) -> None:
        """Show until when it may run now."""
        told = "no timeout" if left_seconds is None else f"{clock(left_seconds)} more"
        self._detail["train"] = f"extended: {told}"

    def _now(self) -> float:
        """Return when what is shown happened, by our monotonic clock."""
        ago = (datetime.now(UTC) - self.moment).total_seconds() if self.moment else 0.0
        return time.monotonic() - max(0.0, ago)

    def _panel(self) -> Group:
        table = Table.grid(padding=(0, 1))
        for stage in Stage:
            sign, style = _SIGNS[self._state.get(stage.value, "")]
            table.add_row(
                Text(sign, style), Text(stage.value, style), Text(self._about(stage.value))
            )
        width = max(20, self._console.width - 4)
        # A progress bar has no line end yet: what it shows now is the last line.
        shown = [*self._tail, *([printable(self._rest)] if self._rest else [])]
        room = max(TAIL_LINES // 2, self._console.height - OTHER_LINES)
        lines = [Text("  │ " + line[:width], style="dim") for line in shown[-room:]]
        return Group(table, *lines)

    def _about(self, stage: str) -> str:
        if self._state.get(stage) == "now":
            parts = [clock(time.monotonic() - self._since[stage]), self._detail.get(stage, "")]
            copying = self._copy if stage != "train" else ""
            return ", ".join(part for part in [*parts, copying] if part)
        if stage == "backup" and self._next_backup < math.inf:
            left = max(0.0, self._next_backup - time.monotonic())
            return f"next in {clock(left)}" if left else "due"
        return self._detail.get(stage, "")
