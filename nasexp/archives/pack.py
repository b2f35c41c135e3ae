"""Packs a project's `bin/` into `bin.tar.gz`: the same files give the same bytes.

What names an archive is the digest of the tar stream inside; it does not depend on the packer.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasexp.archives.ahead import ahead
from nasexp.archives.gz import compressor, open_chunks
from nasexp.archives.names import shown
from nasexp.archives.select import LeftOut, select
from nasexp.archives.tarstream import CHUNK_BYTES, tar_chunks
from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import IO

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Packed:
    """A finished archive: sha256 and size are those of the tar stream, before compression."""

    sha256: str
    size_bytes: int
    packed_bytes: int
    members: int
    left_out: tuple[LeftOut, ...]


def pack(root: Path, destination: Path) -> Packed:
    """Pack what `select` chooses of a folder; the archive appears whole and on the disk, or not.

    After any error the destination is what it was before, and nothing lies beside it.

    Raises:
        ConfigError: `.nasexpignore` has a line that is no pattern.
        StageError: a file cannot be read or changed meanwhile; or the disk is full.
    """
    selection = select(root)
    tar = _Summed()
    with _published(destination) as file:
        # One thread reads and sums, one compresses, this one writes: all three wait for
        # something other than Python.
        with ahead(_compressed(tar.chunks(tar_chunks(root, selection.members)))) as packed:
            for block in packed:
                file.write(block)
        packed_bytes = file.tell()
    return Packed(
        tar.digest.hexdigest(),
        tar.size_bytes,
        packed_bytes,
        len(selection.members),
        selection.left_out,
    )


def open_tar(path: Path) -> AbstractContextManager[Iterator[bytes]]:
    """Open an archive; in the block, iterate over its tar stream in chunks of 1 MiB.

    Raises:
        StageError: the file cannot be opened; or, while iterating, is damaged or cut short.
    """
    return open_chunks(path, CHUNK_BYTES)


def digest_of(path: Path) -> str:
    """Return the sha256 of the tar stream in an archive, having read it whole.

    Raises:
        StageError: the archive cannot be read, is damaged or cut short.
    """
    digest = hashlib.sha256()
    with open_tar(path) as chunks:
        for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


class _Summed:
    """Digest and size of the chunks that were taken through it."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def chunks(self, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
        for chunk in chunks:
            self.digest.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk


def _compressed(tar: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    packer = compressor()
    with ahead(tar) as chunks:
        for chunk in chunks:
            yield packer.compress(chunk)
    yield packer.flush()


@contextmanager
def _published(destination: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the destination's place once it is whole and on the disk."""
    # Not to be guessed and made exclusively: whoever else may write to the folder sets no trap.
    part = destination.with_name(f".{destination.name}.{os.urandom(6).hex()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - it is open already
                yield file
                file.flush()
                os.fsync(descriptor)
            os.replace(part, destination)  # noqa: PTH105 - the counterpart of os.open
        except BaseException:
            with suppress(OSError):
                os.unlink(part)  # noqa: PTH108 - as above
            raise
        _sync_folder(destination.parent)
    except OSError as error:
        raise _write_error(destination, error) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_error(destination: Path, error: OSError) -> StageError:
    folder = shown(str(destination.parent))
    if error.errno in NO_ROOM:
        message = f"no room for {shown(destination.name)} on the disk of {folder}: {error.strerror}"
        return StageError(message, hint=f"make room there (`df -h {folder}`), then run it again")
    return StageError(f"{shown(str(destination))} cannot be written: {error.strerror}")
