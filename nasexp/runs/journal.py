"""The journal of a run, `events.jsonl`: what was decided and seen, append-only.

A line is one JSON object. Beside its facts it holds `event`, `time` (UTC), `prev` (sha256 of the
line before, so that an edit shows) and, last, `crc` (CRC-32 of all before it, so that a torn
line shows). One write makes a whole line, fsynced before anything acts on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nasexp.errors import StageError
from nasexp.runs.files import from_system, superseded

if TYPE_CHECKING:
    from pathlib import Path

FIRST = hashlib.sha256(b"").hexdigest()
_CRC_MARK = b',"crc":"'


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a journal."""

    name: str
    time: datetime
    facts: dict[str, Any]


class Journal:
    """The journal of one run, open for appending; one driver writes it."""

    def __init__(self, path: Path) -> None:
        """Open or make a journal; a torn last line is cut off. Raises StageError."""
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise from_system(error, path) from error
        try:
            lines, whole_bytes = _read_lines(path)
            if whole_bytes < os.fstat(self._file).st_size:
                os.ftruncate(self._file, whole_bytes)
            self._size_bytes = whole_bytes
        except BaseException:
            os.close(self._file)
            raise
        self._previous = _digest(lines[-1]) if lines else FIRST

    def write(self, event: str, **facts: Any) -> Event:
        """Append one event and make it durable.

        Raises:
            StageError: the disk is full or broken; what was written before stays whole.
            Superseded: another driver has written meanwhile.
        """
        if os.fstat(self._file).st_size != self._size_bytes:
            raise superseded(self.path)
        time = datetime.now(UTC)
        line = _encode(event, time, facts, self._previous)
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(28, "No space left on device")
            os.fsync(self._file)
        except OSError as error:
            self._cut_torn_tail()
            raise from_system(error, self.path) from error
        self._previous = _digest(line)
        self._size_bytes += len(line)
        return Event(event, time, facts)

    def _cut_torn_tail(self) -> None:
        _, whole_bytes = _read_lines(self.path)
        os.ftruncate(self._file, whole_bytes)

    def close(self) -> None:
        """Close the file; the journal stays readable by `read_events`."""
        os.close(self._file)


def read_events(path: Path) -> list[Event]:
    """Return the whole events of a journal; a torn last line is left out.

    Raises:
        StageError: a line in the middle is damaged or was edited; says which.
    """
    lines, _ = _read_lines(path)
    return [decode_event(line) for line in lines]


def _encode(event: str, time: datetime, facts: dict[str, Any], previous: str) -> bytes:
    fields = {"event": event, "time": time.isoformat(), **facts, "prev": previous}
    body = json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()[:-1]
    return body + _CRC_MARK + f'{zlib.crc32(body):08x}"}}\n'.encode()


def decode_event(line: bytes) -> Event:
    """Return the event of a whole line."""
    fields = json.loads(line)
    own = ("event", "time", "prev", "crc")
    facts = {key: value for key, value in fields.items() if key not in own}
    return Event(fields["event"], datetime.fromisoformat(fields["time"]), facts)


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def is_whole(line: bytes) -> bool:
    """Whether a line is all there and says what was written."""
    body, mark, rest = line.rpartition(_CRC_MARK)
    return bool(mark) and line.endswith(b"\n") and rest[:8] == f"{zlib.crc32(body):08x}".encode()


def _read_lines(path: Path) -> tuple[list[bytes], int]:
    """Return the whole lines, chain checked, and how many bytes they take."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return [], 0
    if lines and not is_whole(lines[-1]):
        lines.pop()
    previous = FIRST
    for number, line in enumerate(lines, start=1):
        if not is_whole(line) or f'"prev":"{previous}"'.encode() not in line:
            raise StageError(
                f"{path}, line {number}: the journal is damaged or was edited",
                hint="restore the file from a backup of the NAS; nothing was changed",
            )
        previous = _digest(line)
    return lines, sum(map(len, lines))
