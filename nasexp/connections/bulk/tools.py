"""Which programs a host has, of those that copies can use; and digests by whichever it has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nasexp.connections.protocol import Connection

BATCH_BYTES = 100_000
DIGEST_FILES_BYTES = 8 << 30
DIGEST_SECONDS = 120.0
SLOWEST_DIGEST_BYTES_PER_SECOND = 20e6

GNU_TAR, TAR, PYTHON, GZIP, TEE = "gnu-tar", "tar", "python3", "gzip", "tee"

_TOOLS = """
for tool in tar python3 gzip tee openssl sha256sum; do
  ! command -v $tool >/dev/null 2>&1 || printf '%s\\n' $tool
done
case $(tar --version 2>/dev/null </dev/null) in *'GNU tar'*) echo gnu-tar ;; esac
exit 0
"""

# Lines `DIGEST *NAME`, by one process for all names: openssl uses the processor's instructions
# for it, as Python does; sha256sum of many systems does not and is five times slower.
_DIGESTS = """
cd "$1" && shift || exit 9
if command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r "$@"
elif command -v python3 >/dev/null 2>&1; then python3 -c '
import hashlib, os, sys
for name in map(os.fsencode, sys.argv[1:]):
    digest = hashlib.sha256()
    try:
        with open(name, "rb", buffering=0) as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        continue
    sys.stdout.buffer.write(digest.hexdigest().encode() + b" *" + name + bytes([10]))
' "$@"
elif command -v sha256sum >/dev/null 2>&1; then sha256sum "$@"
else exit 40
fi 2>/dev/null
exit 0
"""

# Prints `DIGEST …` of stdin, or nothing.
SUM_OF = """
sum_of() {
  if command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r
  elif command -v python3 >/dev/null 2>&1; then python3 -c '
import hashlib, sys
digest = hashlib.sha256()
for block in iter(lambda: sys.stdin.buffer.read(1 << 20), b""):
    digest.update(block)
print(digest.hexdigest())'
  elif command -v sha256sum >/dev/null 2>&1; then sha256sum
  fi 2>/dev/null
}
"""
DIGESTERS = frozenset({"openssl", "python3", "sha256sum"})

# One name that a line of the above could not hold, or not the same from every program.
_ONE_DIGEST = (
    SUM_OF
    + """
cd "$1" || exit 9
sum_of <"$2"
exit 0
"""
)

_NO_TOOL = 40
_LINE = re.compile(rb"([0-9a-f]{64}) [ *]\./(.+)")


def ask_tools(connection: Connection) -> frozenset[str]:
    """Return the names of the tools that the host has. Raises ConnectionLost."""
    return frozenset(connection.run(_TOOLS).text().split())


def host_digests(
    connection: Connection, folder: str, sizes: Mapping[bytes, int]
) -> dict[bytes, str] | None:
    """Return the sha256 of files on the host; None where it has no program for that.

    Args:
        connection: to the host.
        folder: on the host, absolute.
        sizes: of the files, by their paths in it: they say how long an answer may take.

    Returns:
        digests by path; without those that cannot be read or are gone.

    Raises:
        ConnectionLost: no answer came.
        StageError: there is no such folder.
    """
    found: dict[bytes, str] = {}
    plain = [path for path in sizes if not _is_odd(path)]
    for batch in by_size(plain, sizes):
        seconds = patience(sum(sizes[path] for path in batch))
        words = [b"./" + path for path in batch]
        answer = connection.run(_DIGESTS, folder, *words, deadline_seconds=seconds)
        if answer.status == _NO_TOOL:
            return None
        if answer.status:
            raise StageError(f"cannot read {folder}: {answer.complaint()}")
        matches = map(_LINE.fullmatch, answer.output.split(b"\n"))
        found |= {match[2]: match[1].decode() for match in matches if match}
    for path in filter(_is_odd, sizes):
        seconds = patience(sizes[path])
        answer = connection.run(_ONE_DIGEST, folder, b"./" + path, deadline_seconds=seconds)
        if re.fullmatch(rb"[0-9a-f]{64}", answer.output[:64]):
            found[path] = answer.output[:64].decode()
    return found


def patience(size_bytes: int) -> float:
    """Return how many seconds a host may take for the digest of so many bytes."""
    return DIGEST_SECONDS + size_bytes / SLOWEST_DIGEST_BYTES_PER_SECOND


def by_size(paths: Sequence[bytes], sizes: Mapping[bytes, int]) -> Iterable[list[bytes]]:
    """Split paths into lists that fit on a command line and hold a bounded amount of bytes."""
    batch: list[bytes] = []
    names_bytes = files_bytes = 0
    for path in paths:
        is_full = names_bytes + len(path) > BATCH_BYTES
        if batch and (is_full or files_bytes + sizes[path] > DIGEST_FILES_BYTES):
            yield batch
            batch, names_bytes, files_bytes = [], 0, 0
        batch.append(path)
        names_bytes += len(path) + 8
        files_bytes += sizes[path]
    if batch:
        yield batch


def _is_odd(path: bytes) -> bool:
    """Whether coreutils would escape the name, or it would end the line."""
    return b"\n" in path or b"\\" in path or b"\r" in path
