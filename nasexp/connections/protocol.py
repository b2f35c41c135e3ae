"""What every carrier provides: a byte stream to a program text that runs under the host's sh."""

from __future__ import annotations

import secrets
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nasexp.runs.console import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nasexp.errors import NasexpError

DEADLINE_SECONDS = 60.0


class Stream(Protocol):
    """A running `/bin/sh -s` on the host: what is written is its stdin, what is read its stdout."""

    def write(self, data: bytes, deadline: float) -> None:
        """Send all of `data`. Raises ConnectionLost when it cannot by the deadline."""
        ...

    def read(self, limit_bytes: int, deadline: float) -> bytes:
        """Return what has arrived, at least one byte; empty at the end of the stream.

        Raises ConnectionLost when nothing comes by the deadline (`time.monotonic()` seconds).
        """
        ...

    def close_input(self) -> None:
        """Let the program read its end of file."""
        ...

    def wait(self, deadline: float) -> int:
        """Return the exit status once the program has ended. Raises ConnectionLost."""
        ...

    def close(self) -> None:
        """Give up the stream, whatever state it is in; may be called again."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program text printed, and how it ended."""

    status: int
    output: bytes
    errors: bytes

    def text(self) -> str:
        """Return the output as text without the last line end; odd bytes survive."""
        return self.output.decode(errors="surrogateescape").removesuffix("\n")

    def complaint(self) -> str:
        """Return the last line of what it complained, for a message; safe on a terminal."""
        lines = printable(self.errors).strip().splitlines()
        return lines[-1] if lines else f"exit status {self.status}"


@runtime_checkable
class Connection(Protocol):
    """An open handle to a host."""

    @property
    def name(self) -> str:
        """The host's name in the configuration."""
        ...

    def run(
        self, program: str, *words: str | bytes, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Answer:
        """Run a program text with `words` as `$1`, `$2`, … and return its answer.

        Raises:
            ConnectionLost: no whole answer by the deadline; the program may have run.
        """
        ...

    def send(
        self, program: str, chunks: Iterable[bytes], deadline_seconds: float = DEADLINE_SECONDS
    ) -> Answer:
        """Run a program text that reads `chunks` on its stdin; the deadline is per chunk."""
        ...

    def receive(
        self, program: str, *words: str | bytes, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Iterable[bytes]:
        """Run a program text and yield its stdout in chunks; the deadline is per chunk.

        Raises:
            StageError: the program ended with another status than 0.
            ConnectionLost: nothing came in time.
        """
        ...

    def close(self) -> None:
        """Close the handle; jobs on the host are not touched."""
        ...


def new_marker() -> str:
    """Return a word that no output holds by accident, nor a host can guess."""
    return f"nasexp-{secrets.token_hex(16)}"


def set_words(words: Iterable[str | bytes]) -> bytes:
    """Return the sh line that makes `words` the positional parameters.

    The text goes to the stdin of a POSIX sh, never to a login shell, so shlex's quoting holds.
    """
    texts = [w.decode(errors="surrogateescape") if isinstance(w, bytes) else w for w in words]
    line = "set -- " + " ".join(shlex.quote(text) for text in texts)
    return line.encode(errors="surrogateescape") + b"\n"


class Carrier(Protocol):
    """What a way of reaching a host must provide; `ShellConnection` makes the rest of it.

    The first stream that is opened stays open as long as any other; it may carry them all.
    """

    @property
    def via(self) -> str:
        """What carries: `local`, `openssh`, `paramiko`."""
        ...

    def open(self) -> Stream:
        """Start `/bin/sh -s` on the host; dial where there is no link. Raises ConnectionLost."""
        ...

    def explain(self, stream: Any, said: bytes) -> NasexpError:
        """Return why a stream that ended, saying this, never came to a shell."""
        ...

    def close(self) -> None:
        """Close what the streams were opened over; the next `open` dials again."""
        ...
