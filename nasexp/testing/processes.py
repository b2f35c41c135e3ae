"""Programs that tests need, and the processes that they caused, as /proc tells of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

KILL_SECONDS = 10.0
SYSTEM_FOLDERS = "/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin:/bin"


class MissingError(RuntimeError):
    """What is needed cannot be had on this machine; the message names it."""


def find_program(name: str) -> str:
    """Return a program's path, sought where servers are installed too.

    Raises:
        MissingError: it is not there.
    """
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), SYSTEM_FOLDERS]))
    if found is None:
        raise MissingError(f"{name} is missing")
    return found


def die_with_parent() -> list[str]:
    """Return the words before a command that let it end with us, even if we are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def children_of(parent: int, name: str = "") -> list[int]:
    """Return the pids of a process's living children whose program's name begins with `name`."""
    return [pid for pid in all_pids() if _is_child(pid, parent, name)]


def kill_marked(mark: bytes) -> None:
    """Kill every process that was started with `mark` (`NAME=VALUE`) in its environment.

    Returns when none is left. This process is spared.

    Raises:
        RuntimeError: some could not be ended.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while left := [pid for pid in all_pids() if pid != os.getpid() and _has_mark(pid, mark)]:
        for pid in left:
            _kill_if_marked(pid, mark)
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes do not end: {left}")
        time.sleep(0.01)


def all_pids() -> list[int]:
    """Return the pids of all processes that can be seen."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _is_child(pid: int, parent: int, name: str) -> bool:
    with contextlib.suppress(OSError):
        head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
        state, of, *_ = tail.split()
        return state not in ("Z", "X") and int(of) == parent and f"({name}" in head
    return False


def _has_mark(pid: int, mark: bytes) -> bool:
    with contextlib.suppress(OSError):
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _kill_if_marked(pid: int, mark: bytes) -> None:
    """Kill through a handle, which a later process of the same pid cannot be mistaken for."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if _has_mark(pid, mark):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
