"""The command `resume`: drives on what lost its driver, by a kill, a crash or a power cut."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.errors import ExitCode, NasexpError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nasexp.background import Driver, Line
    from nasexp.config.workspace import Project, Workspace
    from nasexp.dispatch import Hooks
    from nasexp.runs.paths import RunPaths
    from nasexp.values import Run


@command
def resume(
    context: CommandContext,
    run: Annotated[str, Arg("the run; else every one that lost its driver", positional=True)] = "",
) -> int:
    """Take up the runs that lost their driver; a task for the boot of the NAS.

    What has happened on the hosts meanwhile is adopted: nothing is started twice. A run that is
    named is followed, as by `attach`; without a name all are driven in the background.
    """
    from nasexp.cli.attaching import follow  # noqa: PLC0415 - `--list` needs none of it
    from nasexp.cli.looking import find  # noqa: PLC0415 - as above
    from nasexp.cli.view import make_view  # noqa: PLC0415
    from nasexp.runs.paths import RunPaths  # noqa: PLC0415

    context.outlive_output()
    if run:
        paths = RunPaths(find(context, run))
        _refuse_ended(paths)
        driver = start_resuming(context, paths)
        driver.opened()
        return follow(context, make_view(context), paths, driver)
    folders = open_runs(context.workspace)
    if not folders:
        context.print("no run has lost its driver")
    return int(ExitCode.worst([_resume_quietly(context, folder) for folder in folders]))


def _refuse_ended(paths: RunPaths) -> None:
    from nasexp.runs.paths import address_of  # noqa: PLC0415 - as above
    from nasexp.runs.record import RUNNING, read_record  # noqa: PLC0415

    status = read_record(paths.folder).status
    if status not in (RUNNING, ""):
        raise UsageError(f"{address_of(paths.folder)} has ended already: {status}")


def open_runs(workspace: Workspace) -> list[Path]:
    """Return the folders of all runs that began, did not end and have no driver."""
    from nasexp.runs.paths import run_folders  # noqa: PLC0415 - as above

    folders = [folder for project in workspace.projects() for _, folder in run_folders(project)]
    return [folder for folder in folders if is_open(folder)]


def is_open(folder: Path) -> bool:
    """Whether a run began and did not end, as far as is known, and nobody drives it."""
    from nasexp.runs.locking import has_driver  # noqa: PLC0415 - as above
    from nasexp.runs.paths import RunPaths  # noqa: PLC0415
    from nasexp.runs.record import RUNNING, read_record  # noqa: PLC0415

    paths = RunPaths(folder)
    status = read_record(folder).status
    began = status == RUNNING or (not status and paths.journal.exists())
    return began and not has_driver(paths)


def start_resuming(context: CommandContext, paths: RunPaths) -> Driver:
    """Put a driver for an existing run into the background."""
    from nasexp.background import start_driver  # noqa: PLC0415 - as above

    project = context.workspace.project(paths.folder.parent.parent.name)
    return start_driver(lambda line: _drive_on(context.workspace, project, paths, line))


def resume_alone(context: CommandContext, paths: RunPaths) -> None:
    """Put a driver for an existing run into the background and leave it there.

    Raises:
        NasexpError: it cannot drive the run.
    """
    driver = start_resuming(context, paths)
    driver.opened()
    driver.let_go()


def drive_alone(run: Run, hooks: Hooks, line: Line, notes: Sequence[str] = ()) -> int:
    """Drive an opened run in a process of its own; return what its result means."""
    from nasexp.background import keep_complaints  # noqa: PLC0415 - as above
    from nasexp.pipeline import drive  # noqa: PLC0415
    from nasexp.stopping import StopSwitch  # noqa: PLC0415

    keep_complaints(run.paths.driver_log)
    line.tell_opened(run.paths.folder)
    for text in notes:
        run.monitor.note(text)
    verdict = drive(run, hooks, StopSwitch())
    _tidy(run.paths)
    if verdict.bug:
        raise verdict.bug
    return int(verdict.exit_code)


def with_errors_told(line: Line, work: Callable[[], int]) -> int:
    """Do the work; where there is no run in the end, tell whoever started the driver why."""
    try:
        return work()
    except NasexpError as error:
        line.tell_error(error)
        return int(error.exit_code)


def _resume_quietly(context: CommandContext, folder: Path) -> ExitCode:
    from nasexp.cli.calling import tell  # noqa: PLC0415 - as above
    from nasexp.runs.paths import RunPaths, address_of  # noqa: PLC0415

    try:
        resume_alone(context, RunPaths(folder))
    except NasexpError as error:
        tell(error)
        return error.exit_code
    context.print(f"{address_of(folder)} is driven on")
    return ExitCode.OK


def _drive_on(workspace: Workspace, project: Project, paths: RunPaths, line: Line) -> int:
    from nasexp.assembly import assemble_saved  # noqa: PLC0415 - as above
    from nasexp.background import BackgroundView  # noqa: PLC0415
    from nasexp.runs.opening import reopened_run  # noqa: PLC0415

    view = BackgroundView(line)
    view.progress_file = paths.progress

    def work() -> int:
        assembly = assemble_saved(workspace, project, paths)
        with reopened_run(workspace, project, assembly.settings, view, paths) as run:
            return drive_alone(run, assembly.hooks, line)

    return with_errors_told(line, work)


def _tidy(paths: RunPaths) -> None:
    """Remove what is of no use once a run has ended; a driver's complaints stay."""
    paths.progress.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        paths.requests.rmdir()
    with contextlib.suppress(OSError):
        if not paths.driver_log.stat().st_size:
            paths.driver_log.unlink()
