"""Unpacks archives that may be hostile: every member is checked by `Tree`, and by tarfile.

Reads what `pack` makes and what `tar -zcf` made, under any prefix.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from nasexp.archives.gz import open_chunks
from nasexp.archives.names import shown
from nasexp.archives.tree import Tree
from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MEMBERS = 1_000_000
MOST_BYTES = 1 << 40

# tarfile copies what is left of its buffer at each header: a large one makes it slow.
BUFFER_BYTES = 1 << 15

# What tarfile reads into memory before it shows a member: long names and pax fields.
LARGEST_EXTRA_HEADER = 1 << 20
EXTRA_HEADERS = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out: the number of members, and the bytes in their files."""

    members: int
    size_bytes: int


def unpack(
    source: Path | BinaryIO,
    destination: Path,
    *,
    max_members: int = MOST_MEMBERS,
    max_size_bytes: int = MOST_BYTES,
) -> Unpacked:
    """Unpack an archive into a new folder, which appears whole or not at all.

    Only regular files, folders, and links that stay inside are made; owners, set-user-id bits
    and times of the archive are dropped, the execute bit is kept. The contents are not forced
    to the disk: unpacking can be done again.

    Args:
        source: a `.tar.gz` file, or a stream of plain tar.
        destination: does not exist yet, or is an empty folder.
        max_members: as many files, folders and links are made at most.
        max_size_bytes: as many bytes in all files together.

    Raises:
        StageError: a member is refused (the message names it), the archive is damaged or cut
            short, or the destination cannot be written.
    """
    _refuse_taken(destination)
    shell = destination.with_name(f".{destination.name}.{os.urandom(6).hex()}.part")
    try:
        # The outer folder keeps others out; the inner one gets the mode that the umask gives.
        shell.mkdir(0o700)
        tree = Tree(shell / "tree", max_members, max_size_bytes)
        with _opened(source) as stream:
            _fill(tree, stream)
        (shell / "tree").replace(destination)
    except OSError as error:
        message = f"{shown(str(destination))} cannot be unpacked: {error.strerror or error}"
        raise StageError(message) from error
    finally:
        shutil.rmtree(shell, ignore_errors=True)
    return Unpacked(tree.members, tree.size_bytes)


def _refuse_taken(destination: Path) -> None:
    if destination.is_symlink() or (destination.exists() and not _is_empty_folder(destination)):
        hint = "name a folder that does not exist yet"
        raise StageError(f"{shown(str(destination))} is there already", hint=hint)


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(source, Path):
        yield source
        return
    with open_chunks(source, BUFFER_BYTES) as chunks:
        yield cast("BinaryIO", _Chunks(chunks))
        # The check sum of a gzip file comes last, after what tarfile wants to see.
        for _ in chunks:
            pass


class _Chunks:
    """As much of a file as tarfile asks of a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _size: int) -> bytes:
        return next(self._chunks, b"")


def _fill(tree: Tree, stream: BinaryIO) -> None:
    try:
        with tarfile.open(
            fileobj=stream, mode="r|", bufsize=BUFFER_BYTES, tarinfo=_StrictHeader
        ) as tar:
            while (member := tar.next()) is not None:
                tree.add(tar, member)
                # Every member is remembered, for look-ups that a stream does not allow: a GB
                # for a million.
                tar.members.clear()  # type: ignore[attr-defined]
    except (tarfile.TarError, ValueError, RecursionError) as error:
        raise StageError(f"the archive is damaged: {error}") from error
    tree.check_links()


class _StrictHeader(tarfile.TarInfo):
    """A header that tarfile may not pass over: by itself it takes a bad one for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read one header; only a record of zeros ends an archive."""
        if len(buf) == tarfile.BLOCKSIZE and not any(buf):
            return super().frombuf(buf, encoding, errors)
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            raise StageError(f"the archive is damaged or cut short: {error}") from error
        most = LARGEST_EXTRA_HEADER if header.type in EXTRA_HEADERS else header.size
        if not 0 <= header.size <= most:
            raise StageError(f"the archive is damaged: a header of {header.size} bytes")
        return header
