"""Whether packing on the host makes a copy faster: measured on what comes, never assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp.archives.gz import compressor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nasexp.connections.bulk.link import Received

MEASURED_BYTES = 8 << 20
SAMPLE_BYTES = 256 << 10

# What `gzip -1` on a host packs in a second, of its input. Slow ones manage half of it, but those
# seldom have fast lines.
GZIP_BYTES_PER_SECOND = 60e6

# Nothing is changed for less than that.
WORTH_IT = 1.3


class Gauge:
    """Looks at the beginning of a stream that comes unpacked, and says whether it should."""

    def __init__(self) -> None:
        self._seen_bytes = 0
        self._sample = b""
        self._is_done = False

    def should_pack(self, received: Received) -> bool:
        """Say it once, when enough has been seen; until then and afterwards: no."""
        if self._is_done or self._seen_bytes < MEASURED_BYTES:
            return False
        self._is_done = True
        return is_worth_it(received.rate, shrunk(self._sample))

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks, having looked at them."""
        for chunk in chunks:
            self._seen_bytes += len(chunk)
            if not self._is_done:
                # The newest: the first bytes of a file are often another kind than the rest.
                self._sample = (self._sample + chunk)[-SAMPLE_BYTES:]
            yield chunk


def is_worth_it(rate: float, ratio: float, packing: float = GZIP_BYTES_PER_SECOND) -> bool:
    """Whether packing saves time on a link of `rate` bytes per second, at this ratio of sizes.

    Args:
        rate: of the link.
        ratio: the packed size as a share of its own.
        packing: how many bytes per second are packed.
    """
    plain_seconds = 1 / rate
    packed_seconds = max(1 / packing, ratio / rate)
    return plain_seconds > WORTH_IT * packed_seconds


def shrunk(sample: bytes) -> float:
    """Return the size of a packed sample as a share of its own."""
    packer = compressor()
    return (len(packer.compress(sample)) + len(packer.flush())) / max(1, len(sample))
