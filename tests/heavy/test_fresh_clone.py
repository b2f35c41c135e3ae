"""What the README promises of a fresh clone, with the real pip: first use, a run, an activated shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]


def call(*command, folder, home=None):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("NASEXP_")
    }
    environment.pop("VIRTUAL_ENV", None)
    if home:
        environment["HOME"] = str(home)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Return a folder with an odd name that holds what git would hand out, and only that."""
    folder = tmp_path_factory.mktemp("clone") / "Meine Läufe"
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = REPOSITORY / name
        if source.is_file():  # not one that was deleted and not yet committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def ready(clone):
    """Return the clone after the first `./inv --list`, and what that said."""
    return call("./inv", "--list", folder=clone)


def test_first_use_says_what_it_does_and_lists_the_tasks(ready, clone):
    again = call("./inv", "--list", folder=clone)

    assert "first use" in ready.stderr
    assert {"run", "runs", "dev.test", "dev.lint"} <= set(ready.stdout.split())
    assert again.stderr == ""
    assert again.stdout == ready.stdout


def test_the_example_runs_as_cloned_and_an_activated_shell_lists_it(ready, clone, tmp_path):
    call("./inv", "run", "--project", "example_proj", folder=clone, home=tmp_path)
    listed = call("sh", "-c", ". .venv/bin/activate && nasexp runs", folder=clone, home=tmp_path)

    run = clone / "projects" / "example_proj" / "results" / "run_0"
    info = dict(line.split("|", 1) for line in (run / "run.info").read_text().splitlines())
    assert info["status"] == "ok"
    assert (run / "log.log").stat().st_size > 0
    assert "run_0" in listed.stdout
