"""What is known of the files in `output/`: the digests that were taken while they were copied.

A file's digest holds for as long as its status here stays what it was: whoever writes to it, or
puts another in its place, changes its ctime.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from nasexp.runs.files import write_whole

if TYPE_CHECKING:
    from nasexp.runs.paths import RunPaths


class Copied:
    """The digests of one run, kept in a hidden file beside its output until it is collected."""

    def __init__(self, paths: RunPaths) -> None:
        self._file = paths.copied
        self._output = os.fsencode(paths.output)
        self._known: dict[bytes, tuple[bytes, bytes]] = {}
        with contextlib.suppress(OSError, ValueError):
            for line in self._file.read_bytes().split(b"\0")[:-1]:
                digest, size, mtime, ctime, inode, path = line.split(b" ", 5)
                self._known[path] = digest, b" ".join((size, mtime, ctime, inode))

    def add(self, path: bytes, digest: str) -> None:
        """Remember the digest of a file that has just got its place."""
        self._known[path] = digest.encode(), _status(self._output + b"/" + path)

    def digest(self, path: bytes) -> str | None:
        """Return the digest of a file in `output/`; None when it is not known, or not any more."""
        digest, status = self._known.get(path, (b"", b""))
        with contextlib.suppress(OSError):
            if digest and _status(self._output + b"/" + path) == status:
                return digest.decode()
        return None

    def forget(self) -> None:
        """Remove the file: the run's manifest has all of it by now."""
        self._file.unlink(missing_ok=True)

    def save(self) -> None:
        """Write all of it down. Raises StageError where the disk refuses it."""
        rows = (b"%s %s %s\0" % (*self._known[path], path) for path in sorted(self._known))
        write_whole(self._file, b"".join(rows))


def _status(path: bytes) -> bytes:
    found = os.lstat(path)
    return b"%d %d %d %d" % (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
