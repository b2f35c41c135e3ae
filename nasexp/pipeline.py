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

from nasexp.errors import TrainingFailed
from nasexp.following import Follower
from nasexp.runs.record import write_record
from nasexp.values import Ending, Outcome, Stage
from nasexp.verdict import Verdict, one_line, record_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nasexp.connections.protocol import Connection
    from nasexp.dispatch import Hooks
    from nasexp.stopping import StopSwitch
    from nasexp.values import Collected, Job, Run


def drive(run: Run, hooks: Hooks, stop: StopSwitch) -> Verdict:
    """Take a run through its stages to its one end; shutdown is always called."""
    verdict = Verdict(run)
    connection: Connection | None = None
    job: Job | None = None

    def step(stage: Stage) -> contextlib.AbstractContextManager[None]:
        return _step(run, hooks, stage)

    write_record(run.paths, record_of(run))
    with verdict.of_errors():
        with step(Stage.CONNECT):
            connection = hooks.connect(run)
        with step(Stage.ARCHIVE):
            archive = hooks.archive(run)
        with step(Stage.TRANSFER):
            workdir = hooks.transfer(run, connection, archive)
        with step(Stage.TRAIN):
            environment = hooks.environment(run, connection, workdir)
            run.journal.write("environment.ready", name=environment.name)
            with stop.armed():
                job = hooks.train(run, connection, workdir, environment)
                verdict.ending = Follower(run, hooks, connection, job, step, stop).follow()
            _refuse_failure(run, verdict.ending)
    if connection and job:
        with verdict.of_warnings(), step(Stage.BACKUP):
            hooks.backup(run, connection, job)
        with verdict.of_errors(), step(Stage.COLLECT):
            _fill_columns(run, hooks, verdict, hooks.collect(run, connection, job))
    with verdict.of_power(), step(Stage.SHUTDOWN):
        verdict.power = hooks.shutdown(run, connection)
    if connection:
        connection.close()
    hooks.run_finished(run, verdict.settle())
    return verdict


@contextlib.contextmanager
def _step(run: Run, hooks: Hooks, stage: Stage) -> Iterator[None]:
    """Journal and tell a stage: the intent before, the outcome behind it."""
    began = time.monotonic()
    run.journal.write("stage.started", stage=stage.value)
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
        seconds = round(outcome.seconds, 3)
        run.journal.write("stage.finished", stage=stage.value, seconds=seconds, error=error)


def _refuse_failure(run: Run, ending: Ending) -> None:
    if not ending.ok:
        raise TrainingFailed(f"the training {_told(ending)}", log=str(run.paths.log))


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
