"""Opens a run, a new one or one that lost its driver: folder, identity, journal, lock."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from nasexp.config.showing import config_yaml, without_secrets
from nasexp.config.units import Duration
from nasexp.errors import NasexpError, StageError
from nasexp.runs.files import write_whole
from nasexp.runs.journal import Journal, read_events
from nasexp.runs.locking import lock_driver, unlock_driver
from nasexp.runs.numbering import make_run_folder, new_run_id
from nasexp.runs.paths import RunPaths, run_number
from nasexp.runs.requests import person
from nasexp.values import Monitor, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nasexp.config.settings import Settings
    from nasexp.config.workspace import Project, Workspace


class RunJournal:
    """The journal of an open run: written through, and its newest facts at hand."""

    def __init__(self, paths: RunPaths) -> None:
        self._journal = Journal(paths.journal)
        self._before = read_events(paths.journal)
        self._last = {event.name: event.facts for event in self._before}

    def write(self, event: str, **facts: Any) -> object:
        """See `Recorder.write`."""
        written = self._journal.write(event, **facts)
        self._last[event] = facts
        return written

    def last(self, event: str) -> Mapping[str, Any] | None:
        """See `Recorder.last`."""
        return self._last.get(event)

    def texts(self, event: str) -> list[str]:
        """Return the texts of all such events that stood there when it was opened."""
        return [found.facts["text"] for found in self._before if found.name == event]

    def count(self, event: str) -> int:
        """Return how many such events stood there when it was opened."""
        return sum(1 for found in self._before if found.name == event)

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


class View(Monitor, Protocol):
    """What shows a run to a person; it never fails, as the run is none of its business."""

    @property
    def lost(self) -> str:
        """Why nothing can be shown any more, such as a closed terminal; empty while it can."""
        ...


@dataclass
class RunMonitor:
    """Journals what a person is told, and hands it to the view."""

    view: View
    journal: RunJournal
    warnings: list[str] = field(default_factory=list)
    _alone: bool = False

    def note(self, text: str) -> None:
        """See `Monitor.note`."""
        self._keep("note", text)
        self.view.note(text)
        self._note_loss()

    def warn(self, text: str) -> None:
        """See `Monitor.warn`."""
        self.warnings.append(text)
        self._keep("warning", text)
        self.view.warn(text)
        self._note_loss()

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """See `Monitor.progress`."""
        self.view.progress(done_bytes, total_bytes)
        self._note_loss()

    def console(self, data: bytes) -> None:
        """See `Monitor.console`."""
        self.view.console(data)
        self._note_loss()

    def ask(self, prompt: str) -> str | None:
        """See `Monitor.ask`."""
        return self.view.ask(prompt)

    def _note_loss(self) -> None:
        """Say once in the journal that nobody sees the run any more; it goes on to its end."""
        if self.view.lost and not self._alone:
            self._alone = True
            self._keep("note", f"the output is gone ({self.view.lost}); the run goes on")

    def _keep(self, event: str, text: str) -> None:
        # Words about trouble must reach the person even when a full disk is the trouble.
        with contextlib.suppress(NasexpError):
            self.journal.write(event, text=text)


@contextlib.contextmanager
def opened_run(
    workspace: Workspace,
    project: Project,
    settings: Settings,
    view: View,
    command: Sequence[str] = (),
) -> Iterator[Run]:
    """Make a new run and drive it alone while the block runs.

    Args:
        workspace: where the project lies.
        project: what is run.
        settings: of this run.
        view: what shows it.
        command: what a person typed, to be kept with the run.

    Raises:
        StageError: the results folder cannot be written.
    """
    number, folder = make_run_folder(project)
    paths = RunPaths(folder)
    try:
        lock = lock_driver(paths)
        journal = RunJournal(paths)
        facts = {"run": f"{project.name}/run_{number}", "command": without_secrets(command)}
        _describe(paths, journal, facts, settings)
    except NasexpError:
        shutil.rmtree(folder, ignore_errors=True)  # no run came of it
        raise
    with _driven(paths, lock, journal):
        yield _run(workspace, project, settings, RunMonitor(view, journal), paths)


@contextlib.contextmanager
def reopened_run(
    workspace: Workspace, project: Project, settings: Settings, view: View, paths: RunPaths
) -> Iterator[Run]:
    """Drive on a run that has no driver any more.

    Args:
        workspace: where the project lies.
        project: whose run it is.
        settings: those that the run was begun with.
        view: what shows it.
        paths: of the run.

    Raises:
        StageError: another process drives it, or its journal is damaged.
    """
    lock = lock_driver(paths)
    try:
        journal = RunJournal(paths)
    except BaseException:
        os.close(lock)
        raise
    with _driven(paths, lock, journal):
        if journal.last("run.finished") is None:
            epoch, machine = 2 + journal.count("run.resumed"), platform.node()
            journal.write(
                "run.resumed", machine=machine, by=person(), epoch=epoch, nonce=new_run_id()
            )
        monitor = RunMonitor(view, journal, warnings=journal.texts("warning"))
        yield _run(workspace, project, settings, monitor, paths)


@contextlib.contextmanager
def _driven(paths: RunPaths, lock: int, journal: RunJournal) -> Iterator[None]:
    try:
        yield
    finally:
        journal.close()
        unlock_driver(paths, lock)


def _run(
    workspace: Workspace, project: Project, settings: Settings, monitor: RunMonitor, paths: RunPaths
) -> Run:
    journal, number = monitor.journal, run_number(paths.folder.name)
    created = journal.last("run.created")
    if created is None or number is None:
        raise StageError(f"{paths.journal} does not say what run this is")
    return Run(created["id"], number, workspace, project, paths, settings, journal, monitor)


def _describe(
    paths: RunPaths, journal: RunJournal, facts: dict[str, Any], settings: Settings
) -> None:
    """Write down what the run is: its new identity, and what people want to see of it."""
    journal.write(
        "run.created",
        id=new_run_id(),
        **facts,
        machine=platform.node(),
        nonce=new_run_id(),
        host=settings.host.name,
        training=settings.core.run,
        timeout=str(settings.core.timeout),
        timeout_seconds=_seconds(settings.core.timeout),
        backup_every_seconds=_seconds(settings.get("backup.every")),
    )
    write_whole(paths.config, config_yaml(settings))


def _seconds(duration: object) -> float | None:
    """Return the length of a written duration; None for one without an end."""
    seconds = Duration.parse(str(duration or "never")).seconds
    return None if math.isinf(seconds) else seconds
