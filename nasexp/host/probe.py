"""The probe: one round trip tells all that a run's folder on the host says, and its console."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from nasexp.errors import ConnectionLost, StageError
from nasexp.host.found import Probe, parse_probe

if TYPE_CHECKING:
    from nasexp.connections.protocol import Connection

BLOCK_BYTES = 4096
GONE_STATUS = 9


def probe(
    connection: Connection,
    folder: str,
    *,
    segment: int = 1,
    offset: int = 0,
    limit_bytes: int = 0,
    before_bytes: int = 1,
    deadline_seconds: float = 60.0,
) -> Probe:
    """Look at a run in one round trip.

    Args:
        connection: the host.
        folder: of the run there.
        segment: its number.
        offset: where the console is wanted from.
        limit_bytes: how much of it at most, about; 0 for none.
        before_bytes: how much of what lies before the offset is wanted at least.
        deadline_seconds: for the answer.

    Raises:
        ConnectionLost: no answer, or none that makes sense; that says nothing of the job.
    """
    first = max(0, offset - before_bytes) // BLOCK_BYTES
    count = -(-(offset + limit_bytes) // BLOCK_BYTES) - first if limit_bytes else 0
    words = (folder, str(segment), str(first), str(count))
    answer = connection.run(_program(), *words, deadline_seconds=deadline_seconds)
    if answer.status == GONE_STATUS:
        return Probe(gone=True)
    if answer.status:
        # A shell that was killed there, a full table of processes: only the host ends a run.
        said = answer.complaint()
        raise ConnectionLost(f"host '{connection.name}' cannot tell of the run: {said}")
    head, _, data = answer.output.partition(b"\n\n")
    within = offset - first * BLOCK_BYTES
    try:
        return parse_probe(head, data[:within], data[within:])
    except StageError as error:
        raise ConnectionLost(f"host '{connection.name}': {error.message}") from error


@cache
def _program() -> str:
    return files("nasexp.host").joinpath("probe.sh").read_text()
