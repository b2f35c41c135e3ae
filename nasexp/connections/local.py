"""The machine that nasexp runs on, as a host: the carrier is a child process."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from pathlib import Path

from nasexp.connections.protocol import ShellConnection
from nasexp.errors import ConnectionLost

_OURS = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__", "PYTHONSAFEPATH")


def connect_local(name: str) -> ShellConnection:
    """Return a connection to this machine."""
    return ShellConnection(name, LocalCarrier())


def job_environment() -> dict[str, str]:
    """Return this process's environment as a job may see it.

    nasexp's own virtual environment and variables are left out: `python` in a job is the
    machine's, as it would be after a login.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _OURS and not name.startswith("NASEXP_")
    }
    own = str(Path(os.environ.get("VIRTUAL_ENV") or os.devnull) / "bin")
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    kept["PATH"] = os.pathsep.join(folder for folder in folders if folder != own)
    return kept


class LocalCarrier:
    """Starts `/bin/sh -s` as a child, in the user's home as sshd would."""

    def open(self) -> LocalStream:
        """Start a shell. Raises ConnectionLost when the machine cannot start one."""
        try:
            return LocalStream()
        except OSError as error:
            raise ConnectionLost(f"this machine cannot start /bin/sh: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is shared by the streams."""


class LocalStream:
    """A child shell, in a session of its own, so that Ctrl-C does not reach it."""

    def __init__(self) -> None:
        home = Path.home()
        self._process = subprocess.Popen(
            ["/bin/sh", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=home if home.is_dir() else "/",
            env=job_environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - Popen promises them for PIPE
        assert self._process.stdout is not None  # noqa: S101
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._input.fileno(), False)

    def write(self, data: bytes, deadline: float) -> None:
        """See `Stream.write`."""
        view = memoryview(data)
        while view:
            _wait_for(deadline, writable=self._input.fileno())
            try:
                view = view[os.write(self._input.fileno(), view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ConnectionLost("the program on this machine stopped reading") from error

    def read(self, limit_bytes: int, deadline: float) -> bytes:
        """See `Stream.read`."""
        _wait_for(deadline, readable=self._output.fileno())
        return os.read(self._output.fileno(), limit_bytes)

    def close_input(self) -> None:
        """See `Stream.close_input`."""
        with contextlib.suppress(OSError):
            self._input.close()

    def wait(self, deadline: float) -> int:
        """See `Stream.wait`."""
        try:
            return self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise ConnectionLost("the program on this machine does not end") from error

    def close(self) -> None:
        """See `Stream.close`."""
        self.close_input()
        self._output.close()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _wait_for(deadline: float, *, readable: int = -1, writable: int = -1) -> None:
    reads = [readable] if readable >= 0 else []
    writes = [writable] if writable >= 0 else []
    left = max(0.0, deadline - time.monotonic())
    if not any(select.select(reads, writes, [], left)):
        raise ConnectionLost("this machine does not answer in time")
