"""connect: opens a connection to the run's host. Takes a run, gives a Connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.connections.local import connect_local

if TYPE_CHECKING:
    from nasexp.connections.protocol import Connection
    from nasexp.values import Run


@hookimpl(trylast=True)
def nasexp_connect(run: Run) -> Connection | None:
    """Connect to this machine; a host with an address is somebody else's."""
    host = run.settings.host
    return None if host.settings.address else connect_local(host.name)
