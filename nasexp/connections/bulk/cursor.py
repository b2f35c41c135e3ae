"""A place in a stream of chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cursor:
    """Takes counted bytes from chunks of any size; every method may raise StageError."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def take(self, count: int) -> Iterator[bytes]:
        """Yield the next `count` bytes. Raises StageError when there are not that many."""
        while count:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    raise StageError(f"what is sent shrank meanwhile: {count} bytes are missing")
            part = self._rest if len(self._rest) <= count else self._rest[:count]
            self._rest = self._rest[len(part) :]
            count -= len(part)
            yield part

    def skip(self, count: int) -> None:
        """Pass over the next `count` bytes."""
        for _ in self.take(count):
            pass

    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._rest = chunk
        return False
