"""A job that the host agent keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasexp.host import programs

if TYPE_CHECKING:
    from nasexp.connections.protocol import Connection
    from nasexp.values import Observation, Workdir


@dataclass(frozen=True, slots=True)
class AgentJob:
    """A job on a host that has a shell and nothing else."""

    connection: Connection
    workdir: Workdir

    def look(self, console_offset: int) -> Observation:
        """See `Job.look`."""
        return programs.look(self.connection, self.workdir.path, console_offset)

    def stop(self) -> None:
        """See `Job.stop`."""
        programs.cancel(self.connection, self.workdir.path)
