"""The commands that act on a live run: `stop`, `extend`, `close-run`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.errors import ExitCode, StageError, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from nasexp.runs.journal import Event
    from nasexp.runs.paths import RunPaths
    from nasexp.runs.requests import Request

ANSWER_SECONDS, LOOK_SECONDS = 10.0, 0.05
_DONE = {
    "stop": "it is being stopped; what its training has written comes home",
    "extend": "its timeout was moved, where it has one",
    "close": "it is closed",
}
RUN_HELP = "the run: PROJECT/run_3, run_3 or latest"


@command
def stop(
    context: CommandContext,
    run: Annotated[str, Arg(RUN_HELP, positional=True)],
    now: Annotated[bool, Arg("kill the training at once, without time to end by itself")] = False,
) -> ExitCode:
    """Stop the training of a run; the last backup and collect still happen.

    It gets TERM, then so long as `train.grace` says, then KILL.
    """
    from nasexp.runs.requests import STOP  # noqa: PLC0415 - `--list` needs none of it

    paths = _live(context, run)
    _ask(context, paths, STOP, now=now)
    return ExitCode.OK


@command
def extend(
    context: CommandContext,
    run: Annotated[str, Arg(RUN_HELP, positional=True)],
    by: Annotated[str, Arg("by how long, as 2h", positional=True)],
) -> ExitCode:
    """Give a running training more time than its timeout left it."""
    from nasexp.config.units import FiniteDuration  # noqa: PLC0415 - as above
    from nasexp.runs.requests import EXTEND  # noqa: PLC0415

    try:
        seconds = FiniteDuration.parse(by).seconds
    except ValueError as error:
        raise UsageError(f"{by!r} is not {error}") from error
    _ask(context, _live(context, run), EXTEND, seconds=seconds)
    return ExitCode.OK


@command
def close_run(
    context: CommandContext,
    run: Annotated[str, Arg(RUN_HELP, positional=True)],
    end: Annotated[str, Arg("when the training ended, as 2026-11-24T18:30")],
    why: Annotated[str, Arg("what a person knows of it; kept with the run")],
) -> ExitCode:
    """End a run whose host never comes back; that is a person's word, and told as such."""
    from nasexp.runs.requests import CLOSE  # noqa: PLC0415 - as above

    paths = _live(context, run)
    moment = _moment(context, end)
    _ask(context, paths, CLOSE, end=moment.isoformat(), why=" ".join(why.split()))
    return ExitCode.OK


def _live(context: CommandContext, run: str) -> RunPaths:
    """Return a run that has not ended. Raises UsageError for one that has."""
    from nasexp.cli.looking import find  # noqa: PLC0415 - as above
    from nasexp.runs.paths import RunPaths, address_of  # noqa: PLC0415
    from nasexp.runs.record import RUNNING, read_record  # noqa: PLC0415

    paths = RunPaths(find(context, run))
    status = read_record(paths.folder).status
    if status not in (RUNNING, ""):
        raise UsageError(f"{address_of(paths.folder)} has ended already: {status}")
    return paths


def _ask(context: CommandContext, paths: RunPaths, wish: str, **facts: object) -> None:
    """Ask the driver, and tell what it makes of that; where there is none, make one.

    Raises:
        StageError: it refuses, and says why.
    """
    from nasexp.cli.resuming import resume_alone  # noqa: PLC0415 - as above
    from nasexp.runs.locking import has_driver  # noqa: PLC0415
    from nasexp.runs.paths import address_of  # noqa: PLC0415
    from nasexp.runs.requests import ask_driver  # noqa: PLC0415

    address = address_of(paths.folder)
    request = ask_driver(paths, wish, **facts)
    if not has_driver(paths):
        resume_alone(context, paths)
        context.print(f"{address} had no driver: it has one now")
    answer = _await_answer(paths, request)
    if answer is None:
        context.print(f"{address}: its driver cannot {wish} it yet, and will when its host answers")
    elif answer.name == "request.refused":
        raise StageError(f"{address}: {answer.facts['why']}")
    else:
        context.print(f"{address}: {_DONE[wish]}")


def _await_answer(paths: RunPaths, request: Request) -> Event | None:
    """Wait a moment for what the driver says; None when it has said nothing yet."""
    from nasexp.runs.tailing import JournalTail  # noqa: PLC0415 - as above

    tail, deadline = JournalTail(paths.journal), time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        for event in tail.read():
            if event.facts.get("id") == request.id and event.name.startswith("request."):
                return event
        time.sleep(LOOK_SECONDS)
    return None


def _moment(context: CommandContext, text: str) -> datetime:
    """Return a moment as it was written, in the workspace's zone where it names none."""
    from datetime import UTC, datetime  # noqa: PLC0415 - as above

    from nasexp.config.zone import workspace_zone  # noqa: PLC0415

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no moment", hint="write 2026-11-24T18:30") from error
    if moment.tzinfo is None:
        zone = workspace_zone(context.workspace)
        moment = moment.replace(tzinfo=zone) if zone else moment.astimezone()
    if moment > datetime.now(UTC):
        raise UsageError(f"{text} is still to come: a training cannot have ended then")
    return moment.astimezone(UTC)
