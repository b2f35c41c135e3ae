"""What `show` tells of one run: its record, its stages, its files."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from nasexp.config.units import Size, clock
from nasexp.config.zone import SECONDS, shown_time, workspace_zone
from nasexp.runs.journal import read_events
from nasexp.runs.paths import RunPaths

if TYPE_CHECKING:
    from pathlib import Path

    from nasexp.cli.context import CommandContext
    from nasexp.runs.journal import Event

_TIMES = ("started", "ended")
_TOLD = ("status", "error", "ending", "started", "ended", "host", "client", "rate")


def details(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Return the document of `show --json`: the record's keys and those below.

    `stages` is a list of {stage, seconds, error}; `notes` and `warning_texts` are lists of texts;
    `files` is a list of {name, size_bytes}; `archive` is {sha256, size_bytes, left_out} or null.
    """
    events = read_events(RunPaths(folder).journal)
    return {
        **record,
        "folder": str(folder),
        "stages": [_stage(event) for event in events if event.name == "stage.finished"],
        "notes": [event.facts["text"] for event in events if event.name == "note"],
        "warning_texts": [event.facts["text"] for event in events if event.name == "warning"],
        "archive": _archive(events),
        "files": _files(folder),
    }


def print_details(context: CommandContext, folder: Path, document: dict[str, Any]) -> None:
    """Print the document for a person."""
    context.print(document["run"])
    zone = workspace_zone(context.workspace)
    for key in _TOLD:
        if text := document[key]:
            if key in _TIMES:
                text = shown_time(datetime.fromisoformat(text), zone, SECONDS)
            context.print(f"  {key:9} {text}")
    if document["seconds"] is not None:
        context.print(f"  {'trained':9} {clock(document['seconds'])}")
    for name, value in document["columns"].items():
        context.print(f"  {name:9} {value}")
    for text in document["warning_texts"]:
        context.print(f"  warning   {text}")
    for stage in document["stages"]:
        result = stage["error"] or "ok"
        context.print(f"  {stage['stage']:9} {clock(stage['seconds'])}, {result}")
    context.print(f"  folder    {context.workspace.shown(folder)}")
    for file in document["files"]:
        context.print(f"            {Size(file['size_bytes'])!s:>8}  {file['name']}")


def _stage(event: Event) -> dict[str, Any]:
    return {key: event.facts.get(key) for key in ("stage", "seconds", "error")}


def _archive(events: list[Event]) -> dict[str, Any] | None:
    packed = [event.facts for event in events if event.name == "archive.packed"]
    if not packed:
        return None
    return {key: packed[-1].get(key) for key in ("sha256", "size_bytes", "left_out")}


def _files(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts[:1])
        if not hidden and not path.is_dir():
            name = str(path.relative_to(folder)).encode(errors="replace").decode()
            found.append({"name": name, "size_bytes": path.lstat().st_size})
    return found
