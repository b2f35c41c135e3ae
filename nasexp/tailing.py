"""Holds log.log against the console on the host: what is asked for next, and whether it fits.

The length of log.log is the only offset that is kept. Where the training cut or replaced its
console, log.log has a gap; the journal says so, and where the host's file goes on there.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from nasexp.runs.console import ConsoleLog
    from nasexp.values import Job, Observation, Run

KEPT_BYTES = 4096
_READ_BYTES = 1 << 20


@runtime_checkable
class DigestsConsole(Protocol):
    """A job that can tell the digest of its whole console."""

    def console_digest(self) -> str | None:
        """Return the sha256 of the console as the host has it; None where it cannot tell."""
        ...


class Tail:
    """The end of log.log, and which offset of the host's console lies behind it.

    Args:
        run: whose console it is.
        log: the open log.log.
    """

    def __init__(self, run: Run, log: ConsoleLog) -> None:
        self._run = run
        self._log = log
        gap = run.journal.last("console.gap") or {"offset": 0, "host_offset": 0}
        self._gap_at: int = gap["offset"]
        self._shift: int = gap["host_offset"] - gap["offset"]
        self._end = self._own(log.offset - KEPT_BYTES, log.offset)

    @property
    def offset(self) -> int:
        """Where on the host the next byte of log.log lies."""
        return self._log.offset + self._shift

    def took(self, data: bytes) -> None:
        """Note what was appended to log.log."""
        self._end = (self._end + data)[-KEPT_BYTES:]

    def fits(self, seen: Observation, job: Job) -> bool:
        """Whether what was seen follows on log.log; else note a gap, and ask again behind it."""
        if seen.console_bytes is None:
            return True
        if seen.console_bytes < self.offset:
            self._note_gap(self._cut_back_to(seen.console_bytes, job), seen.console_bytes)
            return False
        if _agree(seen.before, self._end):
            return True
        self._note_gap(0, seen.console_bytes)
        return False

    def behind(self, seen: Observation) -> bool:
        """Whether the host had more than one look brought."""
        if seen.console_bytes is None:
            return bool(seen.console)
        return seen.console_bytes > self.offset

    def own_digest(self) -> str:
        """Return the sha256 of log.log."""
        return self._digest_from(0)

    def agrees(self, own: str, host: str) -> bool | None:
        """Whether log.log and the host's console, of these sha256, are equal; None: none can say.

        Behind a gap it is compared with what came since, if that is all of the host's file.
        """
        if self._gap_at + self._shift:
            return None
        return (self._digest_from(self._gap_at) if self._gap_at else own) == host

    def _cut_back_to(self, size: int, job: Job) -> int:
        """Return where a console that got shorter goes on: behind what is left of it, if that is
        the beginning of what came home; else at its start.
        """
        local = size - self._shift
        if not size or local <= self._gap_at:
            return 0
        left = job.look(size)
        own = self._own(local - KEPT_BYTES, local)
        return size if left.before and _agree(left.before, own) else 0

    def _note_gap(self, host_offset: int, host_bytes: int) -> None:
        offset = self._log.offset
        self._run.journal.write(
            "console.gap", offset=offset, host_offset=host_offset, host_bytes=host_bytes
        )
        self._run.monitor.warn(
            f"the console on the host was cut or replaced: log.log has a gap at byte {offset}"
        )
        self._gap_at, self._shift, self._end = offset, host_offset - offset, b""

    def _own(self, begin: int, end: int) -> bytes:
        """Return bytes of log.log, none of them from before its last gap."""
        begin = max(begin, self._gap_at)
        with self._run.paths.log.open("rb") as file:
            file.seek(begin)
            return file.read(max(0, end - begin))

    def _digest_from(self, offset: int) -> str:
        digest = hashlib.sha256()
        with self._run.paths.log.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(_READ_BYTES):
                digest.update(chunk)
        return digest.hexdigest()


def _agree(one: bytes, other: bytes) -> bool:
    """Whether two byte strings that end at the same place are equal as far as both go."""
    size = min(len(one), len(other))
    return one[len(one) - size :] == other[len(other) - size :]
