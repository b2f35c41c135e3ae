"""Our own TCP socket to a host: patient for so long and no longer, and honest about a dead peer."""

from __future__ import annotations

import socket

CONNECT_SECONDS = 10.0
UNACKNOWLEDGED_MS = 20_000
IDLE_SECONDS, INTERVAL_SECONDS, PROBES = 5, 5, 3


def dial(host: str, port: int) -> socket.socket:
    """Connect. Raises OSError and its subclasses.

    A peer that is gone shows within half a minute: keepalive probes find one that is silent, and
    TCP_USER_TIMEOUT one that no longer acknowledges what was sent.
    """
    link = socket.create_connection((host, port), CONNECT_SECONDS)
    link.settimeout(None)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", IDLE_SECONDS),
        ("TCP_KEEPINTVL", INTERVAL_SECONDS),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS),
    ):
        if hasattr(socket, option):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return link
