"""Unpacks archives that may be hostile: read by `TarReader`, every member checked by `Tree`.

Reads what `pack` makes and what `tar -zcf` made, under any prefix.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nasexp.archives.gz import open_chunks
from nasexp.archives.names import shown
from nasexp.archives.tree import MOST_BYTES, MOST_MEMBERS, Tree
from nasexp.archives.untar import CutShortError, DamagedError, TarReader, as_error
from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1 << 20


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
        with _opened(source) as chunks:
            _fill(tree, TarReader(chunks))
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
def _opened(source: Path | BinaryIO) -> Iterator[Iterator[bytes]]:
    if not isinstance(source, Path):
        yield iter(partial(source.read, CHUNK_BYTES), b"")
        return
    with open_chunks(source, CHUNK_BYTES) as chunks:
        yield chunks


def _fill(tree: Tree, reader: TarReader) -> None:
    try:
        while entry := reader.next():
            tree.add(entry, reader)
    except (CutShortError, DamagedError) as error:
        raise as_error(error) from error
    # The check sum of a gzip file comes last, behind the end of tar.
    reader.drain()
    tree.check_links()
