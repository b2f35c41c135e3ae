"""Reads from the run folders who pays for how much time; what cannot be billed is named.

A run is billed when it has a start and an end: its training time, at the rate that its own
record holds. The folders of the old scripts hold no client and no rate; what the project's
settings say now stands for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from nasexp.billing.faults import count_starts, fault_of, plausible
from nasexp.billing.months import month_of
from nasexp.config.units import Rate
from nasexp.config.zone import shown_time
from nasexp.runs.paths import RunPaths, run_folders
from nasexp.runs.record import RUNNING, read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, tzinfo
    from pathlib import Path

    from nasexp.config.workspace import Project
    from nasexp.runs.record import Record

INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Terms:
    """Who pays for a project and how much, as its settings say now.

    Attributes:
        client: empty when none is set.
        rate: as in `rate:`; empty when none is set.
        problem: why the settings cannot be read; empty when they can.
    """

    client: str = ""
    rate: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """The billable time of one run; `borrowed` when present settings had to stand in."""

    run: str
    client: str
    project: str
    month: str
    seconds: Decimal
    rate: Rate | None
    borrowed: bool = False


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that has not ended; its month is empty before its training starts."""

    run: str
    client: str
    project: str
    month: str
    status: str
    started: datetime | None


@dataclass(frozen=True, slots=True)
class Note:
    """What a person should know; None where it concerns every client, or every month."""

    text: str
    client: str | None = None
    month: str | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """All that the run folders tell about time and money."""

    lines: tuple[Line, ...] = ()
    open_runs: tuple[OpenRun, ...] = ()
    notes: tuple[Note, ...] = ()


def read_books(
    projects: Iterable[Project], zone: tzinfo | None, terms_of: Callable[[Project], Terms]
) -> Books:
    """Read every run of some projects.

    Args:
        projects: whose runs to read.
        zone: the zone that months are counted in; None for this machine's.
        terms_of: asked at most once for a project, and only where an old result needs it.
    """
    reader = _Reader(zone, terms_of)
    for project in projects:
        for _, folder in run_folders(project):
            reader.read(project, folder)
    return Books(tuple(reader.lines), tuple(reader.open_runs), tuple(reader.notes))


class _Reader:
    """Reads run by run; knows which run it has met already."""

    def __init__(self, zone: tzinfo | None, terms_of: Callable[[Project], Terms]) -> None:
        self.lines: list[Line] = []
        self.open_runs: list[OpenRun] = []
        self.notes: list[Note] = []
        self._zone = zone
        self._terms_of = terms_of
        self._terms: dict[str, Terms] = {}
        self._run_by_id: dict[str, str] = {}

    def read(self, project: Project, folder: Path) -> None:
        record = read_record(folder)
        if record.status == RUNNING and record.ended is None:
            self._take_open(folder, record)
            return
        fault = fault_of(record, folder)
        if record.started is None and not fault:
            return  # it never came to its training: it costs nothing
        known = record if record.id else self._with_terms(project, record)
        if fault := fault or self._copied(record):
            self._note(known, f"{fault}; it is not billed")
            return
        if not record.id and (starts := count_starts(folder)) > 1:
            self._note(known, f"its run.info holds {starts} starts; the last is billed")
        self._take(known, borrowed=known != record)

    def _take(self, record: Record, *, borrowed: bool) -> None:
        line = Line(
            run=record.address,
            client=record.client,
            project=record.project,
            month=self._month(record) or "",
            seconds=Decimal(f"{record.elapsed_seconds():.3f}"),
            rate=self._rate(record),
            borrowed=borrowed,
        )
        self.lines.append(line)

    def _take_open(self, folder: Path, record: Record) -> None:
        from nasexp.runs.locking import has_driver  # noqa: PLC0415 - only live runs need it

        driven = has_driver(RunPaths(folder))
        found = OpenRun(
            run=record.address,
            client=record.client,
            project=record.project,
            month=self._month(record) or "",
            status=RUNNING if driven else INTERRUPTED,
            started=record.started,
        )
        self.open_runs.append(found)
        note = f"{found.run} {self._state(found)}; it is not billed yet"
        self.notes.append(Note(note, found.client, found.month))

    def _state(self, run: OpenRun) -> str:
        state = "still runs" if run.status == RUNNING else "has no driver and no end"
        if run.started is None:
            return f"{state}, no start of its training is known"
        shown = shown_time(run.started, self._zone) if run.month else "?"
        return f"{state}, its training started {shown}"

    def _copied(self, record: Record) -> str:
        first = self._run_by_id.setdefault(record.id or record.address, record.address)
        return "" if first == record.address else f"it is a copy of {first}"

    def _with_terms(self, project: Project, record: Record) -> Record:
        if project.name not in self._terms:
            self._terms[project.name] = self._terms_of(project)
            if problem := self._terms[project.name].problem:
                text = f"{project.name}: no client and no rate for its old results: {problem}"
                self.notes.append(Note(text))
        terms = self._terms[project.name]
        return replace(record, client=record.client or terms.client, rate=record.rate or terms.rate)

    def _rate(self, record: Record) -> Rate | None:
        try:
            return Rate.parse(record.rate) if record.rate else None
        except ValueError:
            self._note(record, f"its rate {record.rate!r} cannot be read")
            return None

    def _note(self, record: Record, text: str) -> None:
        # A run that cannot be placed is told in every month, and for every client.
        month, client = self._month(record), record.client or None
        self.notes.append(Note(f"{record.address}: {text}", client, month))

    def _month(self, record: Record) -> str | None:
        started = record.started
        return month_of(started, self._zone) if started and plausible(started) else None
