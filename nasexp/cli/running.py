"""The command `run`: the whole pipeline."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Annotated

from nasexp.assembly import assemble
from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.cli.projects import chosen_project
from nasexp.cli.view import make_view
from nasexp.config.layers import Overrides
from nasexp.errors import ExitCode
from nasexp.pipeline import drive
from nasexp.preflight import check_project
from nasexp.runs.opening import opened_run
from nasexp.stopping import StopSwitch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nasexp.assembly import Assembly
    from nasexp.config.workspace import Project


@command
def run(
    context: CommandContext,
    project: Annotated[str, Arg("the project to train; else `project:` of nasexp.yaml")] = "",
    host: Annotated[str, Arg("the host to train on, as `host:`")] = "",
    timeout: Annotated[str, Arg("how long the training may take, as 2h30m")] = "",
    backup_every: Annotated[str, Arg("how often the output comes home, as 10m")] = "",
    profile: Annotated[str, Arg("a named set of settings under `profiles:`")] = "",
    set_: Annotated[list[str], Arg("any setting, as params.lr=0.1; may be repeated")] = (),  # type: ignore[assignment] # never changed
    foreground: Annotated[bool, Arg("stay with the run to its end (so it is for now)")] = False,  # noqa: ARG001 - see its help
    dry_run: Annotated[bool, Arg("say all that would be done and change nothing")] = False,
) -> ExitCode:
    """Take a project through all seven stages.

    connect, archive, transfer, train, backup, collect, shutdown. Ctrl-C stops the training; what
    it has written still comes home.
    """
    flags = {"host": (host, "--host"), "timeout": (timeout, "--timeout")}
    flags["backup.every"] = (backup_every, "--backup-every")
    given = tuple((path, text, flag) for path, (text, flag) in flags.items() if text)
    found = chosen_project(context, project)
    view = make_view(context)
    assembly = assemble(
        context.workspace, found, Overrides(profile, given, tuple(set_)), extra=[view]
    )
    notes = check_project(context.workspace, found, assembly.settings, assembly.hooks)
    if dry_run:
        from nasexp.cli.plan import print_plan  # noqa: PLC0415 - only --dry-run needs it

        print_plan(context, found, assembly, notes)
        return ExitCode.OK
    return _drive(context, found, assembly, notes)


def _drive(
    context: CommandContext, project: Project, assembly: Assembly, notes: list[str]
) -> ExitCode:
    view = next(p for p in assembly.hooks.manager.get_plugins() if hasattr(p, "close"))
    stop = StopSwitch()
    with opened_run(context.workspace, project, assembly.settings, view) as opened:
        try:
            with _signals_press(stop):
                for text in notes:
                    opened.monitor.note(text)
                verdict = drive(opened, assembly.hooks, stop)
        finally:
            view.close()
    if verdict.bug:
        raise verdict.bug
    return verdict.exit_code


@contextlib.contextmanager
def _signals_press(stop: StopSwitch) -> Iterator[None]:
    """Let Ctrl-C, a lost terminal and `kill` press the switch while the block runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda *_: stop.press()) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
