"""Meets what people ask of a run while it is driven: stop it, extend it, close it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from nasexp.config.units import LONGEST_SECONDS, clock
from nasexp.errors import (
    ConnectionLost,
    Interrupted,
    NasexpError,
    RunClosed,
    StageError,
    Superseded,
)
from nasexp.runs.requests import CLOSE, EXTEND, STOP, Request, read_requests, withdraw
from nasexp.values import Ending, Why

if TYPE_CHECKING:
    from nasexp.values import Job, Run

WATCH_SECONDS = 0.5


@dataclass
class Wishes:
    """The open requests of one run, met in the order in which they were made.

    Args:
        run: whose requests.
        job: its training.
    """

    run: Run
    job: Job

    def meet(self, *, reachable: bool) -> None:
        """Meet what can be met now; what needs the host waits until it answers.

        Raises:
            RunClosed: a person has ended the run.
            ConnectionLost: the link broke meanwhile; the request stays.
        """
        for request in read_requests(self.run.paths):
            if request.wish == CLOSE:
                _close_or_refuse(self.run, request, reachable=reachable)
            elif reachable:
                self._meet(request)

    def _meet(self, request: Request) -> None:
        try:
            if fault := _nonsense(request):
                raise StageError(fault)
            if request.wish == STOP:
                self._stop(request)
            elif request.wish == EXTEND:
                self._extend(request)
        except (ConnectionLost, Superseded):
            raise
        except NasexpError as error:
            _refuse(self.run, request, error.message)
        else:
            _note_met(self.run, request)

    def _stop(self, request: Request) -> None:
        now = request.facts.get("now") is True
        self.run.monitor.note(f"{request.by} stops the training; what it has written comes home")
        self.run.journal.write("stop.asked", by=request.by, now=now)
        self.job.stop(now=now)

    def _extend(self, request: Request) -> None:
        seconds = float(request.facts.get("seconds", 0))
        left = self.job.extend(seconds)
        told = "has no timeout" if left is None else f"may go on for {clock(left)} from now"
        self.run.journal.write("timeout.extended", by=request.by, seconds=seconds, left=left)
        self.run.monitor.note(f"{request.by} extended the timeout: the training {told}")


def sleep_watching(run: Run, seconds: float) -> None:
    """Sleep, but not beyond the moment in which a person wants the run to end; see `heed`."""
    end = time.monotonic() + seconds
    heed(run)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, WATCH_SECONDS))
        heed(run)


def may_have_started(run: Run) -> bool:
    """Whether the training may have started, for all that is known here; its host knows."""
    return run.journal.last("training.intent") is not None


def heed(run: Run) -> None:
    """Look for requests where no host can be asked.

    Raises:
        RunClosed: a person has ended the run.
        Interrupted: a person stopped it before its training was started.
    """
    for request in read_requests(run.paths):
        if request.wish == CLOSE:
            _close_or_refuse(run, request, reachable=False)
        elif not may_have_started(run):
            _meet_early(run, request)


def _meet_early(run: Run, request: Request) -> None:
    if request.wish == STOP:
        run.journal.write("stop.asked", by=request.by, now=bool(request.facts.get("now")))
        _note_met(run, request)
        raise Interrupted(f"stopped by {request.by} before the training was started")
    _refuse(run, request, "the training has not started yet")


def _nonsense(request: Request) -> str:
    """Say what is wrong with a request that no command of ours has made; empty if nothing is."""
    try:
        if request.wish == EXTEND and not 0 < float(request.facts["seconds"]) <= LONGEST_SECONDS:
            return "that is no time to extend it by"
        if request.wish == CLOSE:
            datetime.fromisoformat(str(request.facts["end"])).astimezone()
    except (KeyError, TypeError, ValueError, OverflowError):
        return "the request makes no sense"
    return "" if request.wish in (STOP, EXTEND, CLOSE) else "nobody knows that wish"


def _note_met(run: Run, request: Request) -> None:
    run.journal.write("request.met", id=request.id, wish=request.wish, by=request.by)
    withdraw(run.paths, request)


def _refuse(run: Run, request: Request, why: str) -> None:
    run.monitor.note(f"{request.by} asked to {request.wish} it: {why}")
    run.journal.write("request.refused", id=request.id, wish=request.wish, by=request.by, why=why)
    withdraw(run.paths, request)


def _close_or_refuse(run: Run, request: Request, *, reachable: bool) -> None:
    """Close the run, which raises RunClosed, or say why that would not be true."""
    if fault := _nonsense(request):
        _refuse(run, request, fault)
    elif reachable:
        _refuse(run, request, "its host answers, so only the host can say how it ended; stop it")
    elif _seconds(run, request) < 0:
        _refuse(run, request, "it would have ended before it started")
    else:
        close(run, request)


def close(run: Run, request: Request) -> None:
    """Write down that a person has ended the run, and when. Raises RunClosed, always."""
    why = str(request.facts.get("why", ""))
    run.journal.write("run.closed", by=request.by, why=why, end=request.facts.get("end"))
    if not run.journal.last("training.ended"):
        _write_ending(run, request, why)
    _note_met(run, request)
    raise RunClosed(
        f"closed by {request.by}: {why}",
        hint="what its host has was not brought home; it still lies there, if it lies anywhere",
    )


def _write_ending(run: Run, request: Request, why: str) -> None:
    ending = Ending(Why.LOST, None, _seconds(run, request), cause=f"{request.by}: {why}")
    run.journal.write(
        "training.ended",
        why=ending.why.value,
        told=str(ending),
        exit_code=None,
        seconds=ending.seconds,
        cause=ending.cause,
        log_complete=False,
    )


def _seconds(run: Run, request: Request) -> float:
    """Return how long it ran by that person's word; nothing where its start is not known."""
    started = run.journal.last("training.started")
    if started is None:
        return 0.0
    end = datetime.fromisoformat(str(request.facts["end"]))
    return (end - datetime.fromisoformat(started["at"])).total_seconds()
