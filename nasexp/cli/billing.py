"""The command `report`: hours and money."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.errors import NasexpError, UsageError

if TYPE_CHECKING:
    from nasexp.billing.lines import Terms
    from nasexp.billing.summary import Report
    from nasexp.config.workspace import Project, Workspace


@command
def report(
    context: CommandContext,
    project: Annotated[str, Arg("only the runs of this project")] = "",
    client: Annotated[str, Arg("only the runs of this client")] = "",
    month: Annotated[str, Arg("only the runs that started in this month, as 2026-10")] = "",
    as_json: Annotated[bool, Arg("print one JSON document", flag="json")] = False,
    as_csv: Annotated[bool, Arg("print the rows as CSV, without totals", flag="csv")] = False,
) -> None:
    """Tell hours and money by client, project and month.

    A run counts when it has a start and an end: its training time, at the rate that it was run
    at, in the month of its start. Each row is rounded once, half up, to cents and to hundredths
    of an hour; totals are the sums of the rows. What is not billed is named.
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv are two answers", hint="give one of them")
    made = _make(context.workspace, project, client, month)
    if as_json:
        from nasexp.billing.formats import as_document  # noqa: PLC0415 - as below

        context.print_json(as_document(made))
    elif as_csv:
        _print_csv(context, made)
    else:
        _print_table(context, made)


def _make(workspace: Workspace, project: str, client: str, month: str) -> Report:
    from nasexp.billing.lines import read_books  # noqa: PLC0415 - `--help` needs none of it
    from nasexp.billing.months import check_month  # noqa: PLC0415
    from nasexp.billing.summary import Selection, summarise  # noqa: PLC0415
    from nasexp.config.zone import workspace_zone  # noqa: PLC0415

    selection = Selection(project, " ".join(client.split()), check_month(month))
    projects = [workspace.project(project)] if project else workspace.projects()
    zone = workspace_zone(workspace)
    books = read_books(projects, zone, lambda found: _present_terms(workspace, found))
    return summarise(books, selection)


def _present_terms(workspace: Workspace, project: Project) -> Terms:
    """Return what the settings say now; a project that is broken stops nobody's report."""
    from nasexp.assembly import assemble  # noqa: PLC0415 - only results of the old scripts need it
    from nasexp.billing.lines import Terms  # noqa: PLC0415

    try:
        core = assemble(workspace, project).settings.core
    except NasexpError as error:
        return Terms(problem=error.message.split("\n", 1)[0])
    return Terms(core.client, str(core.rate) if core.rate else "")


def _print_table(context: CommandContext, made: Report) -> None:
    from nasexp.billing.formats import as_table  # noqa: PLC0415 - as above

    context.print(as_table(made) or made.empty)
    for note in made.notes:
        context.print(f"note: {note}")


def _print_csv(context: CommandContext, made: Report) -> None:
    """Print the rows; what is said beside them goes to stderr, where it breaks no file."""
    from nasexp.billing.formats import as_csv  # noqa: PLC0415 - as above

    context.print(as_csv(made).removesuffix("\n"))
    for note in [made.empty, *made.notes]:
        if note:
            print(f"note: {note}", file=sys.stderr)
