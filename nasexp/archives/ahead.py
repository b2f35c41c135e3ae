"""An iterator whose work is done in a thread, a few items ahead of whoever takes them."""

from __future__ import annotations

import queue
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

T = TypeVar("T")

MOST_AHEAD = 4


@contextmanager
def ahead(items: Generator[T, None, None]) -> Iterator[Iterator[T]]:
    """Take the items in a thread; in the block, iterate over them as they become ready.

    An error of the thread is raised where the next item is asked for. However the block is
    left, by then the thread has ended and the generator is closed.
    """
    lane = _Lane(items)
    try:
        yield lane.items()
    finally:
        lane.stop()


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None = None


class _Lane(Generic[T]):
    def __init__(self, source: Generator[T, None, None]) -> None:
        self._source = source
        self._ready: queue.Queue[T | _End] = queue.Queue(MOST_AHEAD)
        self._wanted = True
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def items(self) -> Iterator[T]:
        while not isinstance(item := self._take(), _End):
            yield item
        if item.error:
            raise item.error

    def stop(self) -> None:
        self._wanted = False
        # Room in the queue is what the thread may be waiting for.
        while not self._ended:
            self._take()
        self._thread.join()

    def _take(self) -> T | _End:
        item = self._ready.get()
        self._ended = isinstance(item, _End)
        return item

    def _run(self) -> None:
        end = _End()
        try:
            with closing(self._source):
                for item in self._source:
                    self._ready.put(item)
                    if not self._wanted:
                        break
        except BaseException as error:  # noqa: BLE001 - whoever takes the items raises it
            end = _End(error)
        self._ready.put(end)
