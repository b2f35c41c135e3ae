"""Copies one old project into the workspace: all of it, or nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nasexp.config.units import Size
from nasexp.errors import StageError
from nasexp.importing.tree import is_special
from nasexp.runs.files import sync_folder

if TYPE_CHECKING:
    from nasexp.config.workspace import Project
    from nasexp.importing.tree import OldProject

PART_PREFIX = ".import-"
RESERVE_BYTES = 1 << 20


def check_room(folder: Path, size: Size) -> None:
    """Make sure that so much fits on the disk of a folder, or of the nearest one above it.

    Raises:
        StageError: it does not; nothing was changed.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size.size_bytes + RESERVE_BYTES > free:
        raise StageError(
            f"{size} are to be copied, {Size(free)} are free on the disk of {folder}",
            hint="make room there; nothing was changed",
        )


def copy_project(old: OldProject, target: Project, settings: str) -> None:
    """Make a project of an old one; modes, times and links stay as they are.

    It grows under another name and gets its own when it is whole and on the disk.

    Args:
        old: the project to copy from; only read.
        target: the project to make.
        settings: the text of its project.yaml.

    Raises:
        StageError: something cannot be read or written; the workspace is as before.
    """
    copy = _Copy()
    part = None
    try:
        target.folder.parent.mkdir(exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=PART_PREFIX, dir=target.folder.parent))
        made = part / target.name
        made.mkdir()
        (made / target.config_file.name).write_text(settings, encoding="utf-8")
        _fill(copy, old, made)
        _publish(made, target.folder)
    except OSError as error:
        raise _told(error, old) from error
    finally:
        copy.unlock()
        if part:
            shutil.rmtree(part, ignore_errors=True)


class _Copy:
    """Copies trees; folders get their mode and time last, as they must be written to before."""

    def __init__(self) -> None:
        self._folders: list[tuple[str, str]] = []

    def tree(self, source: Path, target: Path) -> None:
        waiting = [(os.fspath(source), os.fspath(target))]
        while waiting:
            source_folder, target_folder = waiting.pop()
            os.mkdir(target_folder)  # noqa: PTH102 - names may be any bytes, Path would tidy them
            self._folders.append((source_folder, target_folder))
            with os.scandir(source_folder) as entries:
                for entry in entries:
                    place = f"{target_folder}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, place))
                    elif not is_special(entry.stat(follow_symlinks=False).st_mode):
                        shutil.copy2(entry.path, place, follow_symlinks=False)

    def settle(self) -> None:
        for source, target in reversed(self._folders):
            shutil.copystat(source, target)

    def unlock(self) -> None:
        """Make what may have to be removed writable; what was published is not there any more."""
        for _, target in self._folders:
            with contextlib.suppress(OSError):
                os.chmod(target, stat.S_IRWXU)  # noqa: PTH101 - as above


def _fill(copy: _Copy, old: OldProject, made: Path) -> None:
    if old.code.is_dir():
        copy.tree(old.code, made / "bin")
    if old.runs:
        (made / "results").mkdir()
    for number, folder in old.runs:
        copy.tree(folder, made / "results" / f"run_{number}")
    copy.settle()


def _publish(made: Path, target: Path) -> None:
    # A rename may be on the disk before the content of files is; their owner may then delete
    # the originals.
    os.sync()
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    made.rename(target)
    sync_folder(target.parent)


def _told(error: OSError, old: OldProject) -> StageError:
    """Return what the system refused, with the old file it concerns where there is one."""
    place = old.place(str(error.filename or old.folder))
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "make room on the disk, then import again" if full else ""
    return StageError(f"{place}: {error.strerror or error}", hint=hint)
