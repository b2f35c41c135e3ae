"""Sends what there is packed and unpacked in whichever form arrives first: measured on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp.connections.bulk.tools import GZIP
from nasexp.connections.bulk.upload import Sending, Source, Uploaded, upload

if TYPE_CHECKING:
    from nasexp.connections.bulk.link import Link

PACKED_SUFFIX = ".gz"

# So much is sent packed before the rate of the link is known; a smaller file is sent by then.
PROBE_BYTES = 8 << 20

# A packed copy that is hardly smaller is never worth unpacking there.
LARGEST_SHARE = 0.9

# What `gzip -dc` on a host makes in a second, of its output.
GUNZIP_BYTES_PER_SECOND = 200e6


def upload_either(link: Link, plain: Source, packed: Source, path: str) -> tuple[str, Uploaded]:
    """Send a stream, or a gzip file of it, into a file on the host.

    Args:
        link: to the host.
        plain: the stream.
        packed: the gzip file of the same stream.
        path: of the file; a packed one has `.gz` behind its name.

    Returns:
        the path of what arrived, and its digest.

    Raises:
        StageError: see `upload`.
        ConnectionLost: likewise.
    """
    target = path + PACKED_SUFFIX
    if GZIP in link.tools() and _should_pack(link, plain, packed, target):
        return target, upload(link, packed, target)
    return path, upload(link, plain, path)


def _should_pack(link: Link, plain: Source, packed: Source, target: str) -> bool:
    """Find out by sending the first of it packed; where that is the slower way, it is forgotten."""
    share = packed.size_bytes / max(1, plain.size_bytes)
    if share > LARGEST_SHARE or packed.size_bytes <= PROBE_BYTES:
        return share <= LARGEST_SHARE
    sending = Sending(link, packed, target)
    sending.send(PROBE_BYTES)
    # Where nothing had to be sent, an earlier call has found packing right.
    rate = PROBE_BYTES / sending.seconds if sending.seconds else 0.0
    if rate == 0.0 or 1 / rate > share / rate + 1 / GUNZIP_BYTES_PER_SECOND:
        return True
    sending.forget()
    return False
