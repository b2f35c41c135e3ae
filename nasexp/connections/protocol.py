"""What every carrier provides: a byte stream to a program text that runs under the host's sh."""

from __future__ import annotations

import secrets
import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from nasexp.errors import ConnectionLost, StageError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEADLINE_SECONDS = 60.0
ANSWER_LIMIT_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20


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
        """Return the last line of what it complained, for a message."""
        lines = self.errors.decode(errors="replace").strip().splitlines()
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
    """What a way of reaching a host must provide; `ShellConnection` makes the rest of it."""

    def open(self) -> Stream:
        """Start `/bin/sh -s` on the host. Raises ConnectionLost, StageError."""
        ...

    def close(self) -> None:
        """Close what the streams were opened over."""
        ...


class ShellConnection:
    """A connection over any carrier.

    Small programs are answered by one long-lived shell, each answer framed by random markers, so
    that noise of start-up files does not matter and a question costs one round trip. Bulk data
    gets a stream of its own.
    """

    def __init__(self, name: str, carrier: Carrier) -> None:
        self._name = name
        self._carrier = carrier
        self._shell: Stream | None = None

    @property
    def name(self) -> str:
        """The host's name in the configuration."""
        return self._name

    def run(
        self, program: str, *words: str | bytes, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Answer:
        """See `Connection.run`."""
        deadline = time.monotonic() + deadline_seconds
        try:
            if self._shell is None:
                self._shell = self._carrier.open()
            return _ask(self._shell, program, words, deadline)
        except BaseException:
            # Half an answer may still come: this shell cannot be asked again.
            self._drop_shell()
            raise

    def send(
        self, program: str, chunks: Iterable[bytes], deadline_seconds: float = DEADLINE_SECONDS
    ) -> Answer:
        """See `Connection.send`."""
        marker = new_marker()
        stream = self._carrier.open()
        try:
            # The program says that it reads before data follow: sh may read ahead of itself.
            text = f"printf '%s\\n' {marker}; {{ {program}\n}} 2>&1; exit\n"
            stream.write(text.encode(), time.monotonic() + deadline_seconds)
            rest = _skip_to(stream, f"{marker}\n".encode(), time.monotonic() + deadline_seconds)
            broken = _write_all(stream, chunks, deadline_seconds)
            stream.close_input()
            errors = rest + _read_all(stream, time.monotonic() + deadline_seconds)
            status = stream.wait(time.monotonic() + deadline_seconds)
        finally:
            stream.close()
        if broken and not status:
            raise broken
        return Answer(status, b"", errors)

    def receive(
        self, program: str, *words: str | bytes, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Iterable[bytes]:
        """See `Connection.receive`."""
        marker = new_marker()
        stream = self._carrier.open()
        try:
            text = f"printf '%s\\n' {marker}; {{ {program}\n}} </dev/null; exit\n".encode()
            stream.write(set_words(words) + text, time.monotonic() + deadline_seconds)
            chunk = _skip_to(stream, f"{marker}\n".encode(), time.monotonic() + deadline_seconds)
            if chunk:
                yield chunk
            while chunk := stream.read(CHUNK_BYTES, time.monotonic() + deadline_seconds):
                yield chunk
            status = stream.wait(time.monotonic() + deadline_seconds)
        finally:
            stream.close()
        if status:
            raise StageError(f"a program on host '{self.name}' ended with status {status}")

    def close(self) -> None:
        """Close the shell and what lies under it."""
        self._drop_shell()
        self._carrier.close()

    def _drop_shell(self) -> None:
        if self._shell is not None:
            self._shell.close()
            self._shell = None


def _ask(shell: Stream, program: str, words: Iterable[str | bytes], deadline: float) -> Answer:
    """Send one framed program and read its three parts: output, status, errors.

    stderr is caught in a variable while stdout passes by on descriptor 3, so that both arrive
    apart through one stream, without a temporary file. The redirections stand inside the
    subshell: dash and busybox forget those behind one in a command substitution.
    """
    begin, middle, end = (new_marker() for _ in range(3))
    text = (
        f"printf '%s\\n' {begin}\n"
        "{ nasexp_errors=$( { (\nexec </dev/null 3>&-\n"
        + program
        + "\n) ; } 2>&1 >&3 3>&- ) ; nasexp_status=$? ; } 3>&1\n"
        + f'printf \'\\n%s %d\\n%s\\n%s\\n\' {middle} "$nasexp_status" "$nasexp_errors" {end}\n'
    )
    shell.write(set_words(words) + text.encode(errors="surrogateescape"), deadline)
    data = _skip_to(shell, f"{begin}\n".encode(), deadline)
    data = _read_to(shell, data, f"\n{end}\n".encode(), deadline)
    output, _, rest = data.partition(f"\n{middle} ".encode())
    status, _, errors = rest.partition(b"\n")
    return Answer(int(status), output, errors)


def _skip_to(stream: Stream, mark: bytes, deadline: float) -> bytes:
    """Read past the mark and return what came behind it."""
    seen = b""
    while mark not in seen:
        chunk = stream.read(CHUNK_BYTES, deadline)
        if not chunk:
            raise ConnectionLost("the host's shell ended before it answered")
        # Noise may be long; only its end can hold the beginning of the mark.
        seen = seen[-len(mark) :] + chunk
    return seen.partition(mark)[2]


def _read_to(stream: Stream, data: bytes, mark: bytes, deadline: float) -> bytes:
    """Read until the data end with the mark and return them without it."""
    parts, size, tail = [data], len(data), data[-len(mark) :]
    while not tail.endswith(mark):
        chunk = stream.read(CHUNK_BYTES, deadline)
        size += len(chunk)
        if not chunk or size > ANSWER_LIMIT_BYTES:
            raise ConnectionLost("the host's shell ended in the middle of an answer")
        parts.append(chunk)
        tail = (tail + chunk)[-len(mark) :]
    return b"".join(parts)[: -len(mark)]


def _write_all(
    stream: Stream, chunks: Iterable[bytes], deadline_seconds: float
) -> ConnectionLost | None:
    """Write the chunks; a program that stops reading has said why on its stdout, so go on there."""
    for chunk in chunks:
        try:
            stream.write(chunk, time.monotonic() + deadline_seconds)
        except ConnectionLost as error:
            return error
    return None


def _read_all(stream: Stream, deadline: float) -> bytes:
    parts = []
    while chunk := stream.read(CHUNK_BYTES, deadline):
        parts.append(chunk)
    return b"".join(parts)
