"""A job that the host agent keeps; a look at it also mends what a crash has left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasexp.errors import ConnectionLost, StageError
from nasexp.host import programs, states
from nasexp.host.probe import BLOCK_BYTES, probe
from nasexp.host.states import Known, Step
from nasexp.values import ClockOffset, Observation, State

if TYPE_CHECKING:
    from datetime import datetime

    from nasexp.connections.protocol import Connection
    from nasexp.host.claims import Claim
    from nasexp.host.found import Probe
    from nasexp.values import Workdir

MEND_SECONDS = (2.0, 60.0)
"""So long after a launch or an adoption the next one is tried, at first and at last."""
MOST_LAUNCHES = 10


@dataclass
class Pace:
    """How much of a console one look brings: what the link carries in a few seconds."""

    limit_bytes: int = 1 << 20
    least_bytes: int = 64 << 10
    most_bytes: int = 8 << 20
    wanted_seconds: float = 3.0

    def note(self, came_bytes: int, seconds: float) -> None:
        """Take in how long so many bytes took."""
        if came_bytes >= self.limit_bytes // 2:
            wanted = int(came_bytes / max(seconds, 0.001) * self.wanted_seconds)
            self.limit_bytes = max(self.least_bytes, min(wanted, self.most_bytes))

    def note_loss(self) -> None:
        """Take in that no answer came: it may have been too much for the link."""
        self.limit_bytes = max(self.least_bytes, self.limit_bytes // 4)


@dataclass
class AgentJob:
    """A job on a host that has a shell and nothing else.

    Args:
        connection: the host.
        workdir: of the run.
        agent: the path of the agent there; empty: it is brought when it is needed.
        claim: the right to change the run; None: it is not checked.
        segment: which one of the run's.
        alive_seconds: how long it had surely run when an earlier driver last saw it.
        started: when it started, as an earlier driver journalled it.
    """

    connection: Connection
    workdir: Workdir
    agent: str = ""
    claim: Claim | None = None
    segment: int = 1
    alive_seconds: float = field(default=0.0, compare=False)
    started: datetime | None = field(default=None, compare=False)
    _pace: Pace = field(default_factory=Pace, init=False, repr=False, compare=False)
    _looks: int = field(default=0, init=False, repr=False, compare=False)
    _launches: int = field(default=0, init=False, repr=False, compare=False)
    _mended: float = field(default_factory=time.monotonic, init=False, repr=False, compare=False)
    _pause: float = field(default=MEND_SECONDS[0], init=False, repr=False, compare=False)

    def look(self, console_offset: int) -> Observation:
        """See `Job.look`.

        Raises:
            Superseded: something is to be mended, and the run is no longer ours.
        """
        found, clock = self._probe(console_offset)
        self._refuse_strange(found)
        state = states.derive(found)
        self._take(states.next_step(state, found))
        seen = observe(found, state, self._known(), clock)
        self.alive_seconds = max(self.alive_seconds, seen.alive_seconds or 0.0)
        return seen

    def stop(self, *, now: bool = False) -> None:
        """See `Job.stop`."""
        programs.cancel(self.connection, self.workdir.path, self.claim, now=now)

    def extend(self, seconds: float) -> float | None:
        """Let the job run so much longer; return how long it may run now, None without an end.

        Raises:
            StageError: it does not run.
        """
        found, _ = self._probe(0)
        left = states.deadline_left_seconds(found)
        if states.derive(found) not in {State.RUNNING, State.UNWATCHED}:
            raise StageError(f"the training does not run on host '{self.connection.name}'")
        if left is None or found.deadline is None:
            return None
        deadline = found.deadline + round(seconds * 100)
        self.set_deadline(deadline)
        return max(0.0, left + seconds)

    def set_deadline(self, deadline: int | None) -> None:
        """Set the end; see `programs.set_deadline`."""
        path = self.workdir.path
        programs.set_deadline(self.connection, path, deadline, self.claim, segment=self.segment)

    def console_digest(self) -> str | None:
        """See `DigestsConsole.console_digest`."""
        return programs.console_digest(self.connection, self.workdir.path, self.segment)

    def _probe(self, offset: int) -> tuple[Probe, ClockOffset]:
        """Ask the host, and take the time: its clock was read in the middle of the question."""
        before_bytes = 1 if self._looks else BLOCK_BYTES
        asked = time.monotonic()
        try:
            found = probe(
                self.connection,
                self.workdir.path,
                segment=self.segment,
                offset=offset,
                limit_bytes=self._pace.limit_bytes,
                before_bytes=before_bytes,
            )
        except ConnectionLost:
            # Whoever answers next may be another boot: the whole end of the console is compared.
            self._looks = 0
            self._pace.note_loss()
            raise
        took, now = time.monotonic() - asked, time.time()
        self._looks += 1
        self._pace.note(len(found.console), took)
        error = took / 2 + (0.0 if found.wall_exact else 0.5)
        return found, ClockOffset(found.wall_seconds - (now - took / 2), error)

    def _known(self) -> Known:
        started = self.started.timestamp() if self.started else None
        return Known(self.alive_seconds, started, time.time())

    def _refuse_strange(self, found: Probe) -> None:
        name, path = self.connection.name, self.workdir.path
        if found.gone:
            raise StageError(f"the run's folder {path} is gone from host '{name}'")
        if (found.version or 0) > programs.PROTOCOL_VERSION:
            raise StageError(
                f"the run on host '{name}' was started by a newer nasexp",
                hint="follow it with that version",
            )

    def _take(self, step: Step) -> None:
        """Mend what is broken: a launch that came to nothing, a job without a warden."""
        if step not in {Step.LAUNCH, Step.UPLOAD, Step.ADOPT}:
            self._pause = MEND_SECONDS[0]
            return
        if time.monotonic() - self._mended < self._pause:
            return
        self._mended = time.monotonic()
        self._pause = min(self._pause * 2, MEND_SECONDS[1])
        mend = programs.adopt if step is Step.ADOPT else self._counted_launch
        mend(self.connection, self._agent(), self.workdir.path, self.claim, segment=self.segment)

    def _counted_launch(
        self, connection: Connection, agent: str, folder: str, claim: Claim | None, *, segment: int
    ) -> None:
        self._launches += 1
        if self._launches > MOST_LAUNCHES:
            raise StageError(f"the job does not start on host '{connection.name}'")
        programs.launch(connection, agent, folder, claim, segment=segment)

    def _agent(self) -> str:
        if not self.agent:
            home = self.workdir.path.rpartition("/runs/")[0]
            self.agent = programs.install_agent(self.connection, home)
        return self.agent


def observe(
    found: Probe, state: State, known: Known, clock: ClockOffset | None = None
) -> Observation:
    """Return what a probe tells of a job."""
    return Observation(
        age_seconds=states.age_seconds(found),
        ending=states.ending_of(found, known),
        console=found.console,
        state=state,
        before=found.before,
        console_bytes=found.log_bytes or 0,
        alive_seconds=states.alive_seconds(found),
        deadline_left_seconds=states.deadline_left_seconds(found),
        beat_age_seconds=states.beat_age_seconds(found),
        suspended_seconds=found.suspended / 100,
        clock=clock,
    )
