"""Reads a run as it grows: new events of its journal, new bytes of its console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp.runs.journal import Event, decode_event, is_whole

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_BYTES = 1 << 20


class JournalTail:
    """Gives each event of a journal once, as soon as its line is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Event]:
        """Return what is new; a line that is still being written waits for the next time."""
        data = read_from(self._path, self._offset, -1)
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [decode_event(line) for line in whole.splitlines(keepends=True) if is_whole(line)]


class LogTail:
    """Gives the bytes of a log from an offset on, in chunks."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset

    def read(self) -> bytes:
        """Return the next bytes, not more than one chunk; empty when there are none."""
        data = read_from(self._path, self._offset, CHUNK_BYTES)
        self._offset += len(data)
        return data


def read_from(path: Path, offset: int, limit_bytes: int) -> bytes:
    """Return bytes of a file from an offset on; empty when there is no such file yet."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(limit_bytes)
    except FileNotFoundError:
        return b""
