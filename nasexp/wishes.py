"""Meets what people ask of a run while it is driven: stop it, extend it, close it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from nasexp.config.units import clock
from nasexp.errors import NasexpError, RunClosed
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
                close(self.run, request)
            if reachable:
                self._meet(request)

    def _meet(self, request: Request) -> None:
        try:
            if request.wish == STOP:
                self._stop(request)
            elif request.wish == EXTEND:
                self._extend(request)
        except NasexpError as error:
            if error.exit_code and _is_refusal(error):
                self.run.monitor.note(f"{request.by} asked to {request.wish}: {error.message}")
            else:
                raise
        self.run.journal.write("request.met", id=request.id, wish=request.wish, by=request.by)
        withdraw(self.run.paths, request)

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
    """Sleep, but not beyond the moment in which a person closes the run. Raises RunClosed."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for request in read_requests(run.paths):
            if request.wish == CLOSE:
                close(run, request)
        time.sleep(min(left, WATCH_SECONDS))


def close(run: Run, request: Request) -> None:
    """Write down that a person has ended the run, and when. Raises RunClosed, always."""
    why = str(request.facts.get("why", ""))
    run.journal.write("run.closed", by=request.by, why=why, end=request.facts.get("end"))
    if not run.journal.last("training.ended"):
        _write_ending(run, request, why)
    withdraw(run.paths, request)
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
    return max(0.0, (end - datetime.fromisoformat(started["at"])).total_seconds())


def _is_refusal(error: NasexpError) -> bool:
    """Whether the host answered that it cannot be done, which no trying again will change."""
    from nasexp.errors import ConnectionLost, Superseded  # noqa: PLC0415 - one place

    return not isinstance(error, ConnectionLost | Superseded)
