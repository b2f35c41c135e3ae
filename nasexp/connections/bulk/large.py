"""One large file from the host, by ranges: it goes on where it was cut, and holes stay holes."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nasexp.archives.gz import expanded
from nasexp.archives.names import shown
from nasexp.archives.tree import write_all
from nasexp.connections.bulk.shrink import Gauge
from nasexp.connections.bulk.tools import GZIP
from nasexp.errors import ConnectionLost, StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nasexp.connections.bulk.link import Link, Received

BLOCK_BYTES = 1 << 20
PIECE_BLOCKS = 256

# Holes are found in steps of what file systems keep at least.
HOLE_BYTES = 1 << 16

# Read by blocks: `tail -c +N` of busybox reads all that lies before. Nothing but a plain file is
# opened; a fifo would wait for a writer.
_RANGE = """
cd "$1" && [ -f "$2" ] && [ ! -L "$2" ] || exit 9
dd if="$2" bs=1048576 skip="$3" count="$4" 2>/dev/null
"""
_PACKED_RANGE = _RANGE.rstrip() + " | gzip -1 -c\n"

# For each file why it did not come: `gone`, `unreadable`, or how large it is now.
_STATES = """
cd "$1" && shift || exit 9
for file; do
  if [ ! -f "$file" ] || [ -L "$file" ]; then echo gone
  elif [ ! -r "$file" ]; then echo unreadable
  else stat -c %s -- "$file" 2>/dev/null || wc -c <"$file"
  fi
done
"""

# So often in a row a host that answers may stop in the middle of a file.
MOST_BREAKS = 3

_ZEROS = bytes(HOLE_BYTES)


class NotFetchedError(Exception):
    """The file did not come: `gone`, `unreadable` or `changed`."""


def states_of(link: Link, folder: str, paths: Sequence[bytes]) -> list[str]:
    """Return what is to say of files: `gone`, `unreadable`, or the size in bytes.

    Raises:
        ConnectionLost: no answer came.
        StageError: the folder is gone.
    """
    answer = link.connection.run(_STATES, folder, *[b"./" + path for path in paths])
    states = answer.text().split()
    if len(states) != len(paths):
        raise StageError(f"host '{link.host}' lost {folder}: {answer.complaint()}")
    return states


class LargeFile:
    """A copy of one file into another that grows.

    Args:
        link: to the host.
        folder: on the host.
        path: of the file below it.
        size_bytes: as the manifest has it; no more is taken.
        is_sparse: whether it has holes worth the trouble.
        into: the file here; what it holds already is kept.
        progress: called with the number of bytes that came.
    """

    def __init__(
        self,
        link: Link,
        folder: str,
        path: bytes,
        size_bytes: int,
        *,
        is_sparse: bool,
        into: str,
        progress: Callable[[int], None],
    ) -> None:
        self._link = link
        self._folder = folder
        self._path = path
        self._size_bytes = size_bytes
        self._is_sparse = is_sparse
        self._into = into
        self._progress = progress
        self._sum = hashlib.sha256()
        self._at = 0
        # Zeros are the one thing that is known to shrink without a look at it.
        self._is_packed = is_sparse and GZIP in link.tools()
        self._gauge = Gauge()
        self._breaks = 0

    def fetch(self) -> str:
        """Bring all of it; return its sha256.

        Raises:
            NotFetchedError: it is not, or no longer, what the manifest says.
            StageError: the disk here is full.
            ConnectionLost: there was no progress for as long as the link's patience lasts.
        """
        try:
            with self._opened() as file:
                self._adopt(file)
                while self._at < self._size_bytes:
                    self._link.keep_trying(lambda: self._fetch_piece(file))
        except OSError as error:
            raise StageError(
                f"{shown(os.fsdecode(self._path))} cannot be made: {error.strerror}",
                hint="make room on the disk of the results",
            ) from error
        return self._sum.hexdigest()

    @contextmanager
    def _opened(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self._into, flags, 0o666)
        try:
            yield file
        finally:
            # A hole at the end has a size too; and so the next call finds where to go on.
            os.ftruncate(file, self._at)
            os.close(file)

    def _adopt(self, file: int) -> None:
        """Go on behind the whole blocks that are here already."""
        have = min(os.fstat(file).st_size, self._size_bytes)
        while have - self._at >= BLOCK_BYTES:
            self._sum.update(os.pread(file, BLOCK_BYTES, self._at))
            self._at += BLOCK_BYTES
        os.ftruncate(file, self._at)
        os.lseek(file, self._at, os.SEEK_SET)
        self._progress(self._at)

    def _fetch_piece(self, file: int) -> None:
        """Fetch the next piece, or what is left of it."""
        start = self._at
        end = min(start + PIECE_BLOCKS * BLOCK_BYTES, self._size_bytes)
        program = _PACKED_RANGE if self._is_packed else _RANGE
        words = (self._folder, b"./" + self._path, str(start // BLOCK_BYTES), str(PIECE_BLOCKS))
        with self._link.receiving(program, *words) as received:
            for block in _blocks(self._unpacked(received), end - start):
                self._take(file, block)
                if not self._is_packed and self._should_pack(received):
                    self._is_packed = True
                    return
        if self._at < end:
            self._explain()

    def _unpacked(self, received: Received) -> Iterator[bytes]:
        if self._is_packed:
            return expanded(received, BLOCK_BYTES)
        return self._gauge.through(received)

    def _should_pack(self, received: Received) -> bool:
        return GZIP in self._link.tools() and self._gauge.should_pack(received)

    def _take(self, file: int, block: bytes) -> None:
        self._sum.update(block)
        if self._is_sparse:
            for start in range(0, len(block), HOLE_BYTES):
                _write_unless_zero(file, block[start : start + HOLE_BYTES])
        else:
            write_all(file, block)
        self._at += len(block)
        self._breaks = 0
        self._link.moved()
        self._link.answered()
        self._progress(len(block))

    def _explain(self) -> None:
        """Say why the stream ended too early; the link itself may be the reason."""
        [state] = states_of(self._link, self._folder, [self._path])
        if state in ("gone", "unreadable"):
            raise NotFetchedError(state)
        if state != str(self._size_bytes):
            raise NotFetchedError("changed")
        self._breaks += 1
        if self._breaks > MOST_BREAKS:  # the link is well: the host's disk is not
            raise NotFetchedError("unreadable")
        raise ConnectionLost(f"host '{self._link.host}' stopped sending")


def _blocks(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Yield blocks of 1 MiB, the last one of `count` bytes less; half a block is not taken."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while count and len(held) >= (size := min(BLOCK_BYTES, count)):
            yield bytes(held[:size])
            del held[:size]
            count -= size
        if not count:
            return


def _write_unless_zero(file: int, part: bytes) -> None:
    if part == _ZEROS[: len(part)]:
        os.lseek(file, len(part), os.SEEK_CUR)
    else:
        write_all(file, part)
