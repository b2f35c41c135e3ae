"""`log.log`: the console's bytes exactly; its length is where following goes on."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from nasexp.runs.files import from_system, superseded

if TYPE_CHECKING:
    from pathlib import Path

SYNC_SECONDS = 2.0

_ESCAPES = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    rb"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and other strings: titles, links
    rb"|\x1b[ -/]*[0-~]"  # other escapes
    rb"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"  # control characters but tab, line end, return
)


class ConsoleLog:
    """The log of one run, open for appending."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.offset = os.fstat(self._file).st_size
        self._synced = time.monotonic()

    def append(self, data: bytes) -> None:
        """Append bytes as they are; on the disk within two seconds.

        Raises:
            StageError: the disk refuses them.
            Superseded: another driver has written meanwhile.
        """
        if os.fstat(self._file).st_size != self.offset:
            raise superseded(self._path)
        try:
            while data:
                written = os.write(self._file, data)
                self.offset += written
                data = data[written:]
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                self._sync()
        except OSError as error:
            raise from_system(error, self._path) from error

    def close(self) -> None:
        """Bring all to the disk and close."""
        try:
            self._sync()
        finally:
            os.close(self._file)

    def _sync(self) -> None:
        os.fsync(self._file)
        self._synced = time.monotonic()


def printable(data: bytes) -> str:
    """Return console bytes as text that is safe on a terminal: no control codes, no bad UTF-8.

    A carriage return ends what a progress bar wrote over, as a terminal would show it.
    """
    text = _ESCAPES.sub(b"", data).decode(errors="replace").replace("\r\n", "\n")
    text = "".join(c for c in text if (c >= " " and not "\x7f" <= c <= "\x9f") or c in "\n\t\r")
    return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))
