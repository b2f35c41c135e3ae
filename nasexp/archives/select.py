"""Which files of a project's `bin/` go into its archive, and why the others do not."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nasexp.archives.excludes import VENV_MARK, VENV_REASON, default_reason
from nasexp.archives.ignorefile import read_ignore_file
from nasexp.archives.links import link_fault
from nasexp.archives.names import listed, shown
from nasexp.errors import StageError

if TYPE_CHECKING:
    from pathlib import Path

    from nasexp.archives.ignorefile import IgnoreFile

SPECIAL_KINDS = {
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "fifo",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the archive. The path is relative to `bin/`, any bytes by surrogateescape."""

    path: str
    kind: Literal["file", "folder", "link"]
    target: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One file or folder that stays out; a folder (it ends in `/`) stands for all within."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Selection:
    """What goes in and what stays out, both sorted by the bytes of their paths."""

    members: tuple[Member, ...]
    left_out: tuple[LeftOut, ...]


def select(root: Path) -> Selection:
    """Choose what goes into the archive of a folder; nothing is ever left out silently.

    Secrets and clutter stay out by default, then `.nasexpignore` of the folder decides, where a
    line such as `!.env` takes a file back in. Links stay links while they stay inside.

    Raises:
        ConfigError: `.nasexpignore` has a line that is no pattern.
        StageError: there is no such folder, or something that should go in cannot be read;
            the message names all of it.
    """
    if not root.is_dir():
        hint = "the code of a project lies in its folder bin/"
        raise StageError(f"there is no folder {shown(str(root))}", hint=hint)
    walk = _Walk(root, read_ignore_file(root))
    walk.run()
    return walk.selection()


class _Walk:
    """One pass over the tree, from the top down."""

    def __init__(self, root: Path, ignore: IgnoreFile) -> None:
        self._root = os.fspath(root)
        self._ignore = ignore
        self._members: list[Member] = []
        self._left_out: list[LeftOut] = []
        self._links: dict[str, str] = {}
        self._unreadable: list[str] = []
        self._folders = [""]

    def run(self) -> None:
        while self._folders:
            folder = self._folders.pop()
            try:
                with os.scandir(f"{self._root}/{folder}") as entries:
                    for entry in entries:
                        self._take(entry, folder + entry.name)
            except OSError:
                self._unreadable.append(folder or ".")

    def selection(self) -> Selection:
        if self._unreadable:
            names = listed(sorted(self._unreadable))
            hint = "make it readable, or leave it out by a line in .nasexpignore"
            raise StageError(f"in {shown(self._root)} cannot be read: {names}", hint=hint)
        for path in self._links:
            self._take_link(path)
        return Selection(
            tuple(sorted(self._members, key=lambda member: os.fsencode(member.path))),
            tuple(sorted(self._left_out, key=lambda left: os.fsencode(left.path))),
        )

    def _take(self, entry: os.DirEntry[str], path: str) -> None:
        is_folder = entry.is_dir(follow_symlinks=False)
        if reason := self._reason(path, is_folder=is_folder):
            self._left_out.append(LeftOut(f"{path}/" if is_folder else path, reason))
        elif is_folder:
            self._members.append(Member(path, "folder"))
            self._folders.append(f"{path}/")
        elif entry.is_symlink():
            # Path.readlink would tidy the target, and so change it.
            self._links[path] = os.readlink(entry.path)  # noqa: PTH115
        elif entry.is_file(follow_symlinks=False):
            self._take_file(entry, path)
        else:
            kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
            self._left_out.append(LeftOut(path, SPECIAL_KINDS.get(kind, "no regular file")))

    def _reason(self, path: str, *, is_folder: bool) -> str | None:
        line = self._ignore.decision(path, is_folder=is_folder)
        if line:
            return line.reason if line.pattern.include else None
        if is_folder and os.path.lexists(f"{self._root}/{path}/{VENV_MARK}"):
            return VENV_REASON
        return default_reason(path)

    def _take_file(self, entry: os.DirEntry[str], path: str) -> None:
        if os.access(entry.path, os.R_OK):
            self._members.append(Member(path, "file"))
        else:
            self._unreadable.append(path)

    def _take_link(self, path: str) -> None:
        if fault := link_fault(path, self._links, "bin/"):
            self._left_out.append(LeftOut(path, f"symbolic link that {fault}"))
        else:
            self._members.append(Member(path, "link", self._links[path]))
