"""Many small files from the host, by one tar stream: asked for again where it was cut."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nasexp.archives.gz import expanded
from nasexp.archives.tree import RefusedError, safe_path
from nasexp.archives.untar import FILE, HARD_LINK, CutShortError, DamagedError, TarReader, as_error
from nasexp.connections.bulk.large import MOST_BREAKS
from nasexp.connections.bulk.shrink import Gauge
from nasexp.connections.bulk.tools import GNU_TAR, GZIP, TAR
from nasexp.errors import ConnectionLost, StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nasexp.archives.tree import Tree
    from nasexp.archives.untar import Entry
    from nasexp.connections.bulk.link import Link, Received

CHUNK_BYTES = 1 << 20

_IN = 'cd "$1" && shift || exit 9\n'

# The names go in by stdin: there is no bound on how many. `--hard-dereference`: each name is a
# file of its own here. What cannot be read is left out, and missed later.
_GNU_TAR = (
    _IN + "printf '%s\\0' \"$@\" | tar -c --format=gnu --no-recursion --hard-dereference "
    "--null --no-unquote -b 128 -T - -f - 2>/dev/null\n"
)

_ANY_TAR = _IN + 'tar -cf - "$@" 2>/dev/null\n'

_PYTHON_TAR = (
    _IN
    + r"""
printf '%s\0' "$@" | python3 -c '
import os, sys, tarfile
flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
form = {"format": tarfile.GNU_FORMAT, "encoding": "utf-8", "errors": "surrogateescape"}
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", bufsize=1 << 18, **form) as tar:
    tar.dereference = True
    for name in sys.stdin.buffer.read().split(bytes(1))[:-1]:
        try:
            file = os.fdopen(os.open(name, flags), "rb")
        except OSError:
            continue
        with file:
            name = name.decode("utf-8", "surrogateescape")
            info = tar.gettarinfo(arcname=name, fileobj=file)
            if info is not None and info.isreg():
                tar.addfile(info, file)
' 2>/dev/null
"""
)

_PACKED = "| gzip -1 -c\n"


class SmallFiles:
    """Files that come in tar streams into one tree.

    Args:
        link: to the host.
        folder: on the host.
        tree: where they go.
        progress: called with the number of bytes that came.
    """

    def __init__(
        self, link: Link, folder: str, tree: Tree, progress: Callable[[int], None]
    ) -> None:
        self._link = link
        self._folder = folder
        self._tree = tree
        self._progress = progress
        self._gauge = Gauge()
        self._is_packed = False
        self._breaks = 0

    def fetch(self, sizes: Mapping[bytes, int]) -> list[bytes]:
        """Fetch files; return the paths of those that did not come, or with another size.

        Args:
            sizes: in bytes, by path, as the manifest has them.

        Raises:
            StageError: the disk here is full, or the host sends no archive.
            ConnectionLost: there was no progress for as long as the link's patience lasts.
        """
        left = {os.fsdecode(path): size for path, size in sizes.items()}
        while left and not self._link.keep_trying(lambda: self._stream(left)):
            pass
        return [os.fsencode(path) for path in left]

    def _stream(self, left: dict[str, int]) -> bool:
        """Take files out of `left` as they come; False where the rest is to come packed."""
        words = [b"./" + os.fsencode(path) for path in left]
        with self._link.receiving(self._program(), self._folder, *words) as received:
            reader = TarReader(self._unpacked(received))
            try:
                while entry := reader.next():
                    self._take(entry, reader, left)
                    if not self._is_packed and self._should_pack(received):
                        self._is_packed = True
                        return False
                reader.drain()
            except CutShortError:
                self._explain(received)
            except DamagedError as error:
                raise as_error(error) from error
        return True

    def _take(self, entry: Entry, reader: TarReader, left: dict[str, int]) -> None:
        """Make a file that was asked for; one that changed is passed over, its time will come."""
        try:
            path = safe_path(entry.name)
            is_whole = entry.kind == FILE and entry.size_bytes == left.get(path)
            is_twin = entry.kind == HARD_LINK and safe_path(entry.target) in self._tree.digests
        except RefusedError:
            return
        if path in left and (is_whole or is_twin):
            self._tree.add(entry, reader)
            self._progress(left.pop(path))
            self._breaks = 0
            self._link.moved()
            self._link.answered()

    def _program(self) -> str:
        tools = self._link.tools()
        plain = _GNU_TAR if GNU_TAR in tools else _ANY_TAR if TAR in tools else _PYTHON_TAR
        return plain.rstrip() + _PACKED if self._is_packed else plain

    def _unpacked(self, received: Received) -> Iterator[bytes]:
        if self._is_packed:
            return expanded(received, CHUNK_BYTES)
        return self._gauge.through(received)

    def _should_pack(self, received: Received) -> bool:
        return GZIP in self._link.tools() and self._gauge.should_pack(received)

    def _explain(self, received: Received) -> None:
        """Say why an archive ended too early: the link, or what packs on the host."""
        self._link.connection.run("true")
        self._breaks += 1
        if self._breaks > MOST_BREAKS:
            ended = received.failure.message if received.failure else "it ends too early"
            raise StageError(f"host '{self._link.host}' cannot send {self._folder}: {ended}")
        raise ConnectionLost(f"host '{self._link.host}' stopped sending")
