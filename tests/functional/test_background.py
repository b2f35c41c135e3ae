"""A driver in the background owns the run; whoever looks on may come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from nasexp.runs.journal import read_events
from nasexp.runs.locking import has_driver
from nasexp.runs.record import read_record

# Trains until the file `go` is there, and writes down each time that it is started.
WAITING = """\
#!/bin/sh
mkdir -p output
echo $$ >>"$NASEXP_PARAM_STARTS"
echo begun
until [ -e "$NASEXP_PARAM_GO" ]; do sleep 0.05; done
echo made >output/result
echo done
"""


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.02)


class Waiting:
    """A project whose training ends when it is told to."""

    def __init__(self, workspace):
        self.workspace = workspace
        self.go, self.starts = workspace.home / "go", workspace.home / "starts"
        settings = f"params: {{go: {self.go}, starts: {self.starts}}}\ntrain: {{grace: 1s}}\n"
        workspace.add_project("p", "./run.sh", settings, {"run.sh": WAITING})
        self.paths = workspace.run_paths("p")

    def command(self, *words):
        return [sys.executable, "-m", "nasexp", "--workspace", str(self.workspace.root), *words]

    def call(self, *words, **options):
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=60, **options
        )

    def start(self):
        """Start a run, and leave it once its training runs; return its driver's pid."""
        viewer = subprocess.Popen(self.command("run"), stdout=subprocess.PIPE)
        wait_until(self.starts.exists)
        viewer.send_signal(signal.SIGINT)
        self.left = viewer.communicate(timeout=30)[0].decode()
        assert viewer.returncode == 0
        return self.driver()

    def driver(self):
        return int(self.paths.driver.read_text().split()[0])

    def kill_driver(self):
        os.kill(self.driver(), signal.SIGKILL)
        wait_until(lambda: not has_driver(self.paths))

    def status(self):
        return read_record(self.paths.folder).status

    def wait_for_end(self):
        wait_until(lambda: self.status() not in ("running", ""))

    def starts_so_far(self):
        return len(self.starts.read_text().split())


@pytest.fixture
def waiting(workspace):
    made = Waiting(workspace)
    yield made
    made.go.touch()
    if made.paths.driver.exists() and has_driver(made.paths):
        made.wait_for_end()


def test_run_in_the_background_tells_the_same_as_in_the_foreground(waiting):
    waiting.go.touch()
    done = waiting.call("run")

    assert done.returncode == 0, done.stderr
    for text in (
        "connect   ok",
        "|         begun",
        "|         done",
        "collect   ok",
        "p/run_0: ok",
    ):
        assert text in done.stdout
    assert not [name for name in os.listdir(waiting.paths.folder) if name.startswith(".")]


def test_ctrl_c_leaves_the_run_alone_and_says_how_to_come_back(waiting):
    driver = waiting.start()

    assert "nasexp attach p/run_0" in waiting.left
    assert "nasexp stop p/run_0" in waiting.left
    assert os.getsid(driver) == driver, "a session of its own"
    waiting.go.touch()
    waiting.wait_for_end()
    assert waiting.status() == "ok"


def test_a_viewer_that_is_killed_is_none_of_the_runs_business(waiting):
    viewer = subprocess.Popen(waiting.command("run"), stdout=subprocess.DEVNULL)
    wait_until(waiting.starts.exists)
    viewer.kill()
    viewer.wait()
    waiting.go.touch()
    waiting.wait_for_end()

    assert (waiting.status(), waiting.starts_so_far()) == ("ok", 1)


def test_attach_follows_to_the_end_and_has_the_runs_exit_code(waiting):
    waiting.start()
    attached = subprocess.Popen(waiting.command("attach"), stdout=subprocess.PIPE, text=True)
    assert "connect   ok" in attached.stdout.readline()
    waiting.go.touch()
    told = attached.communicate(timeout=30)[0]

    assert attached.returncode == 0
    assert "|         done" in told
    assert "p/run_0: ok" in told


def test_attach_to_a_run_that_failed_has_its_exit_code(workspace):
    workspace.add_project("p", "exit 3")
    workspace.nasexp("run").assert_code(6)

    workspace.nasexp("attach").assert_code(6, "exit code 3", "log.log")


def test_a_driver_that_was_killed_is_told_and_resumed_without_a_second_start(waiting):
    waiting.start()
    waiting.kill_driver()
    attached = waiting.call("attach")
    assert attached.returncode == 1
    assert "hint:  drive it on: nasexp resume p/run_0" in attached.stderr

    waiting.go.touch()
    done = waiting.call("resume", "p/run_0")

    assert done.returncode == 0, done.stderr
    assert (waiting.status(), waiting.starts_so_far()) == ("ok", 1)
    assert waiting.paths.log.read_text() == "begun\ndone\n"
    names = [event.name for event in read_events(waiting.paths.journal)]
    assert [
        names.count(name) for name in ("training.started", "training.ended", "run.finished")
    ] == [1, 1, 1]


def test_a_killed_driver_leaves_a_training_that_ends_alone_and_is_billed_truly(waiting):
    waiting.start()
    waiting.kill_driver()
    waiting.go.touch()
    (run,) = waiting.workspace.host_runs()
    wait_until((run / "segments/1/exit").exists)
    ended = time.time()
    assert waiting.call("resume", "p/run_0").returncode == 0

    record = read_record(waiting.paths.folder)
    assert abs(record.ended.timestamp() - ended) < 3


def test_resume_drives_all_that_lost_their_driver(waiting):
    waiting.start()
    waiting.kill_driver()
    done = waiting.call("resume")

    assert (done.returncode, done.stdout) == (0, "p/run_0 is driven on\n")
    assert has_driver(waiting.paths)
    assert waiting.call("resume").stdout == "no run has lost its driver\n"
    waiting.go.touch()
    waiting.wait_for_end()
    assert (waiting.status(), waiting.starts_so_far()) == ("ok", 1)


def test_there_is_one_driver_for_a_run(waiting):
    waiting.start()
    done = waiting.call("resume", "p/run_0")

    assert done.returncode == 1
    assert "is driven by another process" in done.stderr


def test_resume_keeps_the_settings_that_the_run_began_with(waiting):
    waiting.start()
    waiting.kill_driver()
    project = waiting.workspace.root / "projects/p/project.yaml"
    project.write_text("run: ./other.sh\noutput: elsewhere\n")
    waiting.go.touch()

    assert waiting.call("resume", "p/run_0").returncode == 0
    assert (waiting.paths.output / "result").read_text() == "made\n"


def test_stop_ends_the_training_and_brings_home_what_it_wrote(waiting):
    waiting.start()
    done = waiting.call("stop", "latest")
    waiting.wait_for_end()

    assert done.stdout == "p/run_0: it is being stopped; what its training has written comes home\n"
    assert waiting.status() == "stopped"
    asked = [e for e in read_events(waiting.paths.journal) if e.name == "stop.asked"]
    assert "@" in asked[0].facts["by"]
    assert waiting.paths.output.is_dir()
    assert not waiting.workspace.host_runs()


def test_stop_finds_a_driver_where_there_is_none(waiting):
    waiting.start()
    waiting.kill_driver()
    done = waiting.call("stop", "latest")
    waiting.wait_for_end()

    assert "had no driver: it has one now" in done.stdout
    assert (waiting.status(), waiting.starts_so_far()) == ("stopped", 1)
    assert not waiting.workspace.host_runs()
    ended = [e for e in read_events(waiting.paths.journal) if e.name == "training.ended"]
    assert [event.facts["why"] for event in ended] == ["stopped"]


def test_extend_finds_a_driver_where_there_is_none(waiting):
    waiting.start()
    waiting.kill_driver()
    done = waiting.call("extend", "latest", "1h")

    assert (done.returncode, done.stderr) == (0, "")
    waiting.go.touch()
    waiting.wait_for_end()
    assert waiting.status() == "ok"


def test_extend_moves_the_timeout_of_a_running_training(waiting):
    (waiting.workspace.root / "nasexp.yaml").write_text("timeout: 3s\n")
    waiting.start()
    assert waiting.call("extend", "latest", "1h").returncode == 0
    wait_until(lambda: "timeout.extended" in waiting.paths.journal.read_text())
    wait_until(lambda: training_age(waiting) > 4)
    waiting.go.touch()
    waiting.wait_for_end()

    assert waiting.status() == "ok"


def training_age(waiting):
    return time.time() - read_record(waiting.paths.folder).started.timestamp()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["extend", "latest", "soon"], "'soon' is not a duration"),
        (["close-run", "latest", "--end", "2999-01-01", "--why", "x"], "is still to come"),
        (["close-run", "latest", "--end", "yesterday", "--why", "x"], "is no moment"),
    ],
)
def test_what_cannot_be_asked_of_a_live_run(waiting, words, text):
    waiting.start()
    done = waiting.call(*words)

    assert done.returncode == 2
    assert text in done.stderr
    assert not waiting.paths.requests.exists()


@pytest.mark.parametrize("words", [["stop"], ["extend"], ["close-run"]])
def test_nothing_is_asked_of_a_run_that_has_ended(workspace, words):
    workspace.add_project("p", "true")
    workspace.nasexp("run").assert_ok()
    more = {"extend": ["1h"], "close-run": ["--end", "2026-01-01", "--why", "x"]}

    workspace.nasexp(*words, "latest", *more.get(words[0], [])).assert_code(
        2, "has ended already: ok"
    )


def test_a_driver_that_cannot_open_a_run_says_so(workspace):
    workspace.add_project("p", "true")
    (workspace.root / "projects/p/results").write_text("no folder")
    command = [sys.executable, "-m", "nasexp", "--workspace", str(workspace.root), "run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert done.returncode == 1
    assert "cannot make a run's folder" in done.stderr


def test_the_driver_ends_with_its_run(waiting):
    driver = waiting.start()
    waiting.go.touch()
    waiting.wait_for_end()

    wait_until(lambda: not os.path.exists(f"/proc/{driver}") or is_dead(driver))
    assert waiting.status() == "ok"


def is_dead(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_a_frozen_driver_that_thaws_changes_nothing_any_more(waiting):
    """Its lock is lost as on a file system without locks: another driver takes over."""
    frozen = waiting.start()
    os.kill(frozen, signal.SIGSTOP)
    waiting.paths.driver.unlink()
    waiting.go.touch()
    assert waiting.call("resume", "p/run_0").returncode == 0
    before = waiting.paths.journal.read_bytes()
    os.kill(frozen, signal.SIGCONT)
    wait_until(lambda: not os.path.exists(f"/proc/{frozen}") or is_dead(frozen))

    assert waiting.paths.journal.read_bytes() == before
    assert waiting.paths.log.read_text() == "begun\ndone\n"
    assert waiting.status() == "ok"


def test_a_secret_reaches_the_training_and_nothing_else(waiting, monkeypatch):
    canary = "c4n4ry-'$HOME'-\"x\""
    monkeypatch.setenv("MY_TOKEN", canary)
    project = waiting.workspace.root / "projects/p/project.yaml"
    with project.open("a") as file:
        file.write("secrets: {HF_TOKEN: {env: MY_TOKEN}}\n")
    (project.parent / "bin/run.sh").write_text(
        WAITING.replace("echo begun", 'printf %s "$HF_TOKEN" | wc -c')
    )
    waiting.start()
    (folder,) = waiting.workspace.host_runs()
    held = [path for path in folder.rglob("*") if path.is_file() and canary in read(path)]
    waiting.go.touch()
    waiting.wait_for_end()

    assert waiting.paths.log.read_text() == f"{len(canary)}\ndone\n"
    kept = [path for path in waiting.paths.folder.rglob("*") if path.is_file()]
    assert held == [path for path in kept if "c4n4ry" in read(path)] == []


def read(path):
    return path.read_bytes().decode(errors="replace")


def test_a_secret_that_is_not_there_is_told_before_a_run_is_made(workspace):
    workspace.add_project("p", "true", "secrets: {HF_TOKEN: {env: NO_SUCH_VARIABLE}}")

    workspace.nasexp("run").assert_code(2, "secrets.HF_TOKEN: the variable NO_SUCH_VARIABLE is not")
    assert not workspace.run_paths("p").folder.exists()


def test_a_run_that_has_ended_is_not_driven_again(workspace):
    workspace.add_project("p", "true")
    workspace.nasexp("run").assert_ok()
    before = workspace.run_paths("p").journal.read_bytes()

    workspace.nasexp("resume", "p/run_0").assert_code(2, "p/run_0 has ended already: ok")
    assert workspace.run_paths("p").journal.read_bytes() == before


def test_an_end_that_only_the_journal_has_is_told_again(workspace):
    workspace.add_project("p", "exit 3")
    workspace.nasexp("run").assert_code(6)
    paths = workspace.run_paths("p")
    told, journal = paths.info.read_text(), paths.journal.read_bytes()
    paths.info.write_text(told.replace("status|failed", "status|running"))
    command = [sys.executable, "-m", "nasexp", "--workspace", str(workspace.root), "resume"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.stdout == "p/run_0 is driven on\n", done.stderr
    wait_until(lambda: paths.info.read_text() == told)
    assert paths.journal.read_bytes() == journal


def test_a_shell_that_is_killed_on_the_host_is_no_end_of_the_run(waiting, monkeypatch, tmp_path):
    """The first look that meets the trap loses its shell, as to a host that runs out of memory."""
    trap = tmp_path / "boom"
    (tmp_path / "date").write_text(
        f'#!/bin/sh\n[ ! -e {trap} ] || {{ rm {trap}; kill -9 $PPID; }}\nexec /bin/date "$@"\n'
    )
    (tmp_path / "date").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    waiting.start()
    trap.touch()
    wait_until(lambda: not trap.exists())
    waiting.go.touch()
    waiting.wait_for_end()

    assert (waiting.status(), waiting.starts_so_far()) == ("ok", 1)


@pytest.mark.parametrize("hook", ["nasexp_stage_started", "nasexp_archive"])
def test_a_plugin_that_exits_does_not_take_the_driver_along(workspace, hook):
    folder = workspace.add_project("p", "true")
    (folder / "plugin.py").write_text(
        f"from nasexp import hookimpl\n\n@hookimpl\ndef {hook}(run):\n    raise SystemExit(0)\n"
    )
    called = workspace.nasexp("run")

    assert called.exit_code == {"nasexp_stage_started": 4, "nasexp_archive": 3}[hook], called
    assert workspace.record("p").status in ("ok", "failed")
    assert "plugin.py" in called.output + called.errors


@pytest.mark.parametrize(
    "text", ["exit_code|²", "exit_code|--5", "warnings|²", "exit_code|" + "9" * 5000]
)
def test_a_damaged_run_info_stops_no_listing(workspace, text):
    workspace.add_project("p", "true")
    workspace.nasexp("run").assert_ok()
    with workspace.run_paths("p").info.open("a") as file:
        file.write(text + "\n")

    for command in ("runs", "status", "report", "show"):
        workspace.nasexp(command).assert_ok()


def test_a_secret_that_was_not_kept_is_asked_for_again(waiting):
    waiting.call("run", "--set", "params.hf_token=REAL", "--set", "timeout=1s")
    record = waiting.paths.info.read_text()
    waiting.paths.info.write_text(record.replace("status|failed", "status|running"))
    lines = waiting.paths.journal.read_bytes().splitlines(keepends=True)
    waiting.paths.journal.write_bytes(b"".join(lines[:3]))
    done = waiting.call("resume", "p/run_0")

    assert done.returncode == 2
    assert "NASEXP__PARAMS__HF_TOKEN" in done.stderr
