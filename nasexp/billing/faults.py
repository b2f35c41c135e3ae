"""Says why a run cannot be billed: what its folder tells cannot be true, or is not all there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp.runs.paths import RunPaths

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from nasexp.runs.record import Record

YEARS = range(2000, 2200)
"""A clock that was never set tells 1970: from there to the end would be a dear run."""

TOLERANCE_SECONDS = 2
"""`start_epoch` and `end_epoch` are whole seconds, `seconds` is exact."""


def fault_of(record: Record, folder: Path) -> str:
    """Return why a run that ended cannot be billed; empty when it can, or never started."""
    if record.started is None:
        return _missing(folder, "start")
    if record.ended is None:
        return _missing(folder, "end") or "it has a start and no end"
    seconds = record.elapsed_seconds() or 0.0
    between_seconds = (record.ended - record.started).total_seconds()
    if between_seconds < 0 or seconds < 0:
        return "it ends before it starts"
    if not (plausible(record.started) and plausible(record.ended)):
        return f"it tells the years {record.started.year} to {record.ended.year}"
    if seconds > between_seconds + TOLERANCE_SECONDS:
        return f"it tells {seconds:g} s, with {between_seconds:g} s between its start and its end"
    return ""


def plausible(moment: datetime) -> bool:
    """Whether a clock that was set can have told this."""
    return moment.year in YEARS


def count_starts(folder: Path) -> int:
    """Return how many starts run.info holds; the old scripts could append to an older one."""
    return _keys(folder).count("start_epoch")


def _missing(folder: Path, edge: str) -> str:
    """Return why a start or an end is not known; empty when none was written."""
    try:
        keys = _keys(folder)
    except FileNotFoundError:
        keys = []
    except OSError as error:
        return f"its run.info cannot be read: {error.strerror}"
    if f"{edge}_epoch" in keys:
        return f"its {edge}_epoch is no time"
    if f"{edge}_time" in keys:
        return f"it tells {edge}_time and no {edge}_epoch"
    if edge == "start" and {"end_epoch", "end_time"} & set(keys):
        return "it has an end and no start"
    if edge == "start" and _journal_knows_a_start(folder):
        return "its journal tells of a training and its run.info does not"
    return ""


def _keys(folder: Path) -> list[str]:
    text = RunPaths(folder).info.read_text(errors="replace")
    return [line.partition("|")[0] for line in text.splitlines() if "|" in line]


def _journal_knows_a_start(folder: Path) -> bool:
    try:
        return b'"training.started"' in RunPaths(folder).journal.read_bytes()
    except OSError:
        return False
