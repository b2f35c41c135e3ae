"""One pass: copies home what is new in the output folder, never a file that is being written.

A file counts only if its row in the manifest is the same before and after the copy. It travels
into `.incoming/` and takes its place in `output/` by a rename, so `output/` holds whole files only.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nasexp.archives.links import link_fault
from nasexp.archives.names import shown
from nasexp.backup.copied import Copied
from nasexp.backup.durable import sync_files
from nasexp.backup.manifest import Manifest, Row, read_manifest
from nasexp.backup.publishing import Publisher
from nasexp.connections.bulk.download import Download
from nasexp.connections.bulk.link import Link
from nasexp.errors import StageError
from nasexp.values import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nasexp.connections.protocol import Connection
    from nasexp.values import Run, Workdir

PASSES = 3

# After so much the host is asked whether it is still the same, and what is, is published: a pass
# that is broken off has not copied for nothing.
GROUP_BYTES = 1 << 30
GROUP_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did: what the host has, and what of it is not yet home whole.

    Attributes:
        manifest: what the host has, without the links that lead out of the folder.
        unreadable: names of files that the account on the host may not read.
        copied: the digests of what was copied, in this pass and in earlier ones.
    """

    snapshot: Snapshot
    manifest: Manifest
    unreadable: tuple[str, ...]
    copied: Copied


def output_folder(run: Run, workdir: Workdir) -> str:
    """Return the output folder on the host."""
    return f"{workdir.work}/{run.settings.core.output}"


def copy_home(run: Run, connection: Connection, workdir: Workdir) -> Pass | None:
    """Copy what is new, trying again for files that change meanwhile; None without a folder.

    A lost link is waited for; the copy goes on where it was cut.

    Raises:
        StageError: the disk here is full, or the host cannot list or send.
        ConnectionLost: the host was away for longer than the patience of bulk copies.
    """
    copy = _Copy(run, Link(connection, run.monitor), output_folder(run, workdir))
    try:
        return copy.run()
    except StageError:
        # After a lost link it stays: large files go on there next time.
        shutil.rmtree(run.paths.incoming, ignore_errors=True)
        raise


@dataclass
class _Copy:
    run_: Run
    link: Link
    folder: str
    new_bytes: int = 0
    unreadable: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.copied = Copied(self.run_.paths)
        self.publisher = Publisher(self.run_.paths)
        self._output = os.fsencode(self.run_.paths.output) + b"/"
        self._home: Manifest = {}

    def run(self) -> Pass | None:
        manifest = self._list()
        if manifest is None:
            return None
        for _ in range(PASSES):
            if not (wanted := self._missing(manifest)):
                break
            manifest = self._fetch(wanted, manifest)
        shutil.rmtree(self.run_.paths.incoming, ignore_errors=True)
        if self.new_bytes:
            self.copied.save()
        return self._told(manifest, self._missing(manifest))

    def _told(self, manifest: Manifest, wanted: Manifest) -> Pass:
        unstable, unreadable = _names(wanted), _names(self.unreadable & manifest.keys())
        size = sum(row.size_bytes for row in manifest.values())
        now = datetime.now(UTC)
        snapshot = Snapshot(now, len(manifest), size, self.new_bytes, unstable)
        return Pass(snapshot, manifest, unreadable, self.copied)

    def _list(self) -> Manifest | None:
        """Return what the host has; of links those that stay inside, the others are told once."""
        found = self.link.keep_trying(lambda: read_manifest(self.link.connection, self.folder))
        if found is None:
            return None
        links = {
            os.fsdecode(path): os.fsdecode(row.target)
            for path, row in found.items()
            if row.kind == b"l"
        }
        for path in sorted(links):
            if fault := link_fault(path, links, "the output folder"):
                self._warn(f"left out {shown(path)}: a symbolic link that {fault}")
                del found[os.fsencode(path)]
        return found

    def _missing(self, manifest: Manifest) -> Manifest:
        """Return what is not home yet in this very version, and can be had."""
        wanted = {path: row for path, row in manifest.items() if path not in self.unreadable}
        return {path: row for path, row in wanted.items() if not self._is_home(path, row)}

    def _is_home(self, path: bytes, row: Row) -> bool:
        """Whether `output/` holds this very version."""
        if self._home.get(path) == row:
            return True
        try:
            if row.kind == b"l":
                return os.readlink(self._output + path) == row.target  # noqa: PTH115 - not tidied
            status = os.lstat(self._output + path)
        except OSError:
            return False
        if status.st_size != row.size_bytes or status.st_mtime_ns != row.mtime_ns:
            return False
        self._home[path] = row
        return True

    def _fetch(self, wanted: Manifest, manifest: Manifest) -> Manifest:
        """Fetch files and publish those that nobody wrote meanwhile; return the newest manifest."""
        files = {path: row for path, row in wanted.items() if row.kind == b"f"}
        download = Download(self.link, self.folder, self.run_.paths.incoming, files)
        tree = os.fsencode(download.tree) + b"/"
        for group in _groups(files):
            came = download.fetch(group)
            self._blame(came.unreadable)
            manifest = self._list() or {}
            stable = [path for path in came.digests if manifest.get(path) == files[path]]
            sync_files(download.tree, [tree + path for path in stable])
            for path in stable:
                self._publish(tree + path, path, files[path], came.digests[path])
        for path, row in wanted.items():
            if row.kind == b"l":
                self.publisher.make_link(path, row.target)
        return manifest

    def _publish(self, source: bytes, path: bytes, row: Row, digest: str) -> None:
        self.publisher.take_file(source, path, row.mtime_ns)
        self.copied.add(path, digest)
        self.new_bytes += row.size_bytes
        self._home[path] = row

    def _blame(self, unreadable: list[bytes]) -> None:
        self.unreadable |= set(unreadable)
        for name in _names(unreadable):
            self._warn(f"{name} cannot be read on host '{self.link.host}': it stays there")

    def _warn(self, text: str) -> None:
        """Warn, but of the same thing once in all passes of a run."""
        if text not in self.run_.monitor.warnings:
            self.run_.monitor.warn(text)


def _groups(files: Manifest) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for path, row in files.items():
        if group and (size + row.size_bytes > GROUP_BYTES or len(group) >= GROUP_FILES):
            yield group
            group, size = [], 0
        group.append(path)
        size += row.size_bytes
    if group:
        yield group


def _names(paths: set[bytes] | Manifest | list[bytes]) -> tuple[str, ...]:
    return tuple(sorted(shown(os.fsdecode(path)) for path in paths))
