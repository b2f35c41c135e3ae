"""Jobs of the host agent in folders of a test, and programs that wait where they are told to."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from nasexp.host.probe import probe
from nasexp.host.states import Step, derive, next_step
from nasexp.testing.processes import kill_marked

AGENT = Path(__file__).parents[2] / "nasexp" / "host" / "agent.sh"
SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "--posix"],
    "busybox": ["busybox", "sh"],
    "zsh": ["zsh", "--emulate", "sh"],
}


@contextlib.contextmanager
def made(tmp_path, shell):
    job = Job(tmp_path / "run", shell)
    try:
        yield job
    finally:
        kill_marked(f"NASEXP_TEST={job.mark}".encode())


def wait_until(condition, seconds=20.0, what=""):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, what or "it does not come true"
        time.sleep(0.01)
    return found


def is_alive(pid):
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2]
        return text.split()[0] not in ("Z", "X")
    return False


def ticks_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


class Held:
    """A program that waits at a certain call until it is let go."""

    def __init__(self, job, program, words):
        self.folder = job.folder.parent / f"held-{program}-{time.monotonic_ns()}"
        self.folder.mkdir()
        patterns = "|".join(f"*'{word}'*" for word in words)
        script = self.folder / program
        script.write_text(f"""#!/bin/sh
case "$*" in {patterns})
  : >"{self.folder}/at.$$"
  while [ ! -e "{self.folder}/go" ]; do sleep 0.02; done ;;
esac
exec {shutil.which(program)} "$@"
""")
        script.chmod(0o755)
        self.path = f"{self.folder}:{job.env['PATH']}"
        job.env["PATH"] = self.path

    def wait(self, count=1):
        """Wait until so many have come there."""
        wait_until(lambda: len(list(self.folder.glob("at.*"))) >= count, what="nobody came there")

    def let_go(self):
        (self.folder / "go").touch()


class Job:
    """One run's folder, and the agent that keeps its job."""

    def __init__(self, folder, shell):
        self.folder = folder
        self.shell = shell
        self.segment = folder / "segments" / "1"
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.id = f"test{self.mark}"
        self.env = os.environ | {"NASEXP_SH": " ".join(shell), "NASEXP_TEST": self.mark}
        # Root could make control groups; the way without them is the one to be tested.
        self.env["NASEXP_CGROUPS"] = ""
        (folder / "work").mkdir(parents=True)

    def prepare(self, command, timeout="never", grace=1):
        spec = f"version=2\nid={self.id}\ntimeout={timeout}\ngrace={grace}\n"
        (self.folder / "spec").write_text(spec)
        (self.folder / "command").write_text(command)

    def launch(self, command, timeout="never", grace=1):
        self.prepare(command, timeout, grace)
        self.again()

    def again(self, **env):
        self.call("launch", **env).check_returncode()

    def adopt(self):
        self.call("adopt").check_returncode()

    def call(self, verb, *more, **env):
        words = [*self.shell, str(AGENT), verb, str(self.folder), *more]
        return subprocess.run(words, timeout=20, env=self.env | env, capture_output=True, text=True)

    def start_verb(self, verb, **env):
        words = [*self.shell, str(AGENT), verb, str(self.folder)]
        return subprocess.Popen(words, env=self.env | env)

    def file(self, name):
        path = self.segment / name
        with contextlib.suppress(FileNotFoundError):
            return path.read_text(errors="replace")
        return None

    def words(self, name):
        return (self.file(name) or "").split()

    def wait(self, name="exit", seconds=20):
        wait_until(lambda: self.words(name), seconds, f"{name} never came")
        return self.words(name)

    def wait_for_text(self, text):
        wait_until(lambda: text in (self.file("log") or ""), what=f"{text!r} was never printed")

    @property
    def warden(self):
        newest = max(self.segment.glob("warden*"), key=lambda path: path.stat().st_mtime_ns)
        return int(newest.read_text().split()[0])

    @property
    def runner(self):
        return int(self.words("start")[2])

    def processes(self, *, ours=False):
        """The pids of the job; with `ours` those of the agent that keep it instead."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                variables = (path / "environ").read_bytes().split(b"\0")
                words = (path / "cmdline").read_bytes()
                marked = f"NASEXP_TEST={self.mark}".encode() in variables
                agent = str(AGENT).encode() in words
                if marked and agent == ours and is_alive(path.name):
                    found.append(int(path.name))
        return found

    def pids(self, *verbs):
        """The pids of the agent's own processes that do one of these."""
        found = []
        for pid in self.processes(ours=True):
            with contextlib.suppress(OSError, ValueError):  # it ends, or becomes another program
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                if words[words.index(str(AGENT)) + 1] in verbs:
                    found.append(pid)
        return found

    def hold(self, program, *words):
        """Let a program wait whenever its arguments hold one of these words; returns a Held."""
        return Held(self, program, words)

    def drive(self, connection, seconds=30):
        """Do what a driver does until the end is known; returns the last probe."""

        def take_a_step():
            found = probe(connection, str(self.folder))
            step = next_step(derive(found), found)
            if step in {Step.LAUNCH, Step.UPLOAD}:
                self.again()
            elif step is Step.ADOPT:
                self.adopt()
            return found if step in {Step.COLLECT, Step.ALARM} else None

        return wait_until(take_a_step, seconds, "the job never ended")

    def kill(self, *pids):
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            wait_until(lambda pid=pid: not is_alive(pid))
