"""Shows a run that another process drives, from its folder alone; the command `attach`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.errors import ExitCode, NasexpError, StageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nasexp.background import Driver
    from nasexp.cli.view import PlainView
    from nasexp.runs.journal import Event
    from nasexp.runs.paths import RunPaths
    from nasexp.runs.record import Record

SHORTEST_SECONDS, LONGEST_SECONDS = 0.01, 0.2
LAST_LINES_BYTES = 2048
SETTLE_SECONDS = 5.0
_WHILE_TRAINING = ("train", "backup")
_BEHIND_CONSOLE = ("training.ended", "run.finished")


@command
def attach(
    context: CommandContext,
    run: Annotated[str, Arg("the run: PROJECT/run_3, run_3 or latest", positional=True)] = "latest",
) -> int:
    """Follow a run as if it had been started here, until it ends; Ctrl-C leaves it alone.

    The exit code is that of the run. One that has ended already is told in short.
    """
    from nasexp.cli.looking import find  # noqa: PLC0415 - `--list` needs none of it
    from nasexp.cli.view import make_view  # noqa: PLC0415 - as above
    from nasexp.runs.paths import RunPaths  # noqa: PLC0415

    context.outlive_output()
    paths = RunPaths(find(context, run))
    return follow(context, make_view(context), paths, None)


def follow(context: CommandContext, view: PlainView, paths: RunPaths, driver: Driver | None) -> int:
    """Show a run until it ends, or until the person here leaves; return the exit code.

    Args:
        context: of the command.
        view: what shows it.
        paths: of the run.
        driver: the process that drives it, when we made it; its questions are answered here.
    """
    feed = Feed(view, paths)
    try:
        return _follow(context, feed, driver)
    except KeyboardInterrupt:
        view.close()
        context.print(_how_to_come_back(context, paths))
        return int(ExitCode.OK)
    finally:
        view.close()
        if driver:
            driver.let_go()


def _follow(context: CommandContext, feed: Feed, driver: Driver | None) -> int:
    from nasexp.runs.locking import has_driver  # noqa: PLC0415 - as above

    pause = SHORTEST_SECONDS
    while not context.lost:
        alive = has_driver(feed.paths) if driver is None else driver.ended() is None
        moved = feed.pump()
        if feed.end is not None:
            return _tell_end(feed.end)
        if not alive and not moved:
            raise _gone(context, feed.paths)
        if driver:
            driver.answer(feed.view.ask)
        pause = SHORTEST_SECONDS if moved else min(pause * 1.3, LONGEST_SECONDS)
        time.sleep(pause)
    return int(ExitCode.OK)


class Feed:
    """Hands what a run's folder tells to a view, in the order in which it happened.

    Attributes:
        end: the facts of the run's end; None while it goes on.
    """

    def __init__(self, view: PlainView, paths: RunPaths) -> None:
        from nasexp.runs.tailing import JournalTail, LogTail  # noqa: PLC0415 - as above

        self.view = view
        self.paths = paths
        self.end: dict[str, Any] | None = None
        self._journal = JournalTail(paths.journal)
        self._log = LogTail(paths.log, _last_lines(paths.log))
        self._progress = b""

    def pump(self) -> bool:
        """Show what is new; False when nothing was."""
        events = self._journal.read()
        for event in events:
            # What the console says was there before the event that speaks of its end.
            training = event.name == "stage.finished" and event.facts["stage"] in _WHILE_TRAINING
            if training or event.name in _BEHIND_CONSOLE:
                self.view.moment = event.time
                self._show_console()
            self._show(event)
        return self._show_console() or self._show_progress() or bool(events)

    def _show(self, event: Event) -> None:
        self.view.moment = event.time
        if show := _SHOWN.get(event.name):
            show(self, event.facts)
        self.view.moment = None

    def _show_console(self) -> bool:
        shown = False
        while chunk := self._log.read():
            self.view.console(chunk)
            shown = True
        return shown

    def _show_progress(self) -> bool:
        from nasexp.runs.tailing import read_from  # noqa: PLC0415 - as above

        text = read_from(self.paths.progress, 0, 100)
        if text == self._progress:
            return False
        self._progress = text
        done, _, total = text.partition(b" ")
        if done.isdigit() and total.strip().isdigit():
            self.view.progress(int(done), int(total))
        return True

    def begin(self, facts: dict[str, Any]) -> None:
        """Show which run it is."""
        from nasexp.cli.view import RunCard  # noqa: PLC0415 - as above

        self.view.begin(
            RunCard(
                facts["run"],
                facts.get("training", ""),
                facts.get("timeout", ""),
                float(facts.get("backup_every_seconds") or "inf"),
            )
        )

    def end_training(self, facts: dict[str, Any]) -> None:
        """Show how the training ended."""
        ok = facts.get("why") == "exit" and facts.get("exit_code") == 0
        self.view.training_ended(facts.get("told", ""), ok=ok)

    def finish(self, facts: dict[str, Any]) -> None:
        """Show the summary, and take note of the end."""
        self.end = facts
        self.view.finished(self.paths, _settled(self.paths))


_SHOWN: dict[str, Callable[[Feed, dict[str, Any]], None]] = {
    "run.created": Feed.begin,
    "note": lambda feed, facts: feed.view.note(facts["text"]),
    "warning": lambda feed, facts: feed.view.warn(facts["text"]),
    "stage.started": lambda feed, facts: feed.view.stage_started(facts["stage"]),
    "stage.finished": lambda feed, facts: feed.view.stage_finished(
        facts["stage"], facts["seconds"], facts["error"]
    ),
    "training.started": lambda feed, _facts: feed.view.training_started(),
    "timeout.extended": lambda feed, facts: feed.view.timeout_moved(facts.get("left")),
    "training.ended": Feed.end_training,
    "run.finished": Feed.finish,
}


def _settled(paths: RunPaths) -> Record:
    """Return the record of a run whose journal tells its end; run.info is written right behind."""
    from nasexp.runs.record import RUNNING, read_record  # noqa: PLC0415 - as above

    deadline = time.monotonic() + SETTLE_SECONDS
    while (record := read_record(paths.folder)).status == RUNNING and time.monotonic() < deadline:
        time.sleep(SHORTEST_SECONDS)
    return record


def _tell_end(facts: dict[str, Any]) -> int:
    from nasexp.cli.calling import tell  # noqa: PLC0415 - as above

    if message := facts.get("message"):
        tell(NasexpError(message, hint=facts.get("hint", ""), log=facts.get("log", "")))
    return int(facts.get("code", ExitCode.OK))


def _gone(context: CommandContext, paths: RunPaths) -> StageError:
    from nasexp.runs.paths import address_of  # noqa: PLC0415 - as above

    said = paths.driver_log.exists() and paths.driver_log.stat().st_size
    return StageError(
        f"the driver of {address_of(paths.folder)} is gone; the training may go on on its host",
        hint=f"drive it on: {context.program} resume {address_of(paths.folder)}",
        log=context.workspace.shown(paths.driver_log) if said else "",
    )


def _how_to_come_back(context: CommandContext, paths: RunPaths) -> str:
    from nasexp.runs.paths import address_of  # noqa: PLC0415 - as above

    address, program = address_of(paths.folder), context.program
    return (
        f"{address} goes on without this terminal\n"
        f"  follow it again: {program} attach {_run_word(context)}{address}\n"
        f"  stop it:         {program} stop {address}"
    )


def _run_word(context: CommandContext) -> str:
    # Invoke knows no optional positionals.
    return "--run " if context.program == "invoke" else ""


def _last_lines(log: Path) -> int:
    """Return the offset from which a log is worth showing to somebody who comes late."""
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return 0
    if size <= LAST_LINES_BYTES:
        return 0
    from nasexp.runs.tailing import read_from  # noqa: PLC0415 - as above

    tail = read_from(log, size - LAST_LINES_BYTES, LAST_LINES_BYTES)
    return size - LAST_LINES_BYTES + tail.find(b"\n") + 1
