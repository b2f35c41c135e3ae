"""A limit in bytes per second, held over any time longer than a quarter of a second."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nasexp.connections.bulk.redial import Clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BURST_SECONDS = 0.25
SMALLEST_BYTES = 1 << 12


class Pace:
    """A token bucket: what was not used lately may be used at once, up to a burst.

    Args:
        limit: in bytes per second; infinity for none.
        clock: for tests.
    """

    def __init__(self, limit: float = math.inf, clock: Clock | None = None) -> None:
        if not limit > 0:
            raise ValueError(f"a limit of {limit} bytes per second")
        self.limit = limit
        self._clock = clock or Clock()
        self._free_at = 0.0

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the same bytes, each chunk (or a part of it) once its time has come."""
        if math.isinf(self.limit):
            yield from chunks
            return
        most = max(SMALLEST_BYTES, int(self.limit * BURST_SECONDS))
        for chunk in chunks:
            for start in range(0, len(chunk), most):
                part = chunk[start : start + most]
                self._wait_for(len(part))
                yield part

    def _wait_for(self, count: int) -> None:
        now = self._clock.now()
        self._free_at = max(self._free_at, now - BURST_SECONDS) + count / self.limit
        if self._free_at > now:
            self._clock.sleep(self._free_at - now)
