"""Writes files so that a crash or a power cut leaves the old whole one or the new whole one."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from typing import TYPE_CHECKING

from nasexp.errors import StageError, Superseded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


@contextlib.contextmanager
def whole_file(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of `path` when the block ends well.

    The content is fsynced before the rename and the folder after it: without the first a power
    cut can leave neither version, without the second the name may be lost.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105 - names of temporary files are plain text
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - likewise
        raise
    sync_folder(path.parent)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a small file as `whole_file` does. Raises StageError where the disk refuses it."""
    try:
        with whole_file(path) as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise from_system(error, path) from error


def from_system(error: OSError, path: Path) -> StageError:
    """Return what the system refused as an error for people."""
    hint = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = f"make room on the disk of {path.parent}"
    return StageError(f"{path} cannot be written: {error.strerror}", hint=hint)


def superseded(path: Path) -> Superseded:
    """Return the error for a file that another driver writes by now: a frozen one has thawed."""
    return Superseded(
        f"{path} was written by another driver, which has taken the run over; this one ends"
    )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; some network file systems cannot, and say so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
