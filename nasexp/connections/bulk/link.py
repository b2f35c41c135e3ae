"""A connection as bulk copies use it: with patience, a pace, and somebody who is told."""

from __future__ import annotations

import contextlib
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from nasexp.connections.bulk.pace import Pace
from nasexp.connections.bulk.redial import PATIENCE_SECONDS, Clock, Redial
from nasexp.connections.bulk.tools import ask_tools
from nasexp.errors import ConnectionLost, StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nasexp.connections.protocol import Connection
    from nasexp.values import Monitor

T = TypeVar("T")

PROBE_SECONDS = 15.0
CHUNK_SECONDS = 300.0
ANSWER_SECONDS = 600.0


class Link:
    """What one copy, or several of them one after the other, go over.

    Args:
        connection: to the host; it dials again by itself after a ConnectionLost.
        monitor: told of progress, and once when the link is lost and when it is back.
        patience_seconds: so long without any progress, then a copy fails.
        limit: in bytes per second and direction; infinity for none.
        clock: for tests.
    """

    def __init__(
        self,
        connection: Connection,
        monitor: Monitor,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        limit: float = math.inf,
        clock: Clock | None = None,
    ) -> None:
        self.connection = connection
        self.monitor = monitor
        self.clock = clock or Clock()
        self.pace = Pace(limit, self.clock)
        self._redial = Redial(monitor.note, patience_seconds, self.clock)
        self.moved = self._redial.moved
        self.answered = self._redial.answered
        self._tools: frozenset[str] | None = None

    @property
    def host(self) -> str:
        """The host's name, for messages."""
        return self.connection.name

    def tools(self) -> frozenset[str]:
        """Return which programs the host has, of those that copies can use; asked once."""
        if self._tools is None:
            self._tools = self.keep_trying(lambda: ask_tools(self.connection))
        return self._tools

    def keep_trying(self, step: Callable[[], T]) -> T:
        """Return what the step returns; repeat it when the link was lost, as `Redial` does."""
        is_first = True

        def attempt() -> T:
            nonlocal is_first
            if not is_first:
                self._revive()
            is_first = False
            return step()

        return self._redial.keep_trying(attempt)

    def _revive(self) -> None:
        """Find out whether the shell is dead, which ends it; then the next question dials."""
        try:
            self.connection.run("true", deadline_seconds=PROBE_SECONDS)
        except ConnectionLost:
            self.connection.run("true")

    @contextmanager
    def receiving(self, program: str, *words: str | bytes) -> Iterator[Received]:
        """Run a program on the host; in the block, iterate over what it prints.

        However the block is left, the program's stream is closed.
        """
        chunks = self.connection.receive(program, *words, deadline_seconds=CHUNK_SECONDS)
        received = Received(chunks, self.pace, self.clock.now)
        try:
            yield received
        finally:
            received.close()


class Received:
    """The output of a program, paced; how long we waited for it, and how the program ended.

    Attributes:
        failure: how it ended, when that was not with status 0.
        size_bytes: what came so far, as it came over the link.
        waited_seconds: the time that was spent waiting for it, after its first chunk.
    """

    def __init__(self, chunks: Iterable[bytes], pace: Pace, now: Callable[[], float]) -> None:
        self._source = iter(chunks)
        self._paced = pace.through(self._measured())
        self._now = now
        self.failure: StageError | None = None
        self.size_bytes = self._first_bytes = 0
        self.waited_seconds = 0.0

    def __iter__(self) -> Iterator[bytes]:
        return self._paced

    @property
    def rate(self) -> float:
        """Bytes per second of waiting, the start left out."""
        return (self.size_bytes - self._first_bytes) / max(self.waited_seconds, 1e-6)

    def close(self) -> None:
        """Let go of the stream, wherever it is."""
        with contextlib.suppress(AttributeError):
            self._source.close()  # type: ignore[attr-defined]

    def _measured(self) -> Iterator[bytes]:
        while True:
            began = self._now()
            try:
                chunk = next(self._source, b"")
            except StageError as error:
                self.failure = error
                chunk = b""
            if not chunk:
                return
            if self.size_bytes:
                self.waited_seconds += self._now() - began
            else:
                self._first_bytes = len(chunk)
            self.size_bytes += len(chunk)
            yield chunk
