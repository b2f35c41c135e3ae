"""The host agent by itself, under every shell that a host may have as /bin/sh."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[2] / "nasexp" / "host" / "agent.sh"
SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "--posix"],
    "busybox": ["busybox", "sh"],
    "zsh": ["zsh", "--emulate", "sh"],
}


@pytest.fixture(params=SHELLS)
def shell(request):
    command = SHELLS[request.param]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is missing")
    return command


@pytest.fixture
def job(tmp_path, shell):
    return Job(tmp_path / "run", shell)


class Job:
    def __init__(self, folder, shell):
        self.folder = folder
        self.shell = shell
        (folder / "work").mkdir(parents=True)

    def launch(self, command, timeout="never", grace=1):
        spec = f"version=1\nid={self.folder.name}-{id(self):x}\ntimeout={timeout}\ngrace={grace}\n"
        (self.folder / "spec").write_text(spec)
        (self.folder / "command").write_text(command)
        self.again()

    def again(self):
        subprocess.run(
            [*self.shell, str(AGENT), "launch", str(self.folder)], check=True, timeout=20
        )

    def file(self, name):
        path = self.folder / "segments" / "1" / name
        return path.read_text() if path.exists() else None

    def wait(self, name="exit", seconds=20):
        deadline = time.monotonic() + seconds
        while self.file(name) is None:
            assert time.monotonic() < deadline, f"{name} never came"
            time.sleep(0.01)
        return self.file(name).split()


def test_the_exit_code_is_exact(job):
    job.launch("echo out; echo err >&2; exit 7")

    why, code, _, survivors = job.wait()
    assert (why, code, survivors) == ("exit", "7", "none")
    assert job.file("log") == "out\nerr\n"


def test_a_signal_is_told_from_an_exit(job):
    job.launch("kill -9 $$")

    assert job.wait()[:2] == ["signal", "137"]


def test_the_command_runs_once_however_often_it_is_launched(job):
    job.launch("echo ran; sleep 0.3")
    for _ in range(3):
        job.again()
    job.wait()
    job.again()

    assert job.file("log") == "ran\n"


def test_a_closed_gate_is_never_passed(job):
    segment = job.folder / "segments" / "1"
    segment.mkdir(parents=True)
    (segment / "start").write_text("- -\n")
    job.launch("echo ran")

    assert job.file("log") is None
    assert job.file("runner") is None


def test_the_deadline_ends_the_whole_tree(job):
    job.launch("(trap '' TERM; sleep 60 & wait; sleep 60) & setsid sleep 60 & sleep 60", timeout=50)

    why, _, ended, survivors = job.wait()
    started = job.file("start").split()[0]
    assert (why, survivors) == ("timeout", "none")
    assert 50 <= int(ended) - int(started) < 400


def test_cancel_ends_it_and_lets_it_clean_up(job):
    job.launch("trap 'echo cleaned; exit 5' TERM; echo up; while :; do sleep 0.05; done", grace=5)
    job.wait("log")
    while "up" not in job.file("log"):
        time.sleep(0.01)
    (job.folder / "cancel").touch()

    assert job.wait()[:2] == ["stopped", "5"]
    assert job.file("log").startswith("up\n")
    assert job.file("log").endswith("cleaned\n")


def test_what_outlives_the_command_is_ended(job):
    job.launch("(setsid sleep 60 >/dev/null 2>&1 &); echo done")

    assert job.wait()[0] == "exit"
    assert subprocess.run(["pgrep", "-f", "sleep 60$"], capture_output=True).returncode in (0, 1)


def test_a_runner_that_is_killed_is_told_and_its_tree_ended(job):
    job.launch("echo $$; sleep 60")
    runner = job.wait("runner")[0]
    job.wait("start")
    subprocess.run(["kill", "-9", runner], check=True)

    assert job.wait()[:2] == ["lost", "none"]


def test_a_warden_that_is_killed_leaves_the_runners_word(job):
    job.launch("sleep 0.5; exit 3")
    warden = job.wait("warden")[0]
    job.wait("start")
    subprocess.run(["kill", "-9", warden], check=True)

    assert job.wait("ended")[0] == "3"


def test_the_agent_writes_nothing_that_others_can_read(job):
    job.launch("umask; touch made")
    job.wait()

    assert (job.folder / "segments/1/exit").stat().st_mode & 0o077 == 0
    assert (job.folder / "work/made").stat().st_mode & 0o777 == 0o644
