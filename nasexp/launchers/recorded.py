"""A job whose end is in the journal: nobody has to ask the host about it any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasexp.errors import StageError
from nasexp.values import Observation

if TYPE_CHECKING:
    from nasexp.values import Ending, Workdir


@dataclass(frozen=True, slots=True)
class RecordedJob:
    """A job that has ended; what is left to do is to bring its results home."""

    workdir: Workdir
    ending: Ending

    def look(self, console_offset: int) -> Observation:
        """See `Job.look`; the console was taken home before the end was written down."""
        del console_offset
        return Observation(self.ending.seconds, self.ending, b"")

    def stop(self, *, now: bool = False) -> None:
        """See `Job.stop`: there is nothing to stop."""

    def extend(self, seconds: float) -> float | None:
        """See `Job.extend`."""
        del seconds
        raise StageError("the training has ended")
