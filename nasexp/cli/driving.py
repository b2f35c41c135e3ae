"""Takes a new run through the pipeline, here or in the background; the inside of `run`."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, NamedTuple

from nasexp.assembly import Assembly, assemble
from nasexp.background import BackgroundView, start_driver
from nasexp.cli.attaching import follow
from nasexp.cli.calling import tell
from nasexp.cli.plan import print_plan
from nasexp.cli.projects import chosen_project
from nasexp.cli.resuming import drive_alone, with_errors_told
from nasexp.cli.view import ViewPlugin, make_view
from nasexp.config.layers import Overrides
from nasexp.errors import ExitCode
from nasexp.pipeline import drive
from nasexp.preflight import check_project
from nasexp.runs.mounts import network_mount
from nasexp.runs.opening import opened_run
from nasexp.runs.paths import RunPaths
from nasexp.stopping import StopSwitch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nasexp.background import Line
    from nasexp.cli.context import CommandContext
    from nasexp.cli.view import PlainView
    from nasexp.config.workspace import Project


class Request(NamedTuple):
    """What a person asked `run` for, as written; empty where a flag was not given."""

    project: str
    host: str
    timeout: str
    backup_every: str
    profile: str
    assignments: tuple[str, ...]

    def overrides(self) -> Overrides:
        """Return the settings among the flags, as the strongest layer."""
        flags = [
            ("host", self.host, "--host"),
            ("timeout", self.timeout, "--timeout"),
            ("backup.every", self.backup_every, "--backup-every"),
        ]
        return Overrides(self.profile, tuple(f for f in flags if f[1]), self.assignments)


class Ready(NamedTuple):
    """A checked request: nothing is known that would keep it from running."""

    project: Project
    assembly: Assembly
    view: PlainView
    notes: list[str]


def plan(context: CommandContext, request: Request) -> ExitCode:
    """Print all that a run would do; change nothing."""
    ready = _check(context, request, shown=False)
    print_plan(context, ready.project, ready.assembly, ready.notes)
    return ExitCode.OK


def train(context: CommandContext, request: Request) -> int:
    """Take a new run through the pipeline in this process; return what its result means."""
    context.outlive_output()
    ready, stop = _check(context, request, shown=True), StopSwitch()
    view, settings = ready.view, ready.assembly.settings
    with opened_run(context.workspace, ready.project, settings, view, context.typed) as run:
        try:
            with _signals_press(stop):
                for text in ready.notes:
                    run.monitor.note(text)
                verdict = drive(run, ready.assembly.hooks, stop)
        finally:
            view.close()
    if verdict.bug:
        raise verdict.bug
    if verdict.errors:
        tell(verdict.errors[0])
    return int(verdict.exit_code)


def start(context: CommandContext, request: Request) -> int:
    """Hand a new run to a driver in the background and follow it; return as `train` does."""
    context.outlive_output()
    ready = _check(context, request, shown=False)
    driver = start_driver(lambda line: _drive_new(context, ready, line))
    return follow(context, ready.view, RunPaths(driver.opened()), driver)


def _drive_new(context: CommandContext, ready: Ready, line: Line) -> int:
    settings, view = ready.assembly.settings, BackgroundView(line)

    def work() -> int:
        made = opened_run(context.workspace, ready.project, settings, view, context.typed)
        with made as run:
            view.progress_file = run.paths.progress
            return drive_alone(run, ready.assembly.hooks, line, ready.notes)

    return with_errors_told(line, work)


def _check(context: CommandContext, request: Request, *, shown: bool) -> Ready:
    project = chosen_project(context, request.project)
    view = make_view(context)
    extra = [ViewPlugin(view)] if shown else []
    assembly = assemble(context.workspace, project, request.overrides(), extra)
    notes = check_project(context.workspace, project, assembly.settings)
    mount = network_mount(context.workspace.root)
    if mount:
        notes.append(
            f"this workspace lies on another machine ({mount.source}): the run lives and dies with "
            "this one; start it there to be independent of it"
        )
    return Ready(project, assembly, view, notes)


@contextlib.contextmanager
def _signals_press(stop: StopSwitch) -> Iterator[None]:
    """Let Ctrl-C, a lost terminal and `kill` press the switch while the block runs.

    One that is ignored stays so: that is what nohup, and `&` in a script, ask for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    press = {signal.SIGINT: stop.press, signal.SIGTERM: stop.press, signal.SIGHUP: stop.hang_up}
    before = {number: signal.getsignal(number) for number in press}
    heard = [number for number in press if before[number] is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, lambda number, _frame: press[signal.Signals(number)]())
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
