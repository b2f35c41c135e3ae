"""The folder that an archive is unpacked into, with the rules of what may come into it.

Names are read as text, nothing is ever written through a link, and links are followed on paper
before they are kept. tarfile's filter is a second opinion on links, where a check can be tricked
(CVE-2025-4517, CVE-2025-4330); for a plain file it would ask the disk about every folder of the
path, a third of all the time, and see nothing that is not refused here already.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from nasexp.archives.links import link_fault
from nasexp.archives.names import shown
from nasexp.archives.untar import FILE, FOLDER, HARD_LINK, LINK
from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nasexp.archives.untar import Entry, TarReader

LONGEST_NAME = 4096

# Far more than any code has; beyond a thousand Python could not remove the folder again.
MOST_LEVELS = 256

MOST_MEMBERS = 1_000_000
MOST_BYTES = 1 << 40

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree:
    """A new folder, and what was put into it so far.

    Args:
        root: made here; its parent is there.
        max_members: as many files, folders and links are made at most.
        max_size_bytes: as many bytes in all files together.
        digests: whether the sha256 of each file is computed as it passes.

    Attributes:
        digests: by path, if asked for; of files only.
    """

    def __init__(
        self,
        root: Path,
        max_members: int = MOST_MEMBERS,
        max_size_bytes: int = MOST_BYTES,
        *,
        digests: bool = False,
    ) -> None:
        self.members = 0
        self.size_bytes = 0
        self.digests: dict[str, str] = {}
        self._with_digests = digests
        # Names stay text in here: Path would tidy them.
        self._root = os.fspath(root)
        self._max_members = max_members
        self._max_size_bytes = max_size_bytes
        self._kinds = {"": "folder"}
        self._links: dict[str, str] = {}
        root.mkdir()

    def add(self, entry: Entry, reader: TarReader) -> None:
        """Make one member, or refuse it by its name.

        Raises:
            StageError: it is refused, or the disk is.
            CutShortError: the stream ended in its content; nothing of it stays.
        """
        try:
            path = safe_path(entry.name)
            _check_kind(entry)
            self._count(entry.size_bytes)
            self._make(entry, path, reader)
        except RefusedError as error:
            raise StageError(f"{shown(entry.name)} is refused: {error}") from error
        except OSError as error:
            message = f"{shown(entry.name)} cannot be made: {error.strerror or error}"
            raise StageError(message) from error

    def adopt(self, path: str, file: str, digest: str) -> None:
        """Move a file that was made elsewhere on the same disk to its place in here.

        Raises:
            StageError: there cannot be a file of that name.
        """
        try:
            path = safe_path(path)
            self._make_parents(path)
            self._make_room(path)
            os.rename(file, self._at(path))  # noqa: PTH104
        except (RefusedError, OSError) as error:
            raise StageError(f"{shown(path)} cannot be made: {error}") from error
        self._kinds[path] = "file"
        self.digests[path] = digest

    def check_links(self) -> None:
        """Follow every link on paper, now that all are known."""
        for path in self._links:
            if fault := link_fault(path, self._links, "the archive"):
                raise StageError(f"{shown(path)} is refused: a symbolic link that {fault}")

    def _count(self, size_bytes: int) -> None:
        self.members += 1
        self.size_bytes += size_bytes
        self._limit(self.members)
        if self.size_bytes > self._max_size_bytes:
            raise RefusedError(f"more than {self._max_size_bytes} bytes in all")

    def _limit(self, members: int) -> None:
        if members > self._max_members:
            raise RefusedError(f"more than {self._max_members} members")

    def _make(self, entry: Entry, path: str, reader: TarReader) -> None:
        self._make_parents(path)
        # Folders that a name takes for granted count as well.
        self._limit(len(self._kinds) - (path in self._kinds))
        if entry.kind == FOLDER:
            self._make_folder(path)
        elif entry.kind == LINK:
            self._make_link(path, entry)
        else:
            self._make_room(path)
            if entry.kind == HARD_LINK:
                self._make_hard_link(path, entry)
            else:
                self._make_file(path, entry, reader)
            self._kinds[path] = "file"

    def _make_parents(self, path: str) -> None:
        if self._kinds.get(path.rpartition("/")[0]) == "folder":
            return
        end = path.find("/")
        while end != -1:
            self._make_folder(path[:end])
            end = path.find("/", end + 1)

    def _make_folder(self, path: str) -> None:
        kind = self._kinds.get(path)
        if kind is None:
            os.mkdir(self._at(path))  # noqa: PTH102
            self._kinds[path] = "folder"
        elif kind != "folder":
            raise RefusedError(f"{shown(path)} is a {kind} of this archive, not a folder")

    def _make_link(self, path: str, entry: Entry) -> None:
        if path in self._kinds:
            raise RefusedError(f"the archive has a {self._kinds[path]} of that name")
        _ask_tarfile(entry, self._root)
        self._kinds[path] = "link"
        self._links[path] = entry.target
        os.symlink(entry.target, self._at(path))  # noqa: PTH211

    def _make_room(self, path: str) -> None:
        """Let a later file replace an earlier one, as tar does when a file was added twice."""
        kind = self._kinds.get(path)
        if kind == "file":
            os.unlink(self._at(path))  # noqa: PTH108
        elif kind is not None:
            raise RefusedError(f"the archive has a {kind} of that name")

    def _make_hard_link(self, path: str, entry: Entry) -> None:
        target = safe_path(entry.target)
        if target == path or self._kinds.get(target) != "file":
            raise RefusedError(f"a hard link to {shown(target)}, which is no file of this archive")
        _ask_tarfile(entry, self._root)
        os.link(self._at(target), self._at(path), follow_symlinks=False)
        if self._with_digests:
            self.digests[path] = self.digests[target]

    def _make_file(self, path: str, entry: Entry, reader: TarReader) -> None:
        whole = reader.content(entry.size_bytes)
        digest = hashlib.sha256() if self._with_digests else None
        file = os.open(self._at(path), _FLAGS, 0o777 if entry.mode & 0o100 else 0o666)
        try:
            for piece in reader.pieces() if whole is None else (whole,):
                if digest:
                    digest.update(piece)
                write_all(file, piece)
        except BaseException:
            self._kinds.pop(path, None)
            os.unlink(self._at(path))  # noqa: PTH108
            raise
        finally:
            os.close(file)
        if digest:
            self.digests[path] = digest.hexdigest()

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


class RefusedError(Exception):
    """A member that is not made, and why."""


def write_all(file: int, data: bytes) -> None:
    """Write all of it, however often the system takes only a part. Raises OSError."""
    written = os.write(file, data)
    while written < len(data):
        written += os.write(file, memoryview(data)[written:])


def safe_path(name: str) -> str:
    """Return the path of a name relative to the destination; "" for the destination itself.

    Raises:
        RefusedError: it is no name of something below the destination.
    """
    parts: Iterable[str] = name.split("/")
    parts = [part for part in parts if part not in {"", "."}]
    if name.startswith("/"):
        raise RefusedError("an absolute name")
    if ".." in parts:
        raise RefusedError("a name with `..`")
    if "\0" in name or len(name) > LONGEST_NAME or len(parts) > MOST_LEVELS:
        raise RefusedError("no name that a file here can have")
    return "/".join(parts)


def _check_kind(entry: Entry) -> None:
    if entry.kind not in (FILE, FOLDER, LINK, HARD_LINK):
        raise RefusedError("neither a file nor a folder nor a link")


def _ask_tarfile(entry: Entry, root: str) -> None:
    """Hear tarfile's own check on a link; it is missing before Python 3.11.4."""
    import tarfile  # noqa: PLC0415 - 10 ms that few archives need

    if not hasattr(tarfile, "data_filter"):
        return
    info = tarfile.TarInfo(entry.name)
    info.type, info.linkname = entry.kind, entry.target
    try:
        tarfile.data_filter(info, root)
    except tarfile.FilterError as error:
        raise RefusedError(str(error)) from error
