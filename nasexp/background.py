"""Puts the driver of a run into a process and a session of its own.

The process is forked before there are threads, so nothing is imported a second time, and it
holds the run's lock from the first moment. What it needs from a person, a password say, it asks
for over a socket, as long as a person is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasexp.errors import ExitCode, NasexpError, StageError

if TYPE_CHECKING:
    from collections.abc import Callable

ASK_SECONDS = 300.0
MESSAGE_BYTES = 64 << 10
PROGRESS_SECONDS = 0.2


class Driver:
    """A driver in the background, as the process that made it sees it.

    Attributes:
        pid: of its process.
    """

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid = pid
        self._line = line
        self._code: int | None = None

    def opened(self) -> Path:
        """Wait until it has its run, and return the run's folder.

        Raises:
            NasexpError: it could not open one.
        """
        message = _receive(self._line)
        if "folder" in message:
            return Path(message["folder"])
        self.let_go()
        text = message.get("error") or "the driver could not be started"
        error = StageError(text, hint=message.get("hint", ""), log=message.get("log", ""))
        error.exit_code = ExitCode(message.get("code", ExitCode.STAGE))
        raise error

    def ended(self) -> int | None:
        """Return its exit code when it has ended; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def answer(self, ask: Callable[[str], str | None]) -> None:
        """Answer what the driver has asked meanwhile, if anything."""
        if select.select([self._line], [], [], 0)[0]:
            message = _receive(self._line)
            if "prompt" in message:
                _send(self._line, {"answer": ask(message["prompt"])})

    def let_go(self) -> None:
        """Leave it alone: nobody here answers it any more."""
        self._line.close()


class Line:
    """The driver's end of the line to the person who started it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def tell_opened(self, folder: Path) -> None:
        """Say which run it has."""
        _send(self._line, {"folder": str(folder)})

    def tell_error(self, error: NasexpError) -> None:
        """Say why it has none."""
        told = {"error": error.message, "hint": error.hint, "log": error.log}
        _send(self._line, {**told, "code": int(error.exit_code)})

    def ask(self, prompt: str) -> str | None:
        """Return the person's answer; None where nobody is there any more."""
        _send(self._line, {"prompt": prompt})
        if not select.select([self._line], [], [], ASK_SECONDS)[0]:
            return None
        answer = _receive(self._line).get("answer")
        return answer if isinstance(answer, str) else None


class BackgroundView:
    """What a driver shows that nobody watches: the journal has all but how far a copy is."""

    lost = ""

    def __init__(self, line: Line) -> None:
        self.warnings: list[str] = []
        self.progress_file: Path | None = None
        self._line = line
        self._written = 0.0

    def note(self, text: str) -> None:
        """The journal has it."""

    def warn(self, text: str) -> None:
        """The journal has it."""

    def console(self, data: bytes) -> None:
        """log.log has it."""

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """Leave a hint for who looks on, some times a second."""
        now = time.monotonic()
        if self.progress_file and now - self._written > PROGRESS_SECONDS:
            self._written = now
            with contextlib.suppress(OSError):
                self.progress_file.write_text(f"{done_bytes} {total_bytes}\n")

    def ask(self, prompt: str) -> str | None:
        """Ask whoever started the run, as long as they look on."""
        return self._line.ask(prompt)


def start_driver(work: Callable[[Line], int]) -> Driver:
    """Fork a process that does the work and ends with the exit code that it returns.

    Args:
        work: opens and drives the run; gets the line to whoever started it.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for stream in (sys.stdout, sys.stderr):
        if stream:
            stream.flush()  # or the child would write it too
    pid = os.fork()
    if pid:
        theirs.close()
        return Driver(pid, ours)
    code, line = int(ExitCode.STAGE), Line(theirs)
    try:
        ours.close()
        _leave_terminal()
        code = work(line)
    except BaseException as fault:  # noqa: BLE001 - nothing of the parent may run on in here
        traceback.print_exc()
        line.tell_error(NasexpError(f"a fault in nasexp: {fault!r}"))
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _send(line: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody is there any more
        line.send(json.dumps(message).encode())


def _receive(line: socket.socket) -> dict[str, Any]:
    """Return the next message; an empty one when the other end is gone."""
    try:
        message = json.loads(line.recv(MESSAGE_BYTES))
    except (OSError, ValueError):
        return {}
    return message if isinstance(message, dict) else {}


def keep_complaints(file: Path) -> None:
    """Let a traceback of this process, and whatever else is printed, go to a file."""
    kept = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(kept, 1)
    os.dup2(kept, 2)
    os.close(kept)


def _leave_terminal() -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)
    # What stood in for them, a test's capture say, belongs to the parent.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
