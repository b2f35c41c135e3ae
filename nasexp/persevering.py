"""Stages outlive a lost link: each is asked again and adopts what it finds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from nasexp.connections.bulk.redial import HOPELESS, Clock, Redial
from nasexp.runs.wishes import sleep_watching
from nasexp.stages.connect import ConnectSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from nasexp.values import Run

T = TypeVar("T")

REFUSED_PAUSE_SECONDS = 60.0


def while_patient(run: Run, ask: Callable[[], T]) -> T:
    """Ask a stage until the link holds, as long as one waits for a host that boots.

    Raises:
        ConnectionLost: it did not; where nothing has started yet, giving up loses nothing.
    """
    patience = run.settings.section("connect", ConnectSettings).patience.seconds
    clock = Clock(sleep=lambda seconds: sleep_watching(run, seconds))
    return Redial(run.monitor.note, patience, clock).keep_trying(ask)


def for_ever(run: Run, ask: Callable[[], T]) -> T:
    """Ask a stage until the link holds, for ever: there are results on the host.

    A refused login or key is told loudly; a person has to mend that, and can.

    Raises:
        RunClosed: a person has ended the run meanwhile.
    """
    clock = Clock(sleep=lambda seconds: sleep_watching(run, seconds))
    redial, told = Redial(run.monitor.note, math.inf, clock), False
    while True:
        try:
            return redial.keep_trying(ask)
        except HOPELESS as error:
            if not told:
                run.monitor.warn(f"{error.message}; still trying")
            told = True
            sleep_watching(run, REFUSED_PAUSE_SECONDS)
