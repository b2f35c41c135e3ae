"""One driver per run: a lock that the kernel frees when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import time
from typing import TYPE_CHECKING

from nasexp.errors import StageError
from nasexp.runs.files import from_system

if TYPE_CHECKING:
    from nasexp.runs.paths import RunPaths

LOOKERS_SECONDS = 0.2


def lock_driver(paths: RunPaths) -> int:
    """Take the run's driver lock until the returned descriptor is closed.

    Raises:
        StageError: another driver has it.
    """
    descriptor = _open(paths)
    while not _is_there(paths, descriptor):  # its last holder removed it in this very moment
        os.close(descriptor)
        descriptor = _open(paths)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()} {platform.node()}\n".encode())
    return descriptor


def _open(paths: RunPaths) -> int:
    """Return the locked lock file."""
    try:
        descriptor = os.open(paths.driver, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise from_system(error, paths.driver) from error
    deadline = time.monotonic() + LOOKERS_SECONDS
    while not _locks(descriptor):
        # Whoever looks whether there is a driver holds the lock for a moment too.
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise StageError(f"{paths.folder} is driven by another process")
        time.sleep(LOOKERS_SECONDS / 20)
    return descriptor


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_there(paths: RunPaths, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), paths.driver.stat())
    except OSError:
        return False


def unlock_driver(paths: RunPaths, descriptor: int) -> None:
    """Give the lock back, and remove its file, unless that is another driver's by now."""
    with contextlib.suppress(OSError):
        if _is_there(paths, descriptor):
            paths.driver.unlink()  # before the lock is free: the next driver makes its own
    os.close(descriptor)


def has_driver(paths: RunPaths) -> bool:
    """Whether a process drives the run now."""
    try:
        descriptor = os.open(paths.driver, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
