"""How long the command line takes to start, and a whole trivial run, against Invoke alone.

    python -m benchmarks.cli_startup [--rounds 20] [--check]

The peer is `invoke --list` with a `tasks.py` of one task: what no tool made with Invoke can beat.
`python -c pass` and, where this account can log in to itself, `ssh localhost true` stand beside.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks._compare import Case, compare, exit_code, parser
from nasexp.runs.paths import RunPaths
from nasexp.runs.record import Record, write_record

ONE_TASK = """
from invoke import task

@task
def hello(c):
    \"\"\"Say hello.\"\"\"
"""
OURS = "from nasexp.cli.invoke_front import collection\n\nns = collection()\n"
RUNS = 100


def main() -> int:
    """Measure, print, and tell by the exit code when asked to."""
    arguments = parser(__doc__, rounds=20).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOME"] = name  # the host `local` keeps its runs there
        results = compare("start-up", "invoke --list, one task", cases(folder), arguments.rounds)
    return exit_code(results, check=arguments.check)


def cases(folder: Path) -> list[Case]:
    """Make what is measured: a folder with one task, workspaces with many runs and with one."""
    one_task = folder / "one_task"
    one_task.mkdir()
    (one_task / "tasks.py").write_text(ONE_TASK)
    many, trivial = make_workspace(folder / "many"), make_workspace(folder / "trivial")
    make_runs(many)
    programs = Path(sys.executable).parent
    invoke, nasexp = programs / "invoke", programs / "nasexp"
    made = [
        Case("invoke --list, one task", [invoke, "--search-root", one_task, "--list"]),
        Case("invoke --list, nasexp", [invoke, "--search-root", many, "--list"], 1.4),
        Case(
            f"nasexp runs --json, {RUNS} runs", [nasexp, "runs", "--json", "--workspace", many], 0.6
        ),
        Case("nasexp run of `true`", [nasexp, "run", "--workspace", trivial], 3.0),
        Case("python -c pass", [sys.executable, "-c", "pass"]),
    ]
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "localhost", "true"]
    if can_run(ssh):
        made.append(Case("ssh localhost true", ssh))
    return made


def make_workspace(folder: Path) -> Path:
    """Write a workspace with one project that does nothing."""
    code = folder / "projects" / "p" / "bin"
    code.mkdir(parents=True)
    (code / "readme").write_text("nothing to do\n")
    (folder / "nasexp.yaml").write_text("timeout: 1h\n")
    (folder / "tasks.py").write_text(OURS)
    (code.parent / "project.yaml").write_text('run: "true"\n')
    return folder


def make_runs(workspace: Path) -> None:
    """Write so many finished runs."""
    moment = datetime(2026, 11, 24, tzinfo=UTC)
    for number in range(RUNS):
        folder = workspace / "projects" / "p" / "results" / f"run_{number}"
        folder.mkdir(parents=True)
        record = Record(
            address=f"p/run_{number}",
            id=f"{number:032x}",
            status="ok",
            started=moment,
            ended=moment,
            seconds=1.5,
            columns={"accuracy": "0.98"},
        )
        write_record(RunPaths(folder), record)


def can_run(command: list[str]) -> bool:
    """Whether a command can be started here and ends well."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    raise SystemExit(main())
