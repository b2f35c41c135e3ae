"""A tar stream whose bytes depend on names, contents and execute bits alone.

A header of a plain name is one formatted block, the same that tarfile would write; long names
and huge files are left to tarfile.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from nasexp.archives.names import shown
from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nasexp.archives.select import Member

RECORD_BYTES = 512
END_BYTES = 20 * RECORD_BYTES
CHUNK_BYTES = 1 << 20

# 1980-01-01T00:00:00Z, the first second that a zip file can hold too.
FIXED_MTIME = 315532800

LONGEST_PLAIN_NAME = 100
LARGEST_PLAIN_SIZE = 8**11 - 1

FILE, LINK, FOLDER = b"0", b"2", b"5"
MODES = {FOLDER: 0o755, LINK: 0o777}

HINT_LEAVE_ALONE = "do not change bin/ while it is being packed; run it again"


def tar_chunks(root: Path, members: Iterable[Member], prefix: str = "bin/") -> Iterator[bytes]:
    """Yield the tar stream of the members, in their order, in chunks of 1 MiB (the last less).

    Raises:
        StageError: a file vanished, cannot be read, or changed its size while it was read.
    """
    return _in_chunks(_pieces(os.fspath(root), members, os.fsencode(prefix)))


def header(
    name: bytes, kind: bytes, *, size_bytes: int = 0, mode: int, target: bytes = b""
) -> bytes:
    """Return the header of one member: a record, or a few where the name or the size is long."""
    longest = max(len(name), len(target))
    if longest > LONGEST_PLAIN_NAME or size_bytes > LARGEST_PLAIN_SIZE:
        return _header_by_tarfile(name, kind, size_bytes, mode, target)
    before = name.ljust(100, b"\0") + b"%07o\0000000000\0000000000\0%011o\0%011o\0" % (
        mode,
        size_bytes,
        FIXED_MTIME,
    )
    after = kind + target.ljust(100, b"\0") + b"ustar  ".ljust(255, b"\0")
    # The checksum counts its own eight bytes as spaces.
    checksum = b"%06o\0 " % (sum(before) + sum(after) + 8 * 0x20)
    return before + checksum + after


def _header_by_tarfile(
    name: bytes, kind: bytes, size_bytes: int, mode: int, target: bytes
) -> bytes:
    from tarfile import GNU_FORMAT, TarInfo  # noqa: PLC0415 - 10 ms that few archives need

    info = TarInfo(name.decode("utf-8", "surrogateescape"))
    info.type = kind
    info.size = size_bytes
    info.mode = mode
    info.mtime = FIXED_MTIME
    info.linkname = target.decode("utf-8", "surrogateescape")
    return info.tobuf(GNU_FORMAT, "utf-8", "surrogateescape")


def _in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join and cut to one size, so that what a packer sees does not depend on how we read."""
    held: list[bytes] = []
    held_bytes = 0
    for piece in pieces:
        held.append(piece)
        held_bytes += len(piece)
        if held_bytes >= CHUNK_BYTES:
            joined = b"".join(held)
            rest = held_bytes % CHUNK_BYTES
            for start in range(0, held_bytes - rest, CHUNK_BYTES):
                yield joined[start : start + CHUNK_BYTES]
            held, held_bytes = [joined[held_bytes - rest :]], rest
    if held_bytes:
        yield b"".join(held)


def _pieces(root: str, members: Iterable[Member], prefix: bytes) -> Iterator[bytes]:
    total = 0
    for piece in _member_pieces(root, members, prefix):
        total += len(piece)
        yield piece
    # Two empty records end an archive; GNU tar fills up to a multiple of twenty.
    yield bytes(2 * RECORD_BYTES + -(total + 2 * RECORD_BYTES) % END_BYTES)


def _member_pieces(root: str, members: Iterable[Member], prefix: bytes) -> Iterator[bytes]:
    yield header(prefix, FOLDER, mode=MODES[FOLDER])
    for member in members:
        name = prefix + os.fsencode(member.path)
        if member.kind == "file":
            yield from _file_pieces(f"{root}/{member.path}", name)
        elif member.kind == "folder":
            yield header(name + b"/", FOLDER, mode=MODES[FOLDER])
        else:
            yield header(name, LINK, mode=MODES[LINK], target=os.fsencode(member.target))


def _file_pieces(path: str, name: bytes) -> Iterator[bytes]:
    try:
        # O_NONBLOCK: should a fifo have taken the file's place, this does not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _changed(name, "is no regular file any more")
            mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
            yield header(name, FILE, size_bytes=status.st_size, mode=mode)
            yield from _content(descriptor, status.st_size, name)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _changed(name, f"could not be read: {error.strerror}") from error


def _content(descriptor: int, size_bytes: int, name: bytes) -> Iterator[bytes]:
    """Yield exactly what the header promised, and the zeros that fill the last record."""
    left = size_bytes
    while True:
        # One byte more than promised is asked for: most files then need no further call to
        # show that they did not grow.
        wanted = min(left + 1, CHUNK_BYTES)
        data = os.read(descriptor, wanted)
        left -= len(data)
        if left < 0 or not data:
            break
        yield data
        if left == 0 and len(data) < wanted:
            break
    if left:
        what = "shrank" if left > 0 else "grew"
        raise _changed(name, f"{what} while it was being packed ({size_bytes} bytes at first)")
    yield bytes(-size_bytes % RECORD_BYTES)


def _changed(name: bytes, what: str) -> StageError:
    return StageError(f"{shown(os.fsdecode(name))} {what}", hint=HINT_LEAVE_ALONE)
