"""Brings many files to the disk at once: one call for a file system, not one for each file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nasexp.runs.files import from_system

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


# Beyond so many, one call for all is faster than one for each, even beside a busy neighbour.
MOST_BY_THEMSELVES = 16


def sync_files(folder: Path, files: Collection[bytes]) -> None:
    """Wait until the contents of new files below a folder are on the disk.

    Args:
        folder: that holds them all.
        files: their paths.

    Raises:
        StageError: the disk refused some of it.
    """
    if len(files) > MOST_BY_THEMSELVES:
        sync_file_system(folder)
        return
    try:
        for path in files:
            _sync_file(path)
    except OSError as error:
        raise from_system(error, folder) from error


def _sync_file(path: bytes) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(folder: Path) -> None:
    """Wait until all that was written to the file system of a folder is on its disk.

    Raises:
        StageError: the disk refused some of it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _syncfs(descriptor)
    except OSError as error:
        raise from_system(error, folder) from error
    finally:
        os.close(descriptor)


def _syncfs(descriptor: int) -> None:
    import ctypes  # noqa: PLC0415 - Python has no other way to it

    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()  # waits on Linux, and for every disk
    elif syncfs(descriptor):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
