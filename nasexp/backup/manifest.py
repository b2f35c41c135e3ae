"""What lies in the output folder on the host, and which of it can be trusted to be whole."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasexp.errors import StageError

if TYPE_CHECKING:
    from nasexp.connections.protocol import Connection

LISTING_SECONDS = 600.0

# A file of less is never worth the care for its holes.
SMALLEST_SPARSE_BYTES = 1 << 20
BLOCK_BYTES = 512

# For each file a row `type size mtime ctime inode path`, then `blocks target` (the target of a
# link, empty for a file), each ended by NUL. GNU find gives all at once. Elsewhere stat is asked,
# once for many files, and knows whole seconds only; where a file vanishes under it, one by one.
_LIST = r"""
cd "$1" 2>/dev/null || exit 44
if find . -maxdepth 0 -printf '' 2>/dev/null; then
  exec find . \( -type f -o -type l \) -printf '%y %s %T@ %C@ %i %P\0%b %l\0'
fi
exec find . \( -type f -o -type l \) -exec sh -c '
  ask() { stat -c "%f|%s %Y %Z %i|%b" -- "$@" 2>/dev/null; }
  show() {
    facts=${1#*|} kind=f target=
    case $1 in a*) kind=l; target=$(readlink "$2") ;; esac
    printf "%s %s %s\0%s %s\0" $kind "${facts%|*}" "${2#./}" "${facts##*|}" "$target"
  }
  IFS="
"
  rows=$(ask "$@")
  count=0
  for row in $rows; do count=$((count + 1)); done
  if [ $count -ne $# ]; then
    for file; do row=$(ask "$file") && show "$row" "$file"; done
    exit 0
  fi
  for row in $rows; do show "$row" "$1"; shift; done' sh {} +
"""

_MISSING = 44


@dataclass(frozen=True, slots=True)
class Row:
    """One file as the host sees it; two equal rows mean that nobody wrote in between."""

    kind: bytes
    size_bytes: int
    mtime: bytes
    ctime: bytes
    inode: bytes
    target: bytes = b""
    # Blocks come with the write-back, later than the bytes: no sign of a change.
    blocks: int | None = field(default=None, compare=False)

    @property
    def is_sparse(self) -> bool:
        """Whether much less of it is on the host's disk than it has bytes."""
        if self.blocks is None or self.size_bytes < SMALLEST_SPARSE_BYTES:
            return False
        return self.blocks * BLOCK_BYTES * 2 < self.size_bytes

    @property
    def version(self) -> bytes:
        """Another one for every change."""
        return b"%d %s %s %s" % (self.size_bytes, self.mtime, self.ctime, self.inode)

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
    fields = data.split(b"\0")[:-1]
    for row, more in zip(fields[::2], [*fields[1::2], b""], strict=False):
        try:
            kind, size, mtime, ctime, inode, path = row.split(b" ", 5)
            blocks, _, target = more.partition(b" ")
            count = int(blocks) if blocks else None
            entry = Row(kind, int(size), mtime, ctime, inode, target, count)
            entry.mtime_ns  # noqa: B018 - a time that cannot be read is refused here
        except ValueError as error:
            raise StageError(f"the host's list of files makes no sense: {row[:80]!r}") from error
        if path.startswith(b"/") or b".." in path.split(b"/") or not path or kind not in b"fl":
            raise StageError(f"the host sent a path that leaves the folder: {os.fsdecode(path)!r}")
        manifest[path] = entry
    return manifest
