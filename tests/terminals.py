"""A terminal with a person at it: reads what a command shows and types the answers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import termios
import time

WAIT_SECONDS = 30.0


def take_terminal():
    """Make stdin the terminal of this session; for the child of a fork."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A terminal on which one command runs.

    Args:
        start: called with the options of `Popen`; starts the command.
    """

    def __init__(self, start):
        self._own, other = pty.openpty()
        options = {"stdin": other, "stdout": other, "stderr": other, "start_new_session": True}
        try:
            self.process = start(preexec_fn=take_terminal, **options)
        finally:
            os.close(other)
        self.shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._own)

    def until_it_shows(self, text, seconds=WAIT_SECONDS, times=1):
        """Wait until a text was shown so often."""
        deadline = time.monotonic() + seconds
        while self.shown.count(text) < times:
            assert self._read(deadline), f"{text!r} was not shown: {self.shown}"

    def type(self, text):
        os.write(self._own, f"{text}\n".encode())

    def wait(self, seconds=WAIT_SECONDS):
        """Return the exit code, once all was shown."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, deadline):
        ready, _, _ = select.select([self._own], [], [], max(0, deadline - time.monotonic()))
        data = b""
        with contextlib.suppress(OSError):  # that is how a terminal ends
            data = os.read(self._own, 65536) if ready else b""
        self.shown += data.decode(errors="replace")
        return data
