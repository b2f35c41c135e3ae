"""A terminal, pipe or file that goes away under a run: the run goes on, and all of it comes home."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time

import pytest

from nasexp.cli.context import CommandContext
from nasexp.cli.outlet import Outlet
from nasexp.stopping import StopSwitch

TRAINING = (
    "mkdir output; echo be''gun; until [ -e ../go ]; do sleep 0.02; done; "
    "seq 300; echo x >output/x; seq 300"
)
VIEWS = [{"TERM": "xterm"}, {"TERM": "xterm", "NO_COLOR": "1"}]
VIEW_NAMES = ["live", "plain"]


@pytest.fixture
def project(workspace):
    """Project p goes on when the test says so; the backups have something to tell meanwhile."""
    workspace.add_project("p", TRAINING, "backup: {every: 0.2s}")
    yield workspace
    for folder in workspace.host_runs():
        (folder / "go").touch()  # where the test failed, nobody else ends it


def command(workspace):
    return [
        sys.executable,
        "-m",
        "nasexp",
        "--workspace",
        str(workspace.root),
        "run",
        "--foreground",
    ]


def go_on(workspace):
    (workspace.host_runs()[0] / "go").touch()


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_whole(workspace, status="ok"):
    paths = workspace.run_paths("p")
    events = workspace.events("p")
    assert workspace.record("p").status == status
    assert [event.name for event in events][-1] == "run.finished"
    assert [event for event in events if event.name == "collect.done"]
    assert workspace.host_runs() == [], "the host was not cleaned"
    if status == "ok":
        assert (paths.output / "x").read_text() == "x\n"
        assert paths.log.read_bytes().startswith(b"begun\n")
        assert paths.log.read_bytes().endswith(b"\n300\n")
        assert "warning" not in [event.name for event in events]


def notes(workspace):
    return [event.facts["text"] for event in workspace.events("p") if event.name == "note"]


def take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """nasexp on a pseudo-terminal that the test can close."""

    def __init__(self, words, variables, *, controlling):
        self.own, other = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        self.child = subprocess.Popen(
            words,
            stdin=other,
            stdout=other,
            stderr=other,
            env=environment | {"COLUMNS": "100", "LINES": "40"} | variables,
            start_new_session=True,
            preexec_fn=take_terminal if controlling else None,  # noqa: PLW1509 - no threads here
        )
        os.close(other)

    def read_until(self, text):
        seen = b""
        while text not in seen:
            seen += os.read(self.own, 65536)

    def close(self):
        os.close(self.own)


def test_head_ends_neither_the_run_nor_its_driver(project):
    line = f"{' '.join(command(project))}; echo $? >code"
    shell = subprocess.Popen(
        ["sh", "-c", f"({line}) | head -n 1"],
        cwd=project.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(
        lambda: project.run_paths("p").log.exists() and project.run_paths("p").log.read_bytes()
    )
    go_on(project)
    output, errors = shell.communicate(timeout=60)
    wait_for((project.home / "code").exists)

    assert (output.count("\n"), errors) == (1, "")
    assert (project.home / "code").read_text() == "0\n"
    assert_whole(project)
    assert "the output is gone (Broken pipe); the run goes on" in notes(project)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_behind_the_output_is_none_of_the_runs_business(project):
    with open("/dev/full", "wb") as full:
        driver = subprocess.Popen(command(project), stdout=full, stderr=full)
    wait_for(
        lambda: project.run_paths("p").log.exists() and project.run_paths("p").log.read_bytes()
    )
    go_on(project)

    assert driver.wait(60) == 0
    assert_whole(project)
    told = [text for text in notes(project) if "the output is gone (No space left" in text]
    assert len(told) == 1


@pytest.mark.parametrize("variables", VIEWS, ids=VIEW_NAMES)
def test_a_terminal_that_is_gone_ends_nothing(project, variables):
    terminal = Terminal(command(project), variables, controlling=False)
    terminal.read_until(b"begun")
    terminal.close()
    go_on(project)

    assert terminal.child.wait(60) == 0
    assert_whole(project)


@pytest.mark.parametrize("variables", VIEWS, ids=VIEW_NAMES)
def test_a_terminal_that_hangs_up_stops_the_training_in_good_order(project, variables):
    terminal = Terminal(command(project), variables, controlling=True)
    terminal.read_until(b"begun")
    terminal.close()

    assert terminal.child.wait(60) == 130
    assert_whole(project, "stopped")
    assert project.record("p").ending == "stopped by a person"
    assert "stopping the training; what it has written comes home" in notes(project)


def test_under_nohup_a_terminal_that_hangs_up_ends_nothing(project):
    words = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *command(project)]
    terminal = Terminal(words, VIEWS[0], controlling=True)
    terminal.read_until(b"begun")
    terminal.close()
    go_on(project)

    assert terminal.child.wait(60) == 0
    assert_whole(project)


def test_a_second_hang_up_does_not_keep_the_results_away(project):
    project.write({"projects/p/plugin.py": """
        import os, signal
        from nasexp import hookimpl

        @hookimpl(wrapper=True)
        def nasexp_collect():
            os.kill(os.getpid(), signal.SIGHUP)
            return (yield)
        """})  # fmt: skip
    driver = subprocess.Popen(command(project), stdout=subprocess.PIPE, text=True)
    while "begun" not in driver.stdout.readline():
        pass
    driver.send_signal(signal.SIGHUP)
    driver.communicate(timeout=60)

    assert driver.returncode == 130
    assert_whole(project, "stopped")


def test_a_run_without_any_output_goes_well(project):
    line = f"exec {' '.join(command(project))} >&- 2>&-"
    driver = subprocess.Popen(["sh", "-c", line])
    wait_for(
        lambda: project.run_paths("p").log.exists() and project.run_paths("p").log.read_bytes()
    )
    go_on(project)

    assert driver.wait(60) == 0
    assert_whole(project)


def test_a_hang_up_before_the_training_starts_nothing():
    stop = StopSwitch()
    with pytest.raises(KeyboardInterrupt):
        stop.hang_up()
    assert stop.asked


class Broken(io.StringIO):
    """A stream that fails from some write on, and counts how often it was asked."""

    def __init__(self, error, good=0):
        super().__init__()
        self.error, self.good, self.asked = error, good, 0

    def write(self, text):
        self.asked += 1
        if self.asked > self.good:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(5, "Input/output error"),
                                   ValueError("I/O operation on closed file")])  # fmt: skip
def test_a_lost_stream_is_written_to_no_more(error):
    stream = Broken(error, good=1)
    outlet = Outlet(stream)
    for text in ("one", "two", "three"):
        print(text, end="", file=outlet, flush=True)

    assert stream.getvalue() == "one"
    assert stream.asked == 2
    assert outlet.lost in str(error)
    assert not outlet.isatty()


def test_a_slow_reader_is_not_a_lost_one():
    outlet = Outlet(Broken(BlockingIOError(11, "Resource temporarily unavailable")))
    outlet.write("x")

    assert outlet.lost == ""


def test_characters_that_a_stream_cannot_show_are_replaced_in_every_thread():
    raw = io.BytesIO()
    outlet = Outlet(io.TextIOWrapper(raw, encoding="latin-1", write_through=True))
    thread = threading.Thread(target=outlet.write, args=("▶ über",))
    thread.start()
    thread.join()

    assert raw.getvalue() == "? über".encode("latin-1")
    assert outlet.lost == ""


def test_only_a_run_outlives_its_output():
    context = CommandContext(output=Broken(BrokenPipeError(32, "Broken pipe")))
    with pytest.raises(BrokenPipeError):
        context.print("x")
    context.outlive_output()
    context.print("x")

    assert context.lost == "Broken pipe"
