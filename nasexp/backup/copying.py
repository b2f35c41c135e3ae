"""One pass: copies home what is new in the output folder, never a file that is being written.

A file counts only if its row in the manifest is the same before and after the copy. It travels
into `.incoming/` and takes its place in `output/` by a rename, so `output/` holds whole files only.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from nasexp.archives.unpack import unpack
from nasexp.backup.manifest import Manifest, Row, batches, read_manifest
from nasexp.errors import StageError
from nasexp.values import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nasexp.connections.protocol import Connection
    from nasexp.values import Run, Workdir

COPY_SECONDS = 300.0
PASSES = 3

# Names that tar would take for options are safe behind `./`.
_PACK = 'cd "$1" && shift && exec tar -cf - -- "$@" 2>/dev/null'


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did: what the host has, and what of it is not yet home whole."""

    snapshot: Snapshot
    manifest: Manifest


def output_folder(run: Run, workdir: Workdir) -> str:
    """Return the output folder on the host."""
    return f"{workdir.work}/{run.settings.core.output}"


def copy_home(run: Run, connection: Connection, workdir: Workdir) -> Pass | None:
    """Copy what is new, trying again for files that change meanwhile; None without a folder.

    Raises:
        StageError: the disk here is full, or the host cannot list or send.
    """
    folder = output_folder(run, workdir)
    new_bytes = 0
    wanted: dict[bytes, Row] = {}
    for _ in range(PASSES):
        before = read_manifest(connection, folder)
        if before is None:
            return None
        wanted = {path: row for path, row in before.items() if not _is_home(run, path, row)}
        if not wanted:
            break
        new_bytes += _fetch(run, connection, folder, wanted)
    else:
        before = read_manifest(connection, folder) or {}
        wanted = {path: row for path, row in before.items() if not _is_home(run, path, row)}
    size = sum(row.size_bytes for row in before.values())
    unstable = tuple(sorted(os.fsdecode(path) for path in wanted))
    snapshot = Snapshot(datetime.now(UTC), len(before), size, new_bytes, unstable)
    return Pass(snapshot, before)


def _is_home(run: Run, path: bytes, row: Row) -> bool:
    """Whether `output/` holds this very version; links are compared when they are fetched."""
    try:
        status = os.lstat(os.path.join(os.fsencode(run.paths.output), path))  # noqa: PTH118
    except OSError:
        return False
    if row.kind == b"l":
        return os.path.islink(os.path.join(os.fsencode(run.paths.output), path))  # noqa: PTH114,PTH118
    return status.st_size == row.size_bytes and status.st_mtime_ns == row.mtime_ns


def _fetch(run: Run, connection: Connection, folder: str, wanted: dict[bytes, Row]) -> int:
    """Fetch files and publish those that nobody wrote meanwhile; return their bytes."""
    incoming = run.paths.incoming
    total, done, published = sum(row.size_bytes for row in wanted.values()), 0, 0
    for batch in batches(wanted):
        shutil.rmtree(incoming, ignore_errors=True)
        try:
            names = [b"./" + path for path in batch]
            chunks = connection.receive(_PACK, folder, *names, deadline_seconds=COPY_SECONDS)
            stream = _ChunkReader(_watched(run, _tolerant(chunks), done, total))
            unpack(cast(BinaryIO, stream), incoming)
            after = read_manifest(connection, folder) or {}
            stable = [path for path in batch if after.get(path) == wanted[path]]
            published += sum(_publish(run, path, wanted[path]) for path in stable)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        done += sum(wanted[path].size_bytes for path in batch)
    return published


def _tolerant(chunks: Iterable[bytes]) -> Iterator[bytes]:
    # tar ends with 1 or 2 when a file changed or vanished under it: the manifests tell which.
    with contextlib.suppress(StageError):
        yield from chunks


def _publish(run: Run, path: bytes, row: Row) -> int:
    """Move one file from `.incoming/` to `output/`, durable and with its time; return its bytes."""
    source = Path(os.fsdecode(os.path.join(os.fsencode(run.paths.incoming), path)))  # noqa: PTH118
    target = Path(os.fsdecode(os.path.join(os.fsencode(run.paths.output), path)))  # noqa: PTH118
    if not source.is_symlink():
        if not source.is_file() or source.stat().st_size != row.size_bytes:
            return 0
        with source.open("rb") as file:
            os.fsync(file.fileno())
        os.utime(source, ns=(row.mtime_ns, row.mtime_ns))
    _clear_way(run.paths.output, target)
    source.replace(target)
    return row.size_bytes


def _clear_way(output: Path, target: Path) -> None:
    """Make the folders above a file; what came home under such a name before is kept aside."""
    for folder in reversed([p for p in target.parents if p.is_relative_to(output)]):
        if folder.is_symlink() or folder.is_file():
            _put_aside(folder)
        folder.mkdir(exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        _put_aside(target)


def _put_aside(path: Path) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    path.rename(aside)


def _watched(run: Run, chunks: Iterable[bytes], done: int, total: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        run.monitor.progress(min(done, total), total)


class _ChunkReader(io.RawIOBase):
    """Chunks as a file that can be read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts: list[bytes | memoryview] = []
        missing = size if size >= 0 else 1 << 62
        while missing > 0:
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
            if not self._rest:
                break
            part, self._rest = self._rest[:missing], self._rest[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
