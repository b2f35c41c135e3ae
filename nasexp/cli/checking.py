"""The command `check`: what could keep a run from going well; starts nothing, costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.errors import ExitCode

if TYPE_CHECKING:
    from nasexp.checks import Finding

SIGNS = {"ok": "✓", "warning": "!", "fault": "✗"}
PLAIN_SIGNS = {"ok": "+", "warning": "!", "fault": "x"}


@command
def check(
    context: CommandContext,
    project: Annotated[str, Arg("also look at what this project needs")] = "",
    host: Annotated[str, Arg("the host to look at; else the one that a run would take")] = "",
    as_json: Annotated[bool, Arg("print one JSON document", flag="json")] = False,
) -> ExitCode:
    """Look at everything that a run needs, on this machine, on the way and on the host.

    Nothing is started and nothing is changed. A fault would keep a run from going well: exit
    code 7.
    """
    from nasexp.checks import State, check_all  # noqa: PLC0415 - `--list` needs none of it
    from nasexp.cli.projects import assemble_host  # noqa: PLC0415 - as above
    from nasexp.cli.view import ask_on_terminal  # noqa: PLC0415

    workspace = context.workspace
    found = workspace.project(project) if project else None
    settings = assemble_host(workspace, found, host)
    findings = []
    for finding in check_all(workspace, found, settings, ask_on_terminal):
        findings.append(finding)
        if not as_json:
            _print(context, finding)
    if as_json:
        context.print_json({"host": settings.host.name, "checks": [*map(as_document, findings)]})
    faults = sum(finding.state is State.FAULT for finding in findings)
    if not as_json:
        verdict = f"faults: {faults}" if faults else "ready"
        context.print(f"{settings.host.name}: {verdict}")
    return ExitCode.NO if faults else ExitCode.OK


def as_document(finding: Finding) -> dict[str, str]:
    """Return one of the `checks` of `check --json`; `state` is ok, warning or fault."""
    return {
        "check": finding.name,
        "state": finding.state.value,
        "text": finding.text,
        "hint": finding.hint,
    }


def _print(context: CommandContext, finding: Finding) -> None:
    unicode = "utf" in (getattr(context.output, "encoding", None) or "").lower()
    sign = (SIGNS if unicode else PLAIN_SIGNS)[finding.state.value]
    context.print(f"  {sign} {finding.name:11} {finding.text}")
    if finding.hint:
        context.print(f"    {'':11} → {finding.hint}")
