"""The facts of a run, as `run.info` tells them; made from the journal, read by every listing.

The first four keys are those of the old bash scripts, in their form, so that old readers go on
working; a folder that holds only those four is a run too.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nasexp.runs.files import write_whole
from nasexp.runs.paths import RunPaths, address_of

if TYPE_CHECKING:
    from pathlib import Path

DATE_FORMAT = "%a %b %d %H:%M:%S %Z %Y"
"""As `date` prints it in the C locale, in this machine's zone: what the old scripts wrote."""

RUNNING, OK, FAILED, STOPPED = "running", "ok", "failed", "stopped"
COLUMN_PREFIX = "column."


@dataclass(frozen=True, slots=True)
class Record:
    """The facts of one run. Times are aware and UTC; None where something is not known."""

    address: str
    id: str = ""
    project: str = ""
    client: str = ""
    host: str = ""
    status: str = ""
    ending: str = ""
    exit_code: int | None = None
    started: datetime | None = None
    ended: datetime | None = None
    rate: str = ""
    error: str = ""
    warnings: int = 0
    seconds: float | None = None
    columns: dict[str, str] = field(default_factory=dict)

    def elapsed_seconds(self) -> float | None:
        """Return the billed time of a finished run; None while it runs or when unknown."""
        if self.seconds is not None:
            return self.seconds
        if self.started and self.ended:
            return (self.ended - self.started).total_seconds()
        return None


def write_record(paths: RunPaths, record: Record) -> None:
    """Write `run.info` whole."""
    write_whole(paths.info, "".join(f"{key}|{value}\n" for key, value in _lines(record)))


def read_record(folder: Path) -> Record:
    """Return what `run.info` says; a record without times when there is none or it is broken."""
    address = address_of(folder)
    empty = Record(address=address, project=address.partition("/")[0])
    try:
        text = RunPaths(folder).info.read_text(errors="replace")
    except OSError:
        return empty
    pairs = dict(line.partition("|")[::2] for line in text.splitlines() if "|" in line)
    return _from_pairs(empty, pairs)


def _lines(record: Record) -> list[tuple[str, str]]:
    pairs = [*_time_lines("start", record.started), *_time_lines("end", record.ended)]
    pairs += [("run", record.address), ("id", record.id), ("status", record.status)]
    pairs += [("ending", record.ending), ("exit_code", _text(record.exit_code))]
    pairs += [("seconds", _text(record.seconds)), ("host", record.host)]
    pairs += [("client", record.client), ("rate", record.rate)]
    pairs += [("warnings", str(record.warnings)), ("error", record.error)]
    pairs += [(COLUMN_PREFIX + name, value) for name, value in record.columns.items()]
    return [(key, " ".join(value.split())) for key, value in pairs if value]


def _time_lines(name: str, moment: datetime | None) -> list[tuple[str, str]]:
    if moment is None:
        return []
    local = time.strftime(DATE_FORMAT, time.localtime(moment.timestamp()))
    return [(f"{name}_time", local), (f"{name}_epoch", str(int(moment.timestamp())))]


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _from_pairs(empty: Record, pairs: dict[str, str]) -> Record:
    prefix = len(COLUMN_PREFIX)
    started, ended = (_moment(pairs.get(f"{name}_epoch", "")) for name in ("start", "end"))
    exit_code, warnings = pairs.get("exit_code", ""), pairs.get("warnings", "0")
    columns = {key[prefix:]: text for key, text in pairs.items() if key.startswith(COLUMN_PREFIX)}
    # The old scripts wrote no status: a run with an end was all right as far as they knew.
    status = pairs.get("status") or (OK if ended else "")
    return replace(
        empty,
        id=pairs.get("id", ""),
        client=pairs.get("client", ""),
        host=pairs.get("host", ""),
        status=status,
        ending=pairs.get("ending", ""),
        exit_code=_whole(exit_code),
        started=started,
        ended=ended,
        rate=pairs.get("rate", ""),
        error=pairs.get("error", ""),
        warnings=_whole(warnings) or 0,
        seconds=_number(pairs.get("seconds", "")),
        columns=columns,
    )


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _moment(text: str) -> datetime | None:
    seconds = _number(text)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
