"""The pipeline: seven stages in order, what happens when one fails, and the one end of a run.

    connect → archive → transfer → train ⟲ backup → collect → shutdown

connect, archive or transfer fail: shutdown. The training fails or times out: the last backup and
collect still happen, logs and checkpoints are worth most then; then shutdown. The first error is
the run's error, later ones are notes.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from nasexp.errors import NasexpError, StageError, Superseded, TrainingFailed
from nasexp.following import Follower
from nasexp.launchers.recorded import RecordedJob
from nasexp.persevering import for_ever, while_patient
from nasexp.runs.record import write_record
from nasexp.runs.wishes import heed, may_have_started
from nasexp.values import Ending, Outcome, Stage
from nasexp.verdict import Verdict, one_line, record_of, recorded_ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nasexp.connections.protocol import Connection
    from nasexp.dispatch import Hooks
    from nasexp.stopping import StopSwitch
    from nasexp.values import Collected, Job, Run, Workdir

    Step = Callable[[Stage], contextlib.AbstractContextManager[None]]


def drive(run: Run, hooks: Hooks, stop: StopSwitch) -> Verdict:
    """Take a run through its stages to its one end; shutdown is always called."""
    verdict = Verdict(run)
    connection: Connection | None = None
    job: Job | None = None

    def step(stage: Stage) -> contextlib.AbstractContextManager[None]:
        return _step(run, hooks, stage)

    if verdict.recall():
        return verdict
    write_record(run.paths, record_of(run))
    with verdict.of_errors():
        with step(Stage.CONNECT):
            connection = link = _connect(run, hooks)
        with step(Stage.ARCHIVE):
            archive = hooks.archive(run)
        heed(run)
        with step(Stage.TRANSFER):
            workdir = while_patient(run, lambda: hooks.transfer(run, link, archive))
        with step(Stage.TRAIN):
            job, verdict.ending = _train(run, hooks, link, workdir, step, stop)
            _refuse_failure(run, verdict.ending)
    closed = run.journal.last("run.closed") is not None
    if closed:
        verdict.ending = recorded_ending(run)
    if job and verdict.ending and not closed:
        with verdict.of_warnings(), step(Stage.BACKUP):
            for_ever(run, lambda: hooks.backup(run, link, job))
        with verdict.of_errors(), step(Stage.COLLECT):
            collected = for_ever(run, lambda: hooks.collect(run, link, job))
            _fill_columns(run, hooks, verdict, collected)
    if verdict.superseded:
        return _leave(connection, verdict)
    with verdict.of_power(), step(Stage.SHUTDOWN):
        there = None if closed else connection
        verdict.power = while_patient(run, lambda: hooks.shutdown(run, there))
    if connection:
        with verdict.of_errors():
            connection.close()
    hooks.run_finished(run, verdict.settle())
    return verdict


def _leave(connection: Connection | None, verdict: Verdict) -> Verdict:
    """Go without a word: another driver has this run, and everything of it."""
    if connection:
        with verdict.of_errors():
            connection.close()
    return verdict


def _connect(run: Run, hooks: Hooks) -> Connection:
    """Connect; once the training may run, only its host can tell how it goes, and is waited for."""
    if may_have_started(run):
        return for_ever(run, lambda: hooks.connect(run))
    return hooks.connect(run)


def _train(
    run: Run, hooks: Hooks, link: Connection, workdir: Workdir, step: Step, stop: StopSwitch
) -> tuple[Job, Ending]:
    """Start the training, or find it again, and follow it to its end; once that is known, tell it.

    The intent is journalled first: whoever drives this run on asks the host, and starts nothing
    that was started.
    """
    if ending := recorded_ending(run):
        return RecordedJob(workdir, ending), ending
    persist = for_ever if may_have_started(run) else while_patient
    environment = persist(run, lambda: hooks.environment(run, link, workdir))
    run.journal.write("environment.ready", name=environment.name)
    heed(run)
    run.journal.write("training.intent")
    with stop.armed():
        job = for_ever(run, lambda: hooks.train(run, link, workdir, environment))
        return job, Follower(run, hooks, link, job, step, stop).follow()


@contextlib.contextmanager
def _step(run: Run, hooks: Hooks, stage: Stage) -> Iterator[None]:
    """Journal and tell a stage: the intent before, the outcome behind it."""
    began = time.monotonic()
    _journal(run, stage, "stage.started")
    hooks.stage_started(run, stage)
    error = ""
    try:
        yield
    except BaseException as failure:
        error = one_line(failure)
        raise
    finally:
        outcome = Outcome(time.monotonic() - began, error)
        hooks.stage_finished(run, stage, outcome)
        with contextlib.suppress(Superseded):  # that is what ended the stage, or ends the next
            _journal(run, stage, "stage.finished", seconds=round(outcome.seconds, 3), error=error)


def _journal(run: Run, stage: Stage, event: str, **facts: object) -> None:
    """Write a stage's event. A full disk stops the stages that need it, but never the last one."""
    with contextlib.suppress(*[NasexpError] if stage is Stage.SHUTDOWN else []):
        run.journal.write(event, stage=stage.value, **facts)


def _refuse_failure(run: Run, ending: Ending) -> None:
    log = run.workspace.shown(run.paths.log)
    if not ending.ok:
        raise TrainingFailed(f"the training {_told(ending)}", log=log)
    if not (run.journal.last("training.ended") or {}).get("log_complete"):
        raise StageError(
            "log.log is not all that the training printed: see the warnings",
            hint="the whole console lies with the run on the host",
            log=log,
        )


def _told(ending: Ending) -> str:
    text = str(ending)
    return f"ended with {text}" if text.startswith("exit code") else _verb(text)


def _verb(text: str) -> str:
    return f"was {text}" if text.startswith(("killed", "stopped")) else text


def _fill_columns(run: Run, hooks: Hooks, verdict: Verdict, collected: Collected) -> None:
    for answer in hooks.run_columns(run, collected):
        if answer.error:
            run.monitor.warn(answer.error.message)
        else:
            verdict.columns |= {
                str(name): str(value) for name, value in (answer.value or {}).items()
            }
