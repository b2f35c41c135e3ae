"""Whether what goes to a host goes packed: decided piece by piece, by what was measured so far."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nasexp.archives.gz import compressor
from nasexp.connections.bulk.shrink import (
    GZIP_BYTES_PER_SECOND,
    MEASURED_BYTES,
    SAMPLE_BYTES,
    is_worth_it,
    shrunk,
)
from nasexp.connections.bulk.tools import GZIP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nasexp.connections.bulk.link import Link

# What is not much smaller is hardly worth unpacking there.
LARGEST_SHARE = 0.75

# What `gzip -dc` on a host makes in a second, of its output.
GUNZIP_BYTES_PER_SECOND = 200e6

# So much lies in buffers before a link is waited for.
BUFFERED_BYTES = 4 << 20


class Forms:
    """Packs streams where that makes them arrive earlier.

    Until enough was measured, packed is what shrinks.

    Args:
        link: to the host.
        share: what is known of all of it: its packed size as a share of its size.
    """

    def __init__(self, link: Link, share: float = 1.0) -> None:
        self._link = link
        self._may_shrink = share <= LARGEST_SHARE
        self._rate = math.inf
        self._is_measured = False
        self._packing = GZIP_BYTES_PER_SECOND

    def choose(self, chunks: Iterator[bytes]) -> tuple[bool, Iterator[bytes]]:
        """Return whether a stream goes packed, and the chunks to send."""
        if not self._may_shrink or GZIP not in self._link.tools():
            return False, self._measured(chunks)
        first = next(chunks, b"")
        is_packed = self._should_pack(first[:SAMPLE_BYTES])
        whole = _joined(first, chunks)
        return is_packed, self._measured(self._packed(whole) if is_packed else whole)

    def _should_pack(self, sample: bytes) -> bool:
        ratio = shrunk(sample)
        if ratio > LARGEST_SHARE:
            return False
        rate = min(self._rate, self._link.pace.limit)
        return not self._is_measured or is_worth_it(rate, ratio, self._packing)

    def _packed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        packer, now = compressor(), self._link.clock.now
        size, seconds = 0, 0.0
        for chunk in chunks:
            began = now()
            packed = packer.compress(chunk)
            seconds += now() - began
            size += len(chunk)
            if packed:
                yield packed
        if size >= MEASURED_BYTES and seconds > 0:
            self._packing = min(size / seconds, GUNZIP_BYTES_PER_SECOND)
        yield packer.flush()

    def _measured(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks; the time until the next is asked for is what the link takes."""
        now = self._link.clock.now
        size, seconds = -BUFFERED_BYTES, 0.0
        for chunk in self._link.pace.through(chunks):
            began = now()
            yield chunk
            size += len(chunk)
            if size > 0:
                seconds += now() - began
        if size >= MEASURED_BYTES:
            self._is_measured = True
            self._rate = size / max(seconds, 1e-6)


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
