"""Opens a run: its folder with number, identity, configuration, journal and first record."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nasexp.config.showing import config_yaml
from nasexp.errors import NasexpError
from nasexp.runs.files import write_whole
from nasexp.runs.journal import Journal, read_events
from nasexp.runs.locking import lock_driver
from nasexp.runs.numbering import make_run_folder, new_run_id
from nasexp.runs.paths import RunPaths
from nasexp.values import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nasexp.config.settings import Settings
    from nasexp.config.workspace import Project, Workspace
    from nasexp.values import Monitor


class RunJournal:
    """The journal of an open run: written through, and its newest facts at hand."""

    def __init__(self, paths: RunPaths) -> None:
        self._journal = Journal(paths.journal)
        self._last = {event.name: event.facts for event in read_events(paths.journal)}

    def write(self, event: str, **facts: Any) -> object:
        """See `Recorder.write`."""
        written = self._journal.write(event, **facts)
        self._last[event] = facts
        return written

    def last(self, event: str) -> Mapping[str, Any] | None:
        """See `Recorder.last`."""
        return self._last.get(event)

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


@dataclass
class RunMonitor:
    """Journals what a person is told, and hands it to the view."""

    view: Monitor
    journal: RunJournal
    warnings: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """See `Monitor.note`."""
        self._keep("note", text)
        self.view.note(text)

    def warn(self, text: str) -> None:
        """See `Monitor.warn`."""
        self.warnings.append(text)
        self._keep("warning", text)
        self.view.warn(text)

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """See `Monitor.progress`."""
        self.view.progress(done_bytes, total_bytes)

    def console(self, data: bytes) -> None:
        """See `Monitor.console`."""
        self.view.console(data)

    def ask(self, prompt: str) -> str | None:
        """See `Monitor.ask`."""
        return self.view.ask(prompt)

    def _keep(self, event: str, text: str) -> None:
        # Words about trouble must reach the person even when a full disk is the trouble.
        with contextlib.suppress(NasexpError):
            self.journal.write(event, text=text)


@contextlib.contextmanager
def opened_run(
    workspace: Workspace, project: Project, settings: Settings, view: Monitor
) -> Iterator[Run]:
    """Make a new run and drive it alone while the block runs.

    Raises:
        StageError: the results folder cannot be written.
    """
    number, folder = make_run_folder(project)
    paths = RunPaths(folder)
    try:
        lock = lock_driver(paths)
        journal = RunJournal(paths)
        run_id = _describe(paths, journal, f"{project.name}/run_{number}", settings)
    except NasexpError:
        shutil.rmtree(folder, ignore_errors=True)  # no run came of it
        raise
    try:
        monitor = RunMonitor(view, journal)
        yield Run(run_id, number, workspace, project, paths, settings, journal, monitor)
    finally:
        journal.close()
        os.close(lock)
        paths.driver.unlink(missing_ok=True)


def _describe(paths: RunPaths, journal: RunJournal, address: str, settings: Settings) -> str:
    """Write down what the run is; return its new identity."""
    run_id = new_run_id()
    journal.write(
        "run.created",
        id=run_id,
        run=address,
        command=[os.path.basename(sys.argv[0]), *sys.argv[1:]],  # noqa: PTH119 - a name
        machine=platform.node(),
        host=settings.host.name,
    )
    write_whole(paths.config, config_yaml(settings))
    return run_id
