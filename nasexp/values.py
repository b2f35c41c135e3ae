"""The values that stages hand on: frozen, typed, one for each stage.

Order of the pipeline: Run → Connection → Archive → Workdir → Environment → Job → Snapshot →
Collected → PowerDecision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nasexp.jobs import ClockOffset, Ending, Observation, State, Why

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from nasexp.config.settings import Settings
    from nasexp.config.workspace import Project, Workspace
    from nasexp.runs.paths import RunPaths

__all__ = [
    "Archive",
    "ClockOffset",
    "Collected",
    "Ending",
    "Environment",
    "Job",
    "Monitor",
    "Observation",
    "Outcome",
    "PowerDecision",
    "Recorder",
    "Run",
    "Snapshot",
    "Stage",
    "State",
    "Why",
    "Workdir",
]


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

    def stop(self, *, now: bool = False) -> None:
        """Ask the host to end the job: TERM, grace, KILL; `look` tells when it has ended.

        Args:
            now: KILL at once.
        """
        ...

    def extend(self, seconds: float) -> float | None:
        """Let the job run so much longer; return how long it may now, None without an end.

        Raises:
            StageError: it does not run.
        """
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
