"""Every error that a user can meet, each with its exit code and one meaning.

NasexpError                1  something of ours failed; the message says what
├── UsageError             2  the command line or a name in it is wrong
├── ConfigError            2  one or more problems in the configuration files
├── PluginError            3  a plugin could not be loaded or broke its contract
├── StageError             1  a stage of the pipeline failed
│   ├── TrainingFailed     6  the training itself failed or timed out
│   └── RunClosed          1  a person ended the run, as its host never came back
├── ConnectionLost         1  there is no link to the host; says nothing about the job
│   ├── HostUnreachable    1  the host cannot be reached now; it may be booting
│   ├── HostKeyRefused     1  the host's key is not trusted, or not the one that was
│   └── LoginRefused       1  the host does not let this account in
├── Superseded             1  another driver has taken the run over; this one changes nothing more
└── Interrupted          130  a person stopped the run

Where several hold for one run: 5 > 130 > 3 > 1 > 6 > 4 (see `ExitCode.worst`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ExitCode(IntEnum):
    """What the exit code of a command says."""

    OK = 0
    STAGE = 1
    USAGE = 2
    PLUGIN = 3
    WARNINGS = 4
    POWER = 5
    TRAINING = 6
    NO = 7
    INTERRUPTED = 130

    @classmethod
    def worst(cls, codes: Iterable[ExitCode]) -> ExitCode:
        """Return the code that is told when several hold; OK when there is none."""
        order = [cls.POWER, cls.INTERRUPTED, cls.USAGE, cls.PLUGIN, cls.STAGE, cls.TRAINING]
        found = set(codes)
        return next((code for code in [*order, cls.WARNINGS, cls.NO] if code in found), cls.OK)


EXIT_CODE_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.STAGE: "a stage failed",
    ExitCode.USAGE: "the command line or the configuration is wrong (what Invoke's own parser "
    "refuses is 1 under `invoke`)",
    ExitCode.PLUGIN: "a plugin could not be loaded, or broke its contract",
    ExitCode.WARNINGS: "done with warnings",
    ExitCode.POWER: "the power-off could not be armed or confirmed: a machine may still be on",
    ExitCode.TRAINING: "the training itself failed or timed out",
    ExitCode.NO: "the answer is no (a check found a fault, a comparison a difference)",
    ExitCode.INTERRUPTED: "interrupted",
}


class NasexpError(Exception):
    """An expected failure: told in one line, without a traceback.

    Args:
        message: what went wrong, in one sentence, with the value that was found.
        hint: the next action for the user, in one line; empty when there is none.
        log: where more can be read (a path shown to the user); empty when nowhere.
    """

    exit_code = ExitCode.STAGE

    def __init__(self, message: str, *, hint: str = "", log: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log


class UsageError(NasexpError):
    """The command line, or a name in it, is wrong."""

    exit_code = ExitCode.USAGE


class ConfigError(NasexpError):
    """One or more problems in the configuration; the message holds a line for each."""

    exit_code = ExitCode.USAGE


class PluginError(NasexpError):
    """A plugin could not be loaded, or broke the contract of a hook."""

    exit_code = ExitCode.PLUGIN


class StageError(NasexpError):
    """A stage of the pipeline failed."""


class TrainingFailed(StageError):  # noqa: N818 - it is the training that failed, not we
    """The training itself failed, or ran into its timeout."""

    exit_code = ExitCode.TRAINING


class RunClosed(StageError):  # noqa: N818 - as above
    """A person ended the run, as its host never came back."""


class ConnectionLost(NasexpError):  # noqa: N818 - the name says what happened
    """There is no link to the host. Says nothing about whether the job still runs."""


class HostUnreachable(ConnectionLost):
    """The host cannot be reached now; it may be booting, or its name be wrong."""


class HostKeyRefused(ConnectionLost):
    """The host's key is not trusted, or it is not the key that was trusted."""


class LoginRefused(ConnectionLost):
    """The host does not let this account in.

    Args:
        message: as for every error.
        hint: likewise.
        log: likewise.
        asks: whether a password or a passphrase, which nobody was there to give, could help.
    """

    def __init__(self, message: str, *, hint: str = "", log: str = "", asks: bool = False) -> None:
        super().__init__(message, hint=hint, log=log)
        self.asks = asks


class Superseded(NasexpError):  # noqa: N818 - as above
    """Another driver has taken the run over; this one must change nothing more."""


class Interrupted(NasexpError):  # noqa: N818 - as above
    """A person stopped the run."""

    exit_code = ExitCode.INTERRUPTED
