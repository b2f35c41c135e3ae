"""A report as a table for people, as a document for programs, as CSV for spreadsheets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasexp.billing.lines import OpenRun
    from nasexp.billing.summary import Report, Row, Total

_HEADERS = ("client", "project", "month", "runs", "hours", "rate", "amount")
_ALIGN = ("left", "left", "left", "right", "right", "right", "right")
_ROW_KEYS = (
    "client", "project", "month", "runs", "seconds", "hours", "amount", "currency",
    "unpriced_runs",
)  # fmt: skip


def as_table(report: Report) -> str:
    """Return the rows, and behind a line the totals; empty when there are no rows."""
    from tabulate import SEPARATING_LINE, tabulate  # noqa: PLC0415 - only tables pay for it

    rows: list[Any] = [
        [row.client or "no client", row.project, row.month, row.runs, row.hours, row.rate,
         _money(row)]
        for row in report.rows
    ]  # fmt: skip
    totals = [["total", "", "", t.runs, t.hours, "", _money(t)] for t in report.totals]
    table = [*rows, SEPARATING_LINE, *totals]
    text = tabulate(table, _HEADERS, "simple", disable_numparse=True, colalign=_ALIGN)
    return text if rows else ""


def as_document(report: Report) -> dict[str, Any]:
    """Return the document of `report --json`.

    rows        a list of {client, project, month, runs, seconds, hours, amount, currency,
                unpriced_runs}; runs without a rate have a row of their own, with null for amount
                and currency
    totals      a list of {currency, amount, hours, runs}, one for each currency; null as above
    open_runs   a list of {run, client, project, month, status, started}: not billed yet
    notes       a list of texts: what is not billed and why; that nothing is, when there is nothing

    An amount is a text such as "135.00"; hours have two decimals, seconds three; started is
    ISO 8601 in UTC, or null, with an empty month, before the training starts.
    """
    return {
        "rows": [_row_document(row) for row in report.rows],
        "totals": [_total_document(total) for total in report.totals],
        "open_runs": [_open_document(run) for run in report.open_runs],
        "notes": [*([report.empty] if report.empty else []), *report.notes],
    }


def as_csv(report: Report) -> str:
    """Return the rows with a header, columns as in the rows of `--json`; null is an empty cell."""
    import csv  # noqa: PLC0415 - only --csv pays for it
    import io  # noqa: PLC0415

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_ROW_KEYS)
    writer.writerows([_cell(row, key) for key in _ROW_KEYS] for row in report.rows)
    return text.getvalue()


def _row_document(row: Row) -> dict[str, Any]:
    """Return a row with the keys that `--json` promises."""
    return {
        **{key: getattr(row, key) for key in _ROW_KEYS},
        "seconds": float(row.seconds),
        "hours": float(row.hours),
        "amount": None if row.amount is None else str(row.amount),
        "currency": row.currency or None,
    }


def _total_document(total: Total) -> dict[str, Any]:
    return {
        "currency": total.currency or None,
        "amount": None if total.amount is None else str(total.amount),
        "hours": float(total.hours),
        "runs": total.runs,
    }


def _open_document(run: OpenRun) -> dict[str, Any]:
    return {
        "run": run.run,
        "client": run.client,
        "project": run.project,
        "month": run.month,
        "status": run.status,
        "started": run.started.isoformat() if run.started else None,
    }


def _cell(row: Row, key: str) -> str:
    value = getattr(row, key)
    return "" if value is None else str(value)


def _money(item: Row | Total) -> str:
    return "no rate" if item.amount is None else f"{item.amount} {item.currency}"
