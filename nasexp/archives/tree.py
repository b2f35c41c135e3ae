"""The folder that an archive is unpacked into, with the rules of what may come into it.

tarfile's filter alone is no sandbox (CVE-2025-4517, CVE-2025-4330), so nothing here relies on
it: names are read as text, nothing is ever written through a link, and links are followed on
paper before they are kept.
"""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

from nasexp.archives.links import link_fault
from nasexp.archives.names import shown
from nasexp.errors import StageError

if TYPE_CHECKING:
    from pathlib import Path

COPY_BYTES = 1 << 20
LONGEST_NAME = 4096

# Far more than any code has; beyond a thousand Python could not remove the folder again.
MOST_LEVELS = 256


class Tree:
    """A new folder, and what one archive has put into it so far."""

    def __init__(self, root: Path, max_members: int, max_size_bytes: int) -> None:
        self.members = 0
        self.size_bytes = 0
        # Names stay text in here: Path would tidy them.
        self._root = os.fspath(root)
        self._max_members = max_members
        self._max_size_bytes = max_size_bytes
        self._kinds = {"": "folder"}
        self._links: dict[str, str] = {}
        root.mkdir()

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Make one member, or refuse it by its name."""
        try:
            path = _safe_path(member.name)
            _check_kind(member)
            self._filter(member)
            self._count(member.size if member.isreg() else 0)
            self._make(tar, member, path)
        except _Refused as error:
            raise StageError(f"{shown(member.name)} is refused: {error}") from error
        except OSError as error:
            message = f"{shown(member.name)} cannot be made: {error.strerror or error}"
            raise StageError(message) from error

    def check_links(self) -> None:
        """Follow every link on paper, now that all are known."""
        for path in self._links:
            if fault := link_fault(path, self._links, "the archive"):
                raise StageError(f"{shown(path)} is refused: a symbolic link that {fault}")

    def _filter(self, member: tarfile.TarInfo) -> None:
        # Missing before Python 3.11.4, and the smaller half of the check.
        if hasattr(tarfile, "data_filter"):
            try:
                tarfile.data_filter(member, self._root)
            except tarfile.FilterError as error:
                raise _Refused(str(error)) from error

    def _count(self, size_bytes: int) -> None:
        self.members += 1
        self.size_bytes += size_bytes
        self._limit(self.members)
        if self.size_bytes > self._max_size_bytes:
            raise _Refused(f"more than {self._max_size_bytes} bytes in all")

    def _limit(self, members: int) -> None:
        if members > self._max_members:
            raise _Refused(f"more than {self._max_members} members")

    def _make(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        self._make_parents(path)
        # Folders that a name takes for granted count as well.
        self._limit(len(self._kinds) - (path in self._kinds))
        if member.isdir():
            self._make_folder(path)
        elif member.issym():
            self._make_link(path, member.linkname)
        else:
            self._make_room(path)
            if member.islnk():
                self._make_hard_link(path, _safe_path(member.linkname))
            else:
                self._make_file(path, tar, member)
            self._kinds[path] = "file"

    def _make_parents(self, path: str) -> None:
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
            raise _Refused(f"{shown(path)} is a {kind} of this archive, not a folder")

    def _make_link(self, path: str, target: str) -> None:
        if path in self._kinds:
            raise _Refused(f"the archive has a {self._kinds[path]} of that name")
        self._kinds[path] = "link"
        self._links[path] = target
        os.symlink(target, self._at(path))  # noqa: PTH211

    def _make_room(self, path: str) -> None:
        """Let a later file replace an earlier one, as tar does when a file was added twice."""
        kind = self._kinds.get(path)
        if kind == "file":
            os.unlink(self._at(path))  # noqa: PTH108
        elif kind is not None:
            raise _Refused(f"the archive has a {kind} of that name")

    def _make_hard_link(self, path: str, target: str) -> None:
        if target == path or self._kinds.get(target) != "file":
            raise _Refused(f"a hard link to {shown(target)}, which is no file of this archive")
        os.link(self._at(target), self._at(path), follow_symlinks=False)

    def _make_file(self, path: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        mode = 0o777 if member.mode & 0o100 else 0o666
        content = tar.extractfile(member)
        with open(os.open(self._at(path), flags, mode), "wb") as file:  # noqa: PTH123
            while content and (data := content.read(COPY_BYTES)):
                file.write(data)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


class _Refused(Exception):  # noqa: N818 - the name says what happened
    """A member that is not made, and why."""


def _check_kind(member: tarfile.TarInfo) -> None:
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise _Refused("neither a file nor a folder nor a link")


def _safe_path(name: str) -> str:
    """Return the path of a name relative to the destination; "" for the destination itself."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/"):
        raise _Refused("an absolute name")
    if ".." in parts:
        raise _Refused("a name with `..`")
    if "\0" in name or len(name) > LONGEST_NAME or len(parts) > MOST_LEVELS:
        raise _Refused("no name that a file here can have")
    return "/".join(parts)
