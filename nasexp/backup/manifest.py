"""What lies in the output folder on the host, and which of it can be trusted to be whole."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nasexp.connections.protocol import Connection

LISTING_SECONDS = 600.0
BATCH_BYTES = 100_000

# Rows `type size mtime ctime inode path` ended by NUL. GNU find gives all at once; elsewhere
# stat is asked for each file and knows whole seconds only.
_LIST = r"""
cd "$1" 2>/dev/null || exit 44
if find . -maxdepth 0 -printf '' 2>/dev/null; then
  exec find . \( -type f -o -type l \) -printf '%y %s %T@ %C@ %i %P\0'
fi
exec find . \( -type f -o -type l \) -exec sh -c '
  for file; do
    if [ -L "$file" ]; then kind=l; else kind=f; fi
    row=$(stat -c "%s %Y %Z %i" -- "$file") || continue
    printf "%s %s %s\0" $kind "$row" "${file#./}"
  done' sh {} +
"""

_MISSING = 44

# Digests in the order of the words; what cannot be read gets a line too.
_DIGESTS = """
cd "$1" && shift || exit 9
for file; do
  if command -v sha256sum >/dev/null 2>&1; then sum=$(sha256sum <"$file")
  else sum=$(openssl dgst -sha256 -r <"$file"); fi 2>/dev/null
  printf '%s\\n' "${sum%% *}"
done
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One file as the host sees it; two equal rows mean that nobody wrote in between."""

    kind: bytes
    size_bytes: int
    mtime: bytes
    ctime: bytes
    inode: bytes

    @property
    def mtime_ns(self) -> int:
        """The time of the last change, in nanoseconds since 1970."""
        seconds, _, fraction = self.mtime.partition(b".")
        return int(seconds) * 10**9 + int(fraction[:9].ljust(9, b"0") or b"0")


Manifest = dict[bytes, Row]


def read_manifest(connection: Connection, folder: str) -> Manifest | None:
    """Return path → row of the files and links below a folder; None when it is missing.

    Raises:
        StageError: the host cannot list it, or answers nonsense.
    """
    answer = connection.run(_LIST, folder, deadline_seconds=LISTING_SECONDS)
    if answer.status == _MISSING:
        return None
    # find ends with 1 when a folder vanished under it; what it listed still holds.
    if answer.status and answer.errors.strip() and b"No such file" not in answer.errors:
        raise StageError(f"cannot list {folder}: {answer.complaint()}")
    return parse_manifest(answer.output)


def parse_manifest(data: bytes) -> Manifest:
    """Read NUL-ended rows. Raises StageError for rows or paths that no host may send."""
    manifest: Manifest = {}
    for row in data.split(b"\0")[:-1]:
        try:
            kind, size, mtime, ctime, inode, path = row.split(b" ", 5)
            entry = Row(kind, int(size), mtime, ctime, inode)
            entry.mtime_ns  # noqa: B018 - a time that cannot be read is refused here
        except ValueError as error:
            raise StageError(f"the host's list of files makes no sense: {row[:80]!r}") from error
        if path.startswith(b"/") or b".." in path.split(b"/") or not path or kind not in b"fl":
            raise StageError(f"the host sent a path that leaves the folder: {os.fsdecode(path)!r}")
        manifest[path] = entry
    return manifest


def host_digests(connection: Connection, folder: str, paths: Sequence[bytes]) -> list[str]:
    """Return the sha256 of files on the host, in order; an empty text where it has no answer."""
    found: list[str] = []
    for batch in batches(paths):
        answer = connection.run(_DIGESTS, folder, *batch, deadline_seconds=LISTING_SECONDS)
        lines = answer.text().split("\n") if answer.output else []
        found += lines if len(lines) == len(batch) else [""] * len(batch)
    return found


def batches(paths: Iterable[bytes]) -> Iterable[list[bytes]]:
    """Split paths into lists that fit on a command line."""
    batch: list[bytes] = []
    size = 0
    for path in paths:
        if batch and size + len(path) > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += len(path) + 8
    if batch:
        yield batch
