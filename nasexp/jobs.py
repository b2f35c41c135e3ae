"""What is known of a job: how it ended, what it is on its host, what one look found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Why(Enum):
    """How a job ended."""

    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    LOST = "lost"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True)
class Ending:
    """The one end of a job.

    Attributes:
        why: how it ended.
        exit_code: of the command; None when nobody saw it.
        seconds: its length by the host's uptime, less the time that the host was suspended.
        latest_seconds: the most that it can have been, where the end was not seen to the second.
        cause: what is known to have made it fail, in words; empty when nothing is.
        survivors: processes on the host that could not be ended.
    """

    why: Why
    exit_code: int | None
    seconds: float
    latest_seconds: float | None = None
    cause: str = ""
    survivors: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the training did what it should."""
        return self.why is Why.EXIT and self.exit_code == 0

    def __str__(self) -> str:
        return f"{self._how()} ({self.cause})" if self.cause else self._how()

    def _how(self) -> str:
        if self.why is Why.EXIT:
            return f"exit code {self.exit_code}"
        if self.why is Why.SIGNAL and self.exit_code is not None:
            return f"killed by signal {self.exit_code - 128}"
        return {
            Why.TIMEOUT: "ran into its timeout",
            Why.STOPPED: "stopped by a person",
            Why.REBOOT: "the host was rebooted",
        }.get(self.why, "its end was not seen")


class State(Enum):
    """What a run is on its host, as the files in its folder there tell."""

    STAGING = "staging"
    READY = "ready"
    RUNNING = "running"
    UNWATCHED = "unwatched"
    ENDING = "ending"
    ENDED = "ended"
    REBOOTED = "rebooted"
    SURVIVORS = "survivors"
    COLLECTED = "collected"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far a host's wall clock is ahead of ours, at most `error_seconds` off."""

    seconds: float
    error_seconds: float


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at a job found.

    Attributes:
        age_seconds: how long ago the training started; None when it has not.
        ending: its end; None while it runs.
        console: the bytes of its console from the offset that was asked for, maybe not all.
        state: what the run is on its host; None where the launcher does not tell.
        before: what the console holds right before that offset; some of it, maybe nothing.
        console_bytes: how long the console is; None where that is not known.
        alive_seconds: how long the training has surely run, by what this look saw; None when it
            has not started. The driver journals it: after a reboot it bounds the end from below.
        deadline_left_seconds: until the host ends it; None where nothing limits it.
        beat_age_seconds: how long ago its warden wrote that it lives.
        suspended_seconds: how long the host was suspended since the start.
        clock: of the host.
    """

    age_seconds: float | None
    ending: Ending | None
    console: bytes
    state: State | None = None
    before: bytes = b""
    console_bytes: int | None = None
    alive_seconds: float | None = None
    deadline_left_seconds: float | None = None
    beat_age_seconds: float | None = None
    suspended_seconds: float = 0.0
    clock: ClockOffset | None = None
