"""Patience with a link that breaks: try again with longer and longer pauses while it moves on."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from nasexp.errors import ConnectionLost, HostKeyRefused, LoginRefused

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
PATIENCE_SECONDS = 600.0

# Waiting mends neither a wrong key nor a refused login: a person has to.
HOPELESS = (HostKeyRefused, LoginRefused)


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from; tests bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    dice: Callable[[], float] = random.random


class Redial:
    """Repeats a step that a lost link stopped.

    Args:
        tell: called with one line when the link is lost, and with one when it is back.
        patience_seconds: so long after a loss without any progress, then the error is raised.
        clock: for tests.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._tell = tell
        self._patience = patience_seconds
        self._clock = clock or Clock()
        self._lost_at: float | None = None
        self._pause = 0.0
        self._is_told = False

    def keep_trying(self, step: Callable[[], T]) -> T:
        """Return what the step returns, however often it takes.

        The connection dials again by itself when it is used again.

        Raises:
            ConnectionLost: there was no progress for as long as the patience lasts, or none can
                be hoped for.
        """
        self._lost_at = None
        while True:
            try:
                result = step()
            except HOPELESS:
                raise
            except ConnectionLost as error:
                self._wait(error)
            else:
                self.moved()
                self.answered()
                return result

    def moved(self) -> None:
        """Take note of progress: bytes that arrived for good."""
        self._lost_at = None
        self._pause = 0.0

    def answered(self) -> None:
        """Take note that the host answers, whether or not anything has arrived since."""
        if self._is_told:
            self._is_told = False
            self._tell("the host answers again; the copy goes on where it was cut")

    def _wait(self, error: ConnectionLost) -> None:
        # Counted from the first loss: one piece on a slow line may take longer than that.
        now = self._clock.now()
        if self._lost_at is None:
            self._lost_at = now
        left = self._lost_at + self._patience - now
        if left <= 0:
            raise error
        if not self._is_told:
            self._is_told = True
            self._tell(f"{error.message}; the copy waits and goes on where it was cut")
        self._pause = min(max(SHORTEST_SECONDS, self._pause * 2), LONGEST_SECONDS)
        # Not all at once, when one switch has cut off many.
        self._clock.sleep(min(left, self._pause * (0.5 + self._clock.dice() / 2)))
