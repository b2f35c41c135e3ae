"""Follows a job on its host: console, end, a backup each interval; a lost link is only a pause."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nasexp.errors import ConnectionLost, HostKeyRefused, LoginRefused, NasexpError, StageError
from nasexp.persevering import for_ever
from nasexp.runs.console import ConsoleLog
from nasexp.runs.record import write_record
from nasexp.runs.wishes import Wishes, sleep_watching
from nasexp.stages.backup import BackupSettings
from nasexp.tailing import DigestsConsole, Tail
from nasexp.values import Stage, Why
from nasexp.verdict import record_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from nasexp.connections.protocol import Connection
    from nasexp.dispatch import Hooks
    from nasexp.stopping import StopSwitch
    from nasexp.values import Ending, Job, Observation, Run

SHORTEST_SECONDS, FLOWING_SECONDS, LONGEST_SECONDS = 0.01, 0.2, 0.7
"""Between two looks: at first, while the console flows, when nothing happens."""
FLOOD_BYTES = 64 << 10
"""A look that brings so much is followed by the next at once, almost."""
SEEN_SECONDS = 300.0
"""So often the journal says that the training lives: the least it has run, if the host dies."""
REDIAL_SECONDS = (1.0, 60.0)
MOST_REFUSALS = 10
"""So often a full disk here is asked again for room once the training has ended."""


@dataclass
class Follower:
    """Follows one job to its end.

    Args:
        run: the run.
        hooks: for the backups and the observers.
        connection: the host.
        job: what is followed.
        step: makes the context of a stage; a backup pass is one.
        stop: pressed by a person who wants the training to end.
    """

    run: Run
    hooks: Hooks
    connection: Connection
    job: Job
    step: Callable[[Stage], AbstractContextManager[None]]
    stop: StopSwitch
    _pause: float = SHORTEST_SECONDS
    _redial: float = 0.0
    _refused: bool = False
    _backup_due: float = field(default=math.inf)
    _started: bool = False
    _stopping: bool = False
    _refusals: int = 0
    _alive_seconds: float | None = None
    _seen_due: float = 0.0

    def follow(self) -> Ending:
        """Return the job's end, all of its console being in log.log."""
        log = ConsoleLog(self.run.paths.log)
        try:
            return self._until_ended(log, Tail(self.run, log))
        finally:
            log.close()

    def _until_ended(self, log: ConsoleLog, tail: Tail) -> Ending:
        while True:
            seen = self._look(tail)
            if seen:
                taken = self._take(seen, log, tail)
                if seen.ending and (not seen.console or self._gave_up(taken=taken)):
                    return self._ended(seen.ending, tail, log_complete=not seen.console)
                self._stop_when_asked()
                self._back_up_when_due()
            self._meet_wishes(reachable=seen is not None)
            self._rest(seen, behind=bool(seen and tail.behind(seen)))

    def _meet_wishes(self, *, reachable: bool) -> None:
        with contextlib.suppress(ConnectionLost):  # the next look tells
            Wishes(self.run, self.job).meet(reachable=reachable)

    def _stop_when_asked(self) -> None:
        if self.stop.asked and not self._stopping:
            self.run.monitor.note("stopping the training; what it has written comes home")
            self.run.journal.write("stop.asked", by="keyboard")
            with contextlib.suppress(ConnectionLost):  # it is asked again when the link is back
                self.job.stop()
                self._stopping = True

    def _look(self, tail: Tail) -> Observation | None:
        """Return what the host tells; None where it cannot be reached."""
        try:
            seen = self.job.look(tail.offset)
            while not tail.fits(seen, self.job):
                seen = self.job.look(tail.offset)
        except ConnectionLost as error:
            self._tell_lost(error)
            shortest, longest = REDIAL_SECONDS
            self._redial = min(max(shortest, self._redial * 2), longest)
            return None
        if self._redial:
            self.run.journal.write("link.back", **_clock_facts(seen))
            self.run.monitor.note("the host answers again")
            self._redial, self._refused = 0.0, False
        self._note_alive(seen)
        return seen

    def _note_alive(self, seen: Observation) -> None:
        if seen.alive_seconds is None or seen.ending:
            return
        self._alive_seconds = seen.alive_seconds
        if time.monotonic() >= self._seen_due and self._started:
            self._seen_due = time.monotonic() + SEEN_SECONDS
            self.run.journal.write("training.seen", alive_seconds=seen.alive_seconds)

    def _tell_lost(self, error: ConnectionLost) -> None:
        """Tell once that the link is lost, and once more, loudly, that the host refuses us.

        A refusal is no network trouble: it stays until a person does something.
        """
        refused = isinstance(error, HostKeyRefused | LoginRefused)
        if self._redial and (self._refused or not refused):
            return
        self._refused = refused
        tell = self.run.monitor.warn if refused else self.run.monitor.note
        tell(f"{error.message}; the training goes on, still trying")
        self.run.journal.write("link.lost", error=error.message, alive_seconds=self._alive_seconds)

    def _take(self, seen: Observation, log: ConsoleLog, tail: Tail) -> bool:
        """Take in what was seen; False where the disk here has no room for the console.

        The training is none of its business: the same bytes are asked for again.
        """
        if seen.age_seconds is not None and not self._started:
            self._begin(seen, seen.age_seconds)
        if not seen.console:
            return True
        before = log.offset
        try:
            log.append(seen.console)
        except StageError as error:
            if not self._refusals:
                self.run.monitor.warn(f"{error.message}; the training goes on")
            self._refusals += 1
        else:
            self._refusals = 0
        taken = seen.console[: log.offset - before]
        tail.took(taken)
        self.run.monitor.console(taken)
        return not self._refusals

    def _gave_up(self, *, taken: bool) -> bool:
        return not taken and self._refusals >= MOST_REFUSALS

    def _begin(self, seen: Observation, age_seconds: float) -> None:
        """Note the start once: the time here less the job's age by the host's uptime."""
        self._started = True
        every = self.run.settings.section("backup", BackupSettings).every.seconds
        self._backup_due = time.monotonic() + every
        if self.run.journal.last("training.started"):
            return
        started = datetime.now(UTC) - timedelta(seconds=age_seconds)
        self.run.journal.write("training.started", at=started.isoformat(), **_clock_facts(seen))
        write_record(self.run.paths, record_of(self.run))
        self.hooks.training_started(self.run, self.job)

    def _ended(self, ending: Ending, tail: Tail, *, log_complete: bool) -> Ending:
        own = tail.own_digest()
        if log_complete and self._differs(tail, own):
            self.run.monitor.warn("log.log is not what the console on the host is now")
            log_complete = False
        self.run.journal.write(
            "training.ended",
            why=ending.why.value,
            told=str(ending),
            exit_code=ending.exit_code,
            seconds=ending.seconds,
            latest_seconds=ending.latest_seconds,
            cause=ending.cause,
            survivors=list(ending.survivors),
            log_complete=log_complete,
            log_digest=own,
        )
        self.hooks.training_ended(self.run, self.job, ending)
        if ending.why is Why.LOST:
            self.run.monitor.warn("the training's end was not seen: its runner was killed")
        return ending

    def _differs(self, tail: Tail, own: str) -> bool:
        """Whether the host can tell, and tells, that its console is another than log.log."""
        if not isinstance(self.job, DigestsConsole):
            return False
        digest = for_ever(self.run, self.job.console_digest)
        return digest is not None and tail.agrees(own, digest) is False

    def _back_up_when_due(self) -> None:
        if time.monotonic() < self._backup_due:
            return
        every = self.run.settings.section("backup", BackupSettings).every.seconds
        try:
            with self.step(Stage.BACKUP):
                self.hooks.backup(self.run, self.connection, self.job)
        except NasexpError as error:
            self.run.monitor.warn(f"backup failed, the next one makes it good: {error.message}")
        # Counted from the end of the pass: one that takes long never meets itself.
        self._backup_due = time.monotonic() + every

    def _rest(self, seen: Observation | None, *, behind: bool) -> None:
        if seen is None:
            sleep_watching(self.run, self._redial)
        elif not behind or self._refusals:
            if len(seen.console) >= FLOOD_BYTES:
                self._pause = SHORTEST_SECONDS
            longest = FLOWING_SECONDS if seen.console else LONGEST_SECONDS
            self._pause = min(self._pause * 1.25, longest)
            until_backup = max(0.0, self._backup_due - time.monotonic())
            time.sleep(min(self._pause, until_backup))


def _clock_facts(seen: Observation) -> dict[str, float]:
    """Return how far the host's clock is ahead, for the journal."""
    if seen.clock is None:
        return {}
    return {
        "clock_ahead_seconds": round(seen.clock.seconds, 3),
        "clock_error_seconds": round(seen.clock.error_seconds, 3),
    }
