"""Sums the billable time by client, project, month and currency.

How it is rounded: the price of a row is the exact sum of its runs' seconds times rate, rounded
once, half up, to two decimals; so are its hours. A total is the sum of the rows as they are
shown. Two currencies never add up, and time without a rate has no price: each has rows and a
total of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nasexp.billing.lines import Books, Line, Note, OpenRun

CENT = Decimal("0.01")
NAMED_RUNS = 5


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for; an empty text selects all."""

    project: str = ""
    client: str = ""
    month: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """The runs of one client, project, month and currency; no currency: they have no rate."""

    client: str
    project: str
    month: str
    currency: str
    rate: str
    runs: int
    seconds: Decimal
    hours: Decimal
    amount: Decimal | None

    @property
    def unpriced_runs(self) -> int:
        """How many of the runs have no rate."""
        return self.runs if self.amount is None else 0


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of the rows of one currency, or of those without a rate."""

    currency: str
    runs: int
    hours: Decimal
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Report:
    """What is billed; `empty` says in a sentence that nothing is, and why."""

    rows: tuple[Row, ...]
    totals: tuple[Total, ...]
    open_runs: tuple[OpenRun, ...]
    notes: tuple[str, ...]
    empty: str = ""


def summarise(books: Books, selection: Selection) -> Report:
    """Return what is billed of the selected runs."""
    lines = [line for line in books.lines if _selected(line, selection)]
    rows = tuple(_row(group) for _, group in sorted(_groups(lines).items()))
    notes = [note.text for note in books.notes if _selected(note, selection)]
    notes += [*_borrowed(lines), *_unpriced(lines)]
    return Report(
        rows=rows,
        totals=tuple(totals_of(rows)),
        open_runs=tuple(run for run in books.open_runs if _selected(run, selection)),
        notes=tuple(notes),
        empty="" if rows else _nothing(books, selection),
    )


def totals_of(rows: Iterable[Row]) -> list[Total]:
    """Return the totals by currency; the one of time without a rate comes last."""
    totals: dict[str, Total] = {}
    for row in rows:
        before = totals.get(row.currency)
        if before is None:
            totals[row.currency] = Total(row.currency, row.runs, row.hours, row.amount)
            continue
        amount = None if row.amount is None else (before.amount or Decimal(0)) + row.amount
        runs, hours = before.runs + row.runs, before.hours + row.hours
        totals[row.currency] = replace(before, runs=runs, hours=hours, amount=amount)
    return sorted(totals.values(), key=lambda total: (not total.currency, total.currency))


def _selected(item: Line | OpenRun | Note, selection: Selection) -> bool:
    client = not selection.client or item.client in (None, selection.client)
    return client and (not selection.month or item.month in (None, selection.month))


def _groups(lines: Iterable[Line]) -> dict[tuple[str, str, str, bool, str], list[Line]]:
    groups: dict[tuple[str, str, str, bool, str], list[Line]] = {}
    for line in lines:
        currency = line.rate.hourly.currency if line.rate else ""
        key = (line.client, line.project, line.month, not currency, currency)
        groups.setdefault(key, []).append(line)
    return groups


def _row(lines: list[Line]) -> Row:
    first = lines[0]
    seconds = sum((line.seconds for line in lines), Decimal(0))
    rates = {line.rate for line in lines if line.rate}
    return Row(
        client=first.client,
        project=first.project,
        month=first.month,
        currency=first.rate.hourly.currency if first.rate else "",
        rate=str(first.rate) if len(rates) == 1 else "several" if rates else "",
        runs=len(lines),
        seconds=seconds,
        hours=_per_hour(seconds),
        amount=_amount(lines) if rates else None,
    )


def _amount(lines: Iterable[Line]) -> Decimal:
    # Divided by 3600 once, behind the sum: thirds of a cent would not add up again.
    products = (line.rate.hourly.amount * line.seconds for line in lines if line.rate)
    return _per_hour(sum(products, Decimal(0)))


def _per_hour(value: Decimal) -> Decimal:
    return (value / 3600).quantize(CENT, ROUND_HALF_UP)


def _borrowed(lines: Iterable[Line]) -> list[str]:
    counts: dict[str, int] = {}
    for line in lines:
        counts[line.project] = counts.get(line.project, 0) + line.borrowed
    return [
        f"{project}: its present settings give client and rate of {_count(count, 'old result')}"
        for project, count in counts.items()
        if count
    ]


def _unpriced(lines: Iterable[Line]) -> list[str]:
    names = [line.run for line in lines if line.rate is None]
    more = f" and {len(names) - NAMED_RUNS} more" if len(names) > NAMED_RUNS else ""
    told = ", ".join(names[:NAMED_RUNS]) + more
    count = _count(len(names), "run")
    return [f"{count} without a rate, counted but not priced: {told}"] if names else []


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _nothing(books: Books, selection: Selection) -> str:
    items: list[Line | OpenRun | Note] = [*books.lines, *books.open_runs, *books.notes]
    clients = sorted({item.client for item in items if item.client})
    if selection.client and selection.client not in clients:
        return f"no run has the client '{selection.client}'{_nearest(selection.client, clients)}"
    wanted = [("of client ", selection.client), ("of project ", selection.project)]
    wanted += [("in ", selection.month)]
    return " ".join(["no finished run", *(word + name for word, name in wanted if name)])


def _nearest(client: str, clients: list[str]) -> str:
    import difflib  # noqa: PLC0415 - only a wrong name pays for it

    by_folded = {known.casefold(): known for known in clients}
    close = difflib.get_close_matches(client.casefold(), by_folded, n=1)
    if close:
        return f"; did you mean '{by_folded[close[0]]}'?"
    return f"; the clients are {', '.join(clients[:10])}" if clients else ""
