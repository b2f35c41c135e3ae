"""A stream whose carrier is a child process of ours: the shell itself, or the system's `ssh`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

from nasexp.errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PIPE_BYTES = 1 << 20
COMPLAINT_BYTES = 64 << 10


class ProcessStream:
    """A child process with pipes, in a session of its own, so that Ctrl-C does not reach it.

    Args:
        command: the program and its arguments.
        environment: all of its variables.
        folder: its current folder.
        peer: who is spoken to, for messages.

    Raises:
        OSError: the program cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str | Path,
        peer: str,
    ) -> None:
        self.peer = peer
        # A file and no pipe: it never fills up, and nobody has to read it while all is well.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the stream
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                bufsize=0,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            self._complaints.close()
            raise
        assert self.process.stdin is not None  # noqa: S101 - Popen promises them for PIPE
        assert self.process.stdout is not None  # noqa: S101
        self._input, self._output = self.process.stdin, self.process.stdout
        os.set_blocking(self._input.fileno(), False)
        for pipe in (self._input, self._output):
            with contextlib.suppress(OSError):  # some systems allow an account few large pipes
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def write(self, data: bytes, deadline: float) -> None:
        """See `Stream.write`."""
        view = memoryview(data)
        while view:
            self._wait_for(deadline, writable=self._input.fileno())
            try:
                view = view[os.write(self._input.fileno(), view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ConnectionLost(f"the link to {self.peer} was lost") from error

    def read(self, limit_bytes: int, deadline: float) -> bytes:
        """See `Stream.read`."""
        self._wait_for(deadline, readable=self._output.fileno())
        return os.read(self._output.fileno(), limit_bytes)

    def close_input(self) -> None:
        """See `Stream.close_input`."""
        with contextlib.suppress(OSError):
            self._input.close()

    def wait(self, deadline: float) -> int:
        """See `Stream.wait`."""
        try:
            return self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise ConnectionLost(f"the program on {self.peer} does not end") from error

    def complaints(self) -> str:
        """Return what the process has said on stderr so far."""
        self._complaints.seek(0)
        return self._complaints.read(COMPLAINT_BYTES).decode(errors="replace")

    def close(self) -> None:
        """See `Stream.close`."""
        self.close_input()
        self._output.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._complaints.close()

    def _wait_for(self, deadline: float, *, readable: int = -1, writable: int = -1) -> None:
        poller = select.poll()
        if readable >= 0:
            poller.register(readable, select.POLLIN | select.POLLHUP)
        if writable >= 0:
            poller.register(writable, select.POLLOUT | select.POLLERR)
        left = max(0.0, deadline - time.monotonic())
        if not poller.poll(left * 1000):
            raise ConnectionLost(f"{self.peer} does not answer in time")
