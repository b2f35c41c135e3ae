"""A byte stream into a file on the host, that goes on by offset after a cut.

The bytes are appended to `NAME.part`, which becomes NAME once its digest is right. While a
program on the host appends, a mark `NAME.part.open.NONCE` lies beside the part: after a cut the
program may be alive still, with bytes in its pipes. So where a mark is left, what arrived goes
on in a new file, and the old program keeps one that has no name any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasexp.archives.ahead import ahead
from nasexp.connections.bulk.cursor import Cursor
from nasexp.connections.bulk.link import ANSWER_SECONDS, CHUNK_SECONDS
from nasexp.connections.bulk.tools import host_digests
from nasexp.connections.protocol import set_words
from nasexp.errors import ConnectionLost, StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from contextlib import AbstractContextManager

    from nasexp.connections.bulk.link import Link

# One stream carries so much at most: re-keying and a lost last answer then cost little.
PIECE_BYTES = 256 << 20

ATTEMPTS = 2

_SIZE_OF = 'size_of() { stat -c %s -- "$1" 2>/dev/null || wc -c <"$1"; }\n'

# Prints how much has arrived. The own mark comes first and goes last, the others go before the
# part changes its inode: whoever opens the part later than that sees that its mark is gone.
_ARRIVED = (
    _SIZE_OF
    + """
umask 077
mkdir -p "${1%/*}" || exit 9
busy=
for mark in "$1".open.*; do [ ! -e "$mark" ] || busy=1; done
if [ -n "$busy" ]; then
  printf '' >"$1.open.$2" || exit 9
  for mark in "$1".open.*; do [ "$mark" = "$1.open.$2" ] || rm -f "$mark"; done
  blocks=0
  [ ! -e "$1" ] || blocks=$(($(size_of "$1") / 1048576))
  if [ $blocks -gt 0 ] && dd if="$1" of="$1.copy" bs=1048576 count=$blocks 2>/dev/null; then
    mv -f "$1.copy" "$1" || exit 9
  else
    rm -f "$1.copy" "$1"
  fi
  rm -f "$1.open.$2"
fi
if [ -e "$1" ]; then size_of "$1"; else echo 0; fi
"""
)

_APPEND = (
    _SIZE_OF
    + """
umask 077
LC_ALL=C; export LC_ALL
(
  printf '' >"$1.open.$2" || exit 7
  exec >>"$1" || exit 7
  [ -e "$1.open.$2" ] && [ "$(size_of "$1")" -eq "$3" ] || exit 8
  exec cat
)
status=$?
rm -f "$1.open.$2"
printf '\\nnasexp-end %d %d\\n' $status "$(size_of "$1")"
exit $status
"""
)

_PUBLISH = 'mv -f "$1" "$2"'
_FORGET = 'rm -f "$1" "$1".open.*'

_END = re.compile(rb"\nnasexp-end (\d+) (\d+)\s*\Z")
_OTHER_SIZE = 8


@dataclass(frozen=True, slots=True)
class Source:
    """What is sent: a stream that can be opened again from its beginning.

    Attributes:
        open: makes the context in which its chunks are read.
        size_bytes: of all of it.
        sha256: of all of it, where that is known; else it is computed as the bytes pass.
    """

    open: Callable[[], AbstractContextManager[Iterator[bytes]]]
    size_bytes: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What arrived: its digest, and whether the host could check it."""

    sha256: str
    checked: bool


def upload(link: Link, source: Source, path: str) -> Uploaded:
    """Send a stream into a file on the host, which appears there whole or not at all.

    What a call before this one has brought to the host is not sent again.

    Args:
        link: to the host.
        source: what is sent.
        path: of the file, absolute; its folder is made if need be.

    Raises:
        StageError: the host's disk is full or cannot be written, or what arrived has twice
            another digest; or the source cannot be read.
        ConnectionLost: there was no progress for as long as the link's patience lasts.
    """
    for _ in range(ATTEMPTS):
        sending = Sending(link, source, path)
        sending.send()
        if done := sending.publish():
            return done
    raise StageError(
        f"{path} arrived damaged on host '{link.host}', twice",
        hint="its disk, its memory or the link may be faulty",
    )


class Sending:
    """One upload, which may be made in parts."""

    def __init__(self, link: Link, source: Source, path: str) -> None:
        self._link = link
        self._source = source
        self._path = path
        self._part = f"{path}.part"
        self._sum = _Sum()
        self._arrived = -1
        self.seconds = 0.0

    def send(self, up_to_bytes: int | None = None) -> None:
        """Send what the host does not have yet; of a later offset than `up_to_bytes` nothing."""
        size = self._source.size_bytes
        end = size if up_to_bytes is None else min(up_to_bytes, size)
        self._link.keep_trying(lambda: self._send_rest(end))

    def publish(self) -> Uploaded | None:
        """Give the file its name if it has the right digest; else remove it and return None."""
        ours = self._source.sha256 or self._sum.hexdigest()
        theirs = self._link.keep_trying(self._ask_digest)
        if theirs not in ("", ours):
            self._link.monitor.note(f"{self._path} arrived damaged; it is sent again")
            self.forget()
            return None
        words = (_PUBLISH, self._part, self._path)
        answer = self._link.keep_trying(lambda: self._link.connection.run(*words))
        if answer.status and self._link.keep_trying(self._ask_arrived) != 0:
            raise self._refused(answer.complaint())
        return Uploaded(ours, checked=bool(theirs))

    def forget(self) -> None:
        """Remove from the host what has arrived."""
        self._link.keep_trying(lambda: self._link.connection.run(_FORGET, self._part))

    def _send_rest(self, end: int) -> None:
        arrived = self._ask_arrived()
        self._link.answered()
        if arrived > self._source.size_bytes:
            self.forget()
            arrived = 0
        self._note(arrived)
        with self._source.open() as chunks, ahead(self._summed(chunks)) as ready:
            cursor = Cursor(ready)
            cursor.skip(arrived)
            if not end:  # an empty file is one too
                self._append(cursor, 0, 0)
            while arrived < end:
                arrived = self._append(cursor, arrived, min(PIECE_BYTES, end - arrived))
                self._note(arrived)
            if arrived == self._source.size_bytes and not cursor.is_at_end():
                raise StageError(f"what is sent to {self._path} grew meanwhile")

    def _summed(self, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
        # Closed with the thread that it is read in; the context closes what lies below.
        at = 0
        for chunk in chunks:
            if not self._source.sha256:
                self._sum.update(at, chunk)
            at += len(chunk)
            yield chunk

    def _append(self, cursor: Cursor, arrived: int, count: int) -> int:
        """Send one piece and return how much has arrived then."""
        mark = secrets.token_hex(8)
        words = set_words([self._part, mark, str(arrived)]).decode(errors="surrogateescape")
        began = self._link.clock.now()
        paced = self._link.pace.through(cursor.take(count))
        answer = self._link.connection.send(
            words + _APPEND, self._told(paced, arrived), deadline_seconds=CHUNK_SECONDS
        )
        self.seconds += self._link.clock.now() - began
        end = _END.search(answer.errors)
        if not end or int(end[1]) == _OTHER_SIZE:
            raise ConnectionLost(f"host '{self._link.host}' did not say what arrived")
        status, size = int(end[1]), int(end[2])
        if status:
            complaint = answer.errors[: end.start()].decode(errors="replace").strip()
            raise self._refused(complaint.rpartition("\n")[2] or f"exit status {status}")
        if size != arrived + count:
            raise ConnectionLost(f"host '{self._link.host}' has {size} bytes of {arrived + count}")
        return size

    def _told(self, chunks: Iterable[bytes], done: int) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            self._link.monitor.progress(done, self._source.size_bytes)

    def _ask_arrived(self) -> int:
        answer = self._link.connection.run(
            _ARRIVED, self._part, secrets.token_hex(8), deadline_seconds=ANSWER_SECONDS
        )
        if answer.status:
            raise self._refused(answer.complaint())
        with contextlib.suppress(ValueError):
            return int(answer.text())
        raise StageError(f"host '{self._link.host}' does not say how much of {self._part} it has")

    def _ask_digest(self) -> str:
        """Return what the host has; empty where it has no program to tell."""
        folder, _, name = self._part.rpartition("/")
        key = name.encode(errors="surrogateescape")
        found = host_digests(self._link.connection, folder, {key: self._source.size_bytes})
        return "" if found is None else found.get(key, "gone")

    def _note(self, arrived: int) -> None:
        if arrived > self._arrived:
            self._arrived = arrived
            self._link.moved()

    def _refused(self, complaint: str) -> StageError:
        folder = self._part.rpartition("/")[0]
        kept = f"; the {self._arrived} bytes that arrived are kept" if self._arrived > 0 else ""
        return StageError(
            f"host '{self._link.host}' could not take {self._path}: {complaint}",
            hint=f"see to the disk of {folder} there (`df -h {folder}`; the file has "
            f"{self._source.size_bytes} bytes), then try again{kept}",
        )


class _Sum:
    """The digest of a stream that may be read again from its beginning."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()
        self._end = 0

    def update(self, at: int, chunk: bytes) -> None:
        if at + len(chunk) > self._end:
            self._sum.update(memoryview(chunk)[max(0, self._end - at) :])
            self._end = at + len(chunk)

    def hexdigest(self) -> str:
        return self._sum.hexdigest()
