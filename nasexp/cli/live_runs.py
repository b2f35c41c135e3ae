"""What `status` tells of a live run, from its journal alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nasexp.runs.journal import read_events
from nasexp.runs.paths import RunPaths
from nasexp.runs.requests import read_requests

if TYPE_CHECKING:
    from pathlib import Path

    from nasexp.runs.journal import Event
    from nasexp.runs.record import Record


def live_document(folder: Path, record: Record) -> dict[str, Any]:
    """Return one element of `status --json`; what is not known is null."""
    paths = RunPaths(folder)
    events = read_events(paths.journal)
    now = datetime.now(UTC)
    backup, lost = _last(events, "backup.made"), _last(events, "link.lost")
    if lost and (back := _last(events, "link.back")) and back.time > lost.time:
        lost = None
    return {
        "run": record.address,
        "status": record.status,
        "stage": stage_of(events),
        "host": record.host,
        "elapsed_seconds": (now - record.started).total_seconds() if record.started else None,
        "timeout_left_seconds": _timeout_left(events, record, now),
        "backup_age_seconds": (now - backup.time).total_seconds() if backup else None,
        "link_lost_since": lost.time.isoformat() if lost else None,
        "asked": [request.wish for request in read_requests(paths)],
    }


def stage_of(events: list[Event]) -> str:
    """Return the stage that a run is in; a backup pass lies within `train`."""
    begun: list[str] = []
    newest = ""
    for event in events:
        if event.name == "run.resumed":
            begun = []  # what its last driver had begun died with it
        elif event.name == "stage.started":
            newest = event.facts["stage"]
            begun.append(newest)
        elif event.name == "stage.finished" and event.facts["stage"] in begun:
            begun.remove(event.facts["stage"])
    return begun[-1] if begun else newest


def status_line(item: dict[str, Any]) -> str:
    """Return what a person reads."""
    from nasexp.config.units import clock  # noqa: PLC0415 - `--json` needs none of it

    parts = [f"{item['run']}: {item['status']}, stage {item['stage']} on {item['host'] or '?'}"]
    for key, text in (
        ("elapsed_seconds", "training since {}"),
        ("timeout_left_seconds", "timeout in {}"),
        ("backup_age_seconds", "last backup {} ago"),
    ):
        if item[key] is not None:
            parts.append(text.format(clock(item[key])))
    if since := item["link_lost_since"]:
        lost = datetime.now(UTC) - datetime.fromisoformat(since)
        parts.append(f"its host does not answer since {clock(lost.total_seconds())}, still trying")
    if item["asked"]:
        parts.append(f"asked to {' and '.join(item['asked'])}")
    if item["status"] == "interrupted":
        parts.append("its driver is gone, nobody follows it")
    return ", ".join(parts)


def _timeout_left(events: list[Event], record: Record, now: datetime) -> float | None:
    if moved := _last(events, "timeout.extended"):
        left = moved.facts.get("left")
        return None if left is None else max(0.0, left - (now - moved.time).total_seconds())
    created = _last(events, "run.created")
    seconds = created.facts.get("timeout_seconds") if created else None
    if seconds is None or record.started is None:
        return None
    return max(0.0, float(seconds) - (now - record.started).total_seconds())


def _last(events: list[Event], name: str) -> Event | None:
    return next((event for event in reversed(events) if event.name == name), None)
