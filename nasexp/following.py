"""Follows a job on its host: console, end, a backup each interval; a lost link is only a pause."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nasexp.errors import ConnectionLost, HostKeyRefused, LoginRefused, NasexpError, StageError
from nasexp.runs.console import ConsoleLog
from nasexp.runs.record import write_record
from nasexp.stages.backup import BackupSettings
from nasexp.values import Stage, Why
from nasexp.verdict import record_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from nasexp.connections.protocol import Connection
    from nasexp.dispatch import Hooks
    from nasexp.stopping import StopSwitch
    from nasexp.values import Ending, Job, Observation, Run

SHORTEST_SECONDS, LONGEST_SECONDS = 0.01, 0.5
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
    _backup_due: float = field(default=math.inf)
    _started: bool = False
    _stopping: bool = False
    _refusals: int = 0
    log_complete: bool = False

    def follow(self) -> Ending:
        """Return the job's end, all of its console being in log.log."""
        log = ConsoleLog(self.run.paths.log)
        try:
            return self._until_ended(log)
        finally:
            log.close()

    def _until_ended(self, log: ConsoleLog) -> Ending:
        while True:
            seen = self._look(log.offset)
            if seen:
                taken = self._take(seen, log)
                if seen.ending and (not seen.console or self._gave_up(taken=taken)):
                    return self._ended(seen.ending, log_complete=not seen.console)
                self._stop_when_asked()
                self._back_up_when_due()
            self._rest(seen)

    def _stop_when_asked(self) -> None:
        if self.stop.asked and not self._stopping:
            self._stopping = True
            self.run.monitor.note("stopping the training; what it has written comes home")
            self.run.journal.write("stop.asked", by="keyboard")
            self.job.stop()

    def _look(self, offset: int) -> Observation | None:
        try:
            seen = self.job.look(offset)
        except ConnectionLost as error:
            if not self._redial:
                # A refusal is no network trouble: it stays until a person does something.
                refused = isinstance(error, HostKeyRefused | LoginRefused)
                tell = self.run.monitor.warn if refused else self.run.monitor.note
                tell(f"{error.message}; the training goes on, still trying")
                self.run.journal.write("link.lost", error=error.message)
            shortest, longest = REDIAL_SECONDS
            self._redial = min(max(shortest, self._redial * 2), longest)
            return None
        if self._redial:
            self.run.journal.write("link.back")
            self.run.monitor.note("the host answers again")
            self._redial = 0.0
        return seen

    def _take(self, seen: Observation, log: ConsoleLog) -> bool:
        """Take in what was seen; False where the disk here has no room for the console.

        The training is none of its business: the same bytes are asked for again.
        """
        if seen.age_seconds is not None and not self._started:
            self._begin(seen.age_seconds)
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
        self.run.monitor.console(seen.console[: log.offset - before])
        return not self._refusals

    def _gave_up(self, *, taken: bool) -> bool:
        return not taken and self._refusals >= MOST_REFUSALS

    def _begin(self, age_seconds: float) -> None:
        """Note the start once: the time here less the job's age by the host's uptime."""
        self._started = True
        every = self.run.settings.section("backup", BackupSettings).every.seconds
        self._backup_due = time.monotonic() + every
        if self.run.journal.last("training.started"):
            return
        started = datetime.now(UTC) - timedelta(seconds=age_seconds)
        self.run.journal.write("training.started", at=started.isoformat())
        write_record(self.run.paths, record_of(self.run))
        self.hooks.training_started(self.run, self.job)

    def _ended(self, ending: Ending, *, log_complete: bool) -> Ending:
        self.log_complete = log_complete
        self.run.journal.write(
            "training.ended",
            why=ending.why.value,
            exit_code=ending.exit_code,
            seconds=ending.seconds,
            log_complete=log_complete,
        )
        self.hooks.training_ended(self.run, self.job, ending)
        if ending.why is Why.LOST:
            self.run.monitor.warn("the training's end was not seen: its runner was killed")
        return ending

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

    def _rest(self, seen: Observation | None) -> None:
        if seen is None:
            time.sleep(self._redial)
        elif seen.console and not self._refusals:
            self._pause = SHORTEST_SECONDS
        else:
            until_backup = max(0.0, self._backup_due - time.monotonic())
            time.sleep(min(self._pause, until_backup))
            self._pause = min(self._pause * 1.25, LONGEST_SECONDS)
