"""What is known of a run's result while it goes on, and the record that it becomes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from nasexp.errors import ExitCode, Interrupted, NasexpError, StageError, Superseded
from nasexp.runs.record import FAILED, OK, RUNNING, STOPPED, Record, write_record
from nasexp.values import Ending, Why

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nasexp.values import PowerDecision, Run


@dataclass
class Verdict:
    """Collects how a run goes; the first error is its error."""

    run: Run
    ending: Ending | None = None
    power: PowerDecision | None = None
    errors: list[NasexpError] = field(default_factory=list)
    bug: BaseException | None = None
    columns: dict[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def of_errors(self) -> Iterator[None]:
        """Take what goes wrong in the block as an error of the run, and go on behind it."""
        try:
            yield
        except KeyboardInterrupt:
            self.errors.append(Interrupted("interrupted"))
        except NasexpError as error:
            if self.errors and not self.superseded:
                self.run.monitor.warn(error.message)
            self.errors.append(error)
        except OSError as error:
            self.errors.append(StageError(f"{error.filename or 'the system'}: {error.strerror}"))
        except Exception as bug:  # noqa: BLE001 - shutdown comes first, then the traceback
            self.errors.append(NasexpError(f"a fault in nasexp: {one_line(bug)}"))
            self.bug = self.bug or bug

    @contextlib.contextmanager
    def of_warnings(self) -> Iterator[None]:
        """Take what goes wrong in the block as a warning."""
        with self.of_errors():
            try:
                yield
            except NasexpError as error:
                self.run.monitor.warn(error.message)

    @contextlib.contextmanager
    def of_power(self) -> Iterator[None]:
        """Take what goes wrong in the block as a doubt about the host's power."""
        with self.of_errors():
            try:
                yield
            except NasexpError as error:
                error.exit_code = ExitCode.POWER
                raise

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command that drove this run."""
        codes = [error.exit_code for error in self.errors]
        if self.stopped:
            codes.append(ExitCode.INTERRUPTED)
        if self.power and not self.power.confirmed:
            codes.append(ExitCode.POWER)
        if self.run.monitor.warnings:
            codes.append(ExitCode.WARNINGS)
        return ExitCode.worst(codes)

    @property
    def superseded(self) -> bool:
        """Whether another driver has the run by now: whatever is written is that one's to write."""
        return any(isinstance(error, Superseded) for error in self.errors)

    @property
    def stopped(self) -> bool:
        """Whether a person ended it."""
        interrupted = any(isinstance(error, Interrupted) for error in self.errors)
        return interrupted or bool(self.ending and self.ending.why is Why.STOPPED)

    @property
    def status(self) -> str:
        """`ok`, `failed` or `stopped`."""
        if self.stopped:
            return STOPPED
        return FAILED if self.errors else OK

    def recall(self) -> bool:
        """Take the end from the journal, where the run has one; run.info may have been lost."""
        facts = self.run.journal.last("run.finished")
        if facts is None:
            return False
        self.ending, self.columns = recorded_ending(self.run), facts["columns"]
        if facts.get("message"):
            error = NasexpError(facts["message"], hint=facts["hint"], log=facts["log"])
            error.exit_code = ExitCode(facts["code"])
            self.errors.append(error)
        write_record(self.run.paths, replace(self.record(), status=facts["status"]))
        return True

    def settle(self) -> Record:
        """Journal the end, write run.info and return the record; the run has its one end now."""
        record = self.record()
        power = self.power.reason if self.power else ""
        facts: dict[str, Any] = {"status": record.status, "error": record.error}
        facts |= {"columns": record.columns, "code": int(self.exit_code)}
        if self.errors:
            first = self.errors[0]
            facts |= {"message": first.message, "hint": first.hint, "log": first.log}
        with self.of_errors():
            self.run.journal.write("run.finished", **facts, power=power)
        if not self.superseded:
            with self.of_errors():
                write_record(self.run.paths, record)
        return record

    def record(self) -> Record:
        """Return the facts as they stand."""
        return record_of(
            self.run,
            status=self.status,
            ending=str(self.ending) if self.ending else "",
            exit_code=self.ending.exit_code if self.ending else None,
            seconds=self.ending.seconds if self.ending else None,
            error=one_line(self.errors[0]) if self.errors else "",
            columns=self.columns,
        )


def recorded_ending(run: Run) -> Ending | None:
    """Return how the training ended, as the journal has it; None where it does not."""
    facts = run.journal.last("training.ended")
    if facts is None:
        return None
    return Ending(
        Why(facts["why"]),
        facts["exit_code"],
        facts["seconds"],
        facts.get("latest_seconds"),
        facts.get("cause", ""),
        tuple(facts.get("survivors", ())),
    )


def record_of(
    run: Run,
    *,
    status: str = RUNNING,
    ending: str = "",
    exit_code: int | None = None,
    seconds: float | None = None,
    error: str = "",
    columns: dict[str, str] | None = None,
) -> Record:
    """Return the record of a run; its start is the one that the journal holds."""
    start = run.journal.last("training.started")
    started = datetime.fromisoformat(start["at"]) if start else None
    ended = started + timedelta(seconds=seconds) if started and seconds is not None else None
    core = run.settings.core
    return Record(
        address=run.address,
        id=run.id,
        project=run.project.name,
        client=core.client,
        host=run.settings.host.name,
        status=status,
        ending=ending,
        exit_code=exit_code,
        started=started,
        ended=ended,
        rate=str(core.rate) if core.rate else "",
        error=error,
        warnings=len(run.monitor.warnings),
        seconds=seconds,
        columns=columns or {},
    )


def one_line(error: BaseException) -> str:
    """Return an error as one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, NasexpError):
        return error.message.split("\n", 1)[0]
    return f"{type(error).__name__}: {error}".split("\n", 1)[0]
