"""A workspace in a temporary folder, written and used by a test."""

from __future__ import annotations

import contextlib
import io
import json
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nasexp.cli.argparse_front import main
from nasexp.runs.journal import read_events
from nasexp.runs.paths import RunPaths
from nasexp.runs.record import read_record

if TYPE_CHECKING:
    from pathlib import Path

    from nasexp.runs.journal import Event
    from nasexp.runs.record import Record


@dataclass(frozen=True, slots=True)
class Called:
    """How a command ended and what it printed."""

    exit_code: int
    output: str
    errors: str

    def assert_ok(self) -> Called:
        """Fail unless the exit code is 0; returns itself."""
        return self.assert_code(0)

    def assert_code(self, code: int, *texts: str) -> Called:
        """Fail unless the exit code is this one and every text was printed; returns itself."""
        told = f"exit code {self.exit_code}\n{self.output}\n{self.errors}"
        if self.exit_code != code:
            raise AssertionError(f"expected exit code {code}, found {told}")
        for text in texts:
            if text not in self.output + self.errors:
                raise AssertionError(f"{text!r} was not printed: {told}")
        return self

    def json(self) -> Any:
        """Return the output of `--json`."""
        return json.loads(self.output)


class WorkspaceMaker:
    """A workspace that a test fills.

    Attributes:
        root: its folder.
        home: what `$HOME` is; the host `local` keeps its runs in `.nasexp/` there.
    """

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.home = home
        self.write({"nasexp.yaml": ""})

    def write(self, files: dict[str, str | bytes]) -> None:
        """Write files by their path below the workspace; texts are dedented."""
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = textwrap.dedent(content).encode() if isinstance(content, str) else content
            path.write_bytes(data)

    def add_project(
        self, name: str, run: str, settings: str = "", files: dict[str, str | bytes] | None = None
    ) -> Path:
        """Make a project and return its folder.

        Args:
            name: its name.
            run: the command, as in `run:`.
            settings: further lines of project.yaml.
            files: what lies in `bin/`, by path.
        """
        folder = self.root / "projects" / name
        lines = f"run: {json.dumps(run)}\n{textwrap.dedent(settings)}"
        self.write({f"projects/{name}/project.yaml": lines, f"projects/{name}/bin/.keep": ""})
        self.write({f"projects/{name}/bin/{file}": text for file, text in (files or {}).items()})
        return folder

    def nasexp(self, *words: str) -> Called:
        """Run `nasexp WORDS` in this process and return what came of it.

        A `run` is driven in this process too, as by `--foreground`.
        """
        if words[:1] == ("run",):
            words = ("run", "--foreground", *words[1:])
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                code = main(["--workspace", str(self.root), *words])
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else 1
        return Called(code, output.getvalue(), errors.getvalue())

    def run_paths(self, project: str, number: int = 0) -> RunPaths:
        """Return the files of a run."""
        return RunPaths(self.root / "projects" / project / "results" / f"run_{number}")

    def record(self, project: str, number: int = 0) -> Record:
        """Return the record of a run."""
        return read_record(self.run_paths(project, number).folder)

    def events(self, project: str, number: int = 0) -> list[Event]:
        """Return the journal of a run."""
        return read_events(self.run_paths(project, number).journal)

    def host_runs(self) -> list[Path]:
        """Return the folders of runs that lie on the host `local`."""
        return sorted((self.home / ".nasexp" / "runs").glob("*"))
