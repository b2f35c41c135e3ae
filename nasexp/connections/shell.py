"""A connection over any carrier: small programs by one long-lived shell, bulk by streams."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from nasexp.connections.protocol import DEADLINE_SECONDS, Answer, new_marker, set_words
from nasexp.errors import ConnectionLost, HostUnreachable, StageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nasexp.connections.protocol import Carrier, Stream

GREETING_SECONDS = 45.0
GREETING_BYTES = 4096
ANSWER_LIMIT_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20


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

    @property
    def via(self) -> str:
        """What carries it: `local`, `openssh`, `paramiko`."""
        return self._carrier.via

    def open(self) -> None:
        """Dial and log in, where that was not done yet.

        Raises:
            ConnectionLost: no link, no login, or a host whose key is not trusted.
            StageError: the account has no usable shell.
        """
        if self._shell is not None:
            return
        deadline = time.monotonic() + GREETING_SECONDS
        shell = self._carrier.open()
        try:
            try:
                said = _greet(shell, deadline)
            except ConnectionLost as error:
                raise HostUnreachable(
                    f"host '{self.name}' does not answer: {error.message}",
                    hint="is it frozen, or far too busy?",
                ) from error
            if said is not None:
                raise self._carrier.explain(shell, said)
        except BaseException:
            shell.close()
            self._carrier.close()
            raise
        self._shell = shell

    def run(
        self, program: str, *words: str | bytes, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Answer:
        """See `Connection.run`."""
        self.open()
        assert self._shell is not None  # noqa: S101 - that is what `open` promises
        try:
            return _ask(self._shell, program, words, time.monotonic() + deadline_seconds)
        except BaseException:
            # Half an answer may still come: this shell cannot be asked again.
            self.close()
            raise

    def send(
        self, program: str, chunks: Iterable[bytes], deadline_seconds: float = DEADLINE_SECONDS
    ) -> Answer:
        """See `Connection.send`."""
        self.open()
        with self._lost_as_a_whole(), self._stream() as stream:
            marker = new_marker()
            # The program says that it reads before data follow: sh may read ahead of itself.
            text = f"printf '%s\\n' {marker}; {{ {program}\n}} 2>&1; exit\n"
            stream.write(text.encode(), time.monotonic() + deadline_seconds)
            rest = _skip_to(stream, f"{marker}\n".encode(), time.monotonic() + deadline_seconds)
            broken = _write_all(stream, chunks, deadline_seconds)
            stream.close_input()
            errors = rest + _read_all(stream, time.monotonic() + deadline_seconds)
            status = stream.wait(time.monotonic() + deadline_seconds)
            if broken and not status:
                raise broken
        return Answer(status, b"", errors)

    def receive(
        self, program: str, *words: str | bytes, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Iterable[bytes]:
        """See `Connection.receive`."""
        self.open()
        with self._lost_as_a_whole(), self._stream() as stream:
            marker = new_marker()
            text = f"printf '%s\\n' {marker}; {{ {program}\n}} </dev/null 2>/dev/null; exit\n"
            stream.write(set_words(words) + text.encode(), time.monotonic() + deadline_seconds)
            chunk = _skip_to(stream, f"{marker}\n".encode(), time.monotonic() + deadline_seconds)
            if chunk:
                yield chunk
            while chunk := stream.read(CHUNK_BYTES, time.monotonic() + deadline_seconds):
                yield chunk
            status = stream.wait(time.monotonic() + deadline_seconds)
        if status:
            raise StageError(f"a program on host '{self.name}' ended with status {status}")

    @contextlib.contextmanager
    def _stream(self) -> Iterator[Stream]:
        stream = self._carrier.open()
        try:
            yield stream
        finally:
            stream.close()

    @contextlib.contextmanager
    def _lost_as_a_whole(self) -> Iterator[None]:
        """Take the loss of a stream for one of the link: the next question dials at once."""
        try:
            yield
        except ConnectionLost:
            self.close()
            raise

    def close(self) -> None:
        """Close the shell and what lies under it; the next question dials again."""
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.close()
        self._carrier.close()


def _greet(shell: Stream, deadline: float) -> bytes | None:
    """Wait for the shell to speak; return what was said instead where the stream just ended.

    The mark is put together by the shell: something that only repeats what it reads is none.
    """
    first, second = new_marker(), new_marker()
    mark, seen = f"{first}{second}\n".encode(), b""
    with contextlib.suppress(ConnectionLost):  # what ended has said why
        shell.write(f"printf '%s%s\\n' {first} {second}\n".encode(), deadline)
    while mark not in seen:
        try:
            chunk = shell.read(CHUNK_BYTES, deadline)
        except ConnectionLost:
            if seen:
                return seen  # it does speak, but it is no shell
            raise
        if not chunk:
            return seen
        seen = seen[-GREETING_BYTES:] + chunk
    return None


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
