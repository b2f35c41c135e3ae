"""The commands that look at runs: `runs`, `status`, `show`, `logs`. They change nothing."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.runs.paths import RunPaths, find_run, run_folders
from nasexp.runs.record import RUNNING, Record, read_record

if TYPE_CHECKING:
    from pathlib import Path


INTERRUPTED = "interrupted"
FOLLOW_SECONDS = 0.2
CHUNK_BYTES = 1 << 20


@command
def runs(
    context: CommandContext,
    project: Annotated[str, Arg("only the runs of this project")] = "",
    as_json: Annotated[bool, Arg("print one JSON document", flag="json")] = False,
) -> None:
    """List the runs of the workspace, oldest first."""
    records = _records(context, project)
    if as_json:
        context.print_json([record_json(record) for record in records])
    elif records:
        _print_runs(context, records)
    else:
        context.print("no runs yet; start one with `run --project NAME`")


@command
def status(
    context: CommandContext,
    as_json: Annotated[bool, Arg("print one JSON document", flag="json")] = False,
) -> None:
    """Tell which runs are live, where each is, and which lost their driver."""
    from nasexp.cli.live_runs import live_document, status_line  # noqa: PLC0415 - reads journals

    found = [r for r in _records(context, "") if r.status in (RUNNING, INTERRUPTED)]
    live = [live_document(find_run(context.workspace, r.address), r) for r in found]
    if as_json:
        context.print_json(live)
        return
    for item in live:
        context.print(status_line(item))
    if not live:
        context.print("no run is live")


@command
def show(
    context: CommandContext,
    run: Annotated[str, Arg("the run: PROJECT/run_3, run_3 or latest", positional=True)] = "latest",
    as_json: Annotated[bool, Arg("print one JSON document", flag="json")] = False,
) -> None:
    """Tell all that is known of a run."""
    from nasexp.cli.details import details, print_details  # noqa: PLC0415 - reads the journal

    folder = find(context, run)
    document = details(folder, record_json(_current(folder)))
    if as_json:
        context.print_json(document)
    else:
        print_details(context, folder, document)


@command
def logs(
    context: CommandContext,
    run: Annotated[str, Arg("the run: PROJECT/run_3, run_3 or latest", positional=True)] = "latest",
    follow: Annotated[bool, Arg("go on as it grows, until the run ends", short="f")] = False,
    raw: Annotated[bool, Arg("the very bytes, control codes and all")] = False,
) -> None:
    """Print the console of a run; control codes are taken out."""
    folder = find(context, run)
    offset = 0
    while True:
        live = follow and _current(folder).status == RUNNING
        offset = _print_log(context, folder, offset, raw=raw, last=not live)
        if not live:
            return
        time.sleep(FOLLOW_SECONDS)


def record_json(record: Record) -> dict[str, Any]:
    """Return a record with the keys that `--json` promises; times in ISO 8601, UTC."""
    return {
        "run": record.address,
        "id": record.id,
        "project": record.project,
        "client": record.client,
        "host": record.host,
        "status": record.status,
        "ending": record.ending,
        "exit_code": record.exit_code,
        "started": record.started.isoformat() if record.started else None,
        "ended": record.ended.isoformat() if record.ended else None,
        "seconds": record.elapsed_seconds(),
        "rate": record.rate,
        "error": record.error,
        "warnings": record.warnings,
        "columns": record.columns,
    }


def _records(context: CommandContext, project: str) -> list[Record]:
    workspace = context.workspace
    projects = [workspace.project(project)] if project else workspace.projects()
    return [_current(folder) for found in projects for _, folder in run_folders(found)]


def _current(folder: Path) -> Record:
    """Return a run's record; one that runs but has no driver any more is interrupted."""
    record = read_record(folder)
    if record.status != RUNNING:
        return record
    from dataclasses import replace  # noqa: PLC0415 - only live runs need these two

    from nasexp.runs.locking import has_driver  # noqa: PLC0415

    return record if has_driver(RunPaths(folder)) else replace(record, status=INTERRUPTED)


def find(context: CommandContext, address: str) -> Path:
    """Return the folder of a run by its address. Raises UsageError."""
    from nasexp.cli.projects import default_project  # noqa: PLC0415 - may read nasexp.yaml

    workspace = context.workspace
    return find_run(workspace, address, default_project(workspace))


def _print_runs(context: CommandContext, records: list[Record]) -> None:
    from nasexp.config.units import clock  # noqa: PLC0415 - `--json` needs none of it
    from nasexp.config.zone import shown_time, workspace_zone  # noqa: PLC0415

    zone = workspace_zone(context.workspace)
    names = list(dict.fromkeys(name for record in records for name in record.columns))
    headers = ["run", "status", "started", "time", "host", "client", *names]
    rows = [
        [
            record.address,
            record.status or "?",
            shown_time(record.started, zone) if record.started else "",
            "" if (seconds := record.elapsed_seconds()) is None else clock(seconds),
            record.host,
            record.client,
            *[record.columns.get(name, "") for name in names],
        ]
        for record in records
    ]
    context.print_table(headers, rows)


def _print_log(context: CommandContext, folder: Path, offset: int, *, raw: bool, last: bool) -> int:
    """Print what the log has beyond the offset, whole lines unless it is the last time."""
    from nasexp.runs.console import printable  # noqa: PLC0415 - as heavy as a regular expression

    path = RunPaths(folder).log
    if not path.exists():
        return offset
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(CHUNK_BYTES):
            chunk += file.readline()
            if not raw and not last:
                chunk = chunk[: chunk.rfind(b"\n") + 1]
            offset += len(chunk)
            if raw:
                sys.stdout.buffer.write(chunk)
                sys.stdout.flush()
            elif chunk:
                context.print(printable(chunk.removesuffix(b"\n")))
    return offset
