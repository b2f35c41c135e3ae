"""The values that stages hand on: frozen, typed, one for each stage.

Order of the pipeline: Run → Connection → Archive → Workdir → Environment → Job → Snapshot →
Collected → PowerDecision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from nasexp.config.settings import Settings
    from nasexp.config.workspace import Project, Workspace
    from nasexp.runs.paths import RunPaths


class Stage(Enum):
    """The seven stages, in order."""

    CONNECT = "connect"
    ARCHIVE = "archive"
    TRANSFER = "transfer"
    TRAIN = "train"
    BACKUP = "backup"
    COLLECT = "collect"
    SHUTDOWN = "shutdown"


class Recorder(Protocol):
    """The journal of a run, as stages see it."""

    def write(self, event: str, **facts: Any) -> object:
        """Append one event and make it durable."""
        ...

    def last(self, event: str) -> Mapping[str, Any] | None:
        """Return the facts of the newest such event; None when there is none."""
        ...


class Monitor(Protocol):
    """Where a stage tells a person what it does."""

    @property
    def warnings(self) -> list[str]:
        """What was warned of so far."""
        ...

    def note(self, text: str) -> None:
        """Tell a fact in one line."""
        ...

    def warn(self, text: str) -> None:
        """Tell what is not as it should be; the run goes on and ends with warnings."""
        ...

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """Tell how far a copy is; called often."""
        ...

    def console(self, data: bytes) -> None:
        """Show what the training printed, as it comes."""
        ...

    def ask(self, prompt: str) -> str | None:
        """Ask a person for a secret, which is shown nowhere; None where nobody can answer."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """One pass of the pipeline: every hook's first argument."""

    id: str
    number: int
    workspace: Workspace
    project: Project
    paths: RunPaths
    settings: Settings
    journal: Recorder
    monitor: Monitor

    @property
    def address(self) -> str:
        """`example_proj/run_3`."""
        return f"{self.project.name}/run_{self.number}"


@dataclass(frozen=True, slots=True)
class Archive:
    """The packed code. `sha256` is that of the tar stream, whatever packed it."""

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Workdir:
    """The run's folder on the host (absolute); the code lies in its `work/`."""

    path: str

    @property
    def work(self) -> str:
        """The current folder of the training."""
        return f"{self.path}/work"


@dataclass(frozen=True, slots=True)
class Environment:
    """What makes the command runnable.

    Attributes:
        name: for people, as in `venv 3f2a91`; `system` when nothing is set up.
        variables: set for the command.
        path: folders on the host put in front of its PATH.
        setup: sh text that runs in the command's own shell before it.
    """

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    setup: str = ""


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


@runtime_checkable
class Job(Protocol):
    """The training command as it runs on the host, watched there."""

    @property
    def workdir(self) -> Workdir:
        """The run's folder on the host."""
        ...

    def look(self, console_offset: int) -> Observation:
        """Ask the host how the job is. Raises ConnectionLost: that says nothing of the job."""
        ...

    def stop(self) -> None:
        """Ask the host to end the job: TERM, grace, KILL; `look` tells when it has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent copy of the output folder at one time."""

    time: datetime
    files: int
    size_bytes: int
    new_bytes: int
    unstable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Collected:
    """What came home in the end: the output folder, checked, and how many files it has."""

    output: Path
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PowerDecision:
    """Whether the host stays on, and why. `confirmed` is false when that is not known."""

    stays_on: bool
    reason: str
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a stage went: the error in one line when it failed."""

    seconds: float
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the stage did what it should."""
        return not self.error
