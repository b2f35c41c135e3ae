"""The agent's processes are killed at every step: one end, told truly, and never run twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from kept_jobs import is_alive, ticks_of, wait_until

from nasexp.host.probe import probe
from nasexp.host.states import Known, derive, ending_of
from nasexp.values import State, Why

RUN_AND_TELL = "echo $$ >>ran; echo ran; "


def times_run(job):
    path = job.folder / "work/ran"
    return len(path.read_text().split()) if path.exists() else 0


def test_a_warden_that_is_killed_leaves_the_runners_word(job, connection):
    job.launch(RUN_AND_TELL + "sleep 1; exit 3")
    job.wait("start")
    job.kill(job.warden)
    found = probe(connection, str(job.folder))
    assert derive(found) is State.UNWATCHED
    job.wait("ended")
    assert job.file("exit") is None

    found = job.drive(connection)
    assert ending_of(found, Known()).exit_code == 3
    assert 0.9 < ending_of(found, Known()).seconds < 3
    assert times_run(job) == 1


def test_a_warden_that_is_adopted_keeps_the_deadline(job, connection):
    job.launch(RUN_AND_TELL + "sleep 60", timeout=300)
    job.wait("start")
    job.kill(job.warden)
    job.adopt()

    ending = ending_of(job.drive(connection), Known())
    assert (ending.why, times_run(job)) == (Why.TIMEOUT, 1)
    assert 3 <= ending.seconds < 6
    assert len(list(job.segment.glob("warden*"))) == 2


def test_the_deadline_is_held_without_a_warden(job, connection):
    job.launch(RUN_AND_TELL + "trap '' TERM; sleep 60", timeout=100)
    job.wait("start")
    job.kill(job.warden)

    code, ended = job.wait("ended")
    assert int(ended) - int(job.words("start")[0]) < 900  # a round of the deputy, and the grace
    assert job.words("reason") == ["timeout"]
    ending = ending_of(job.drive(connection), Known())
    assert (ending.why, ending.exit_code) == (Why.TIMEOUT, int(code))


def test_a_warden_that_hangs_does_not_keep_the_deadline_away(any_job, connection):
    any_job.launch("sleep 60", timeout=100, grace=0)
    any_job.wait("start")
    warden = any_job.warden
    os.kill(warden, signal.SIGSTOP)

    any_job.wait("ended", seconds=40)
    assert any_job.words("reason") == ["timeout"]
    os.kill(warden, signal.SIGCONT)
    assert any_job.wait()[0] == "timeout"


def test_cancel_is_obeyed_without_a_warden(job, connection):
    job.launch("sleep 60")
    job.wait("start")
    job.kill(job.warden)
    (job.folder / "cancel").touch()

    job.wait("ended")
    assert ending_of(job.drive(connection), Known()).why is Why.STOPPED


def test_a_runner_that_is_killed_is_told_and_its_tree_ended(job):
    job.launch(RUN_AND_TELL + "sleep 60")
    job.wait_for_text("ran")
    job.kill(job.runner)

    assert job.wait()[:2] == ["lost", "none"]
    wait_until(lambda: job.processes() == [], seconds=8)  # a nap of the deputy is the longest
    assert times_run(job) == 1


def test_when_both_are_killed_an_adopter_ends_the_tree_and_says_lost(job, connection):
    job.launch(RUN_AND_TELL + "sleep 60")
    job.wait_for_text("ran")
    job.kill(job.warden, job.runner)

    found = probe(connection, str(job.folder))
    assert derive(found) is State.ENDING
    assert job.processes()
    assert ending_of(job.drive(connection), Known()).why is Why.LOST
    wait_until(lambda: job.processes() == [], seconds=8)  # a nap of the deputy is the longest
    assert times_run(job) == 1


def test_an_end_that_nobody_saw_is_bounded(job, connection):
    job.launch("exec sleep 60")
    job.wait("beat.a")
    [child] = job.wait("child")
    job.kill(job.warden, job.runner, int(child))
    wait_until(lambda: not job.pids("deputy"), seconds=8)
    killed = time.monotonic()
    wait_until(lambda: time.monotonic() > killed + 1)

    ending = ending_of(job.drive(connection), Known())
    assert ending.why is Why.LOST
    assert ending.latest_seconds > ending.seconds + 1


STEPS = {
    "before it says who it is": ("dd", "segments/1/runner"),
    "before the gate": ("dd", "segments/1/start."),
    "in the gate": ("ln", "segments/1/start"),
    "right behind the gate": ("dd", "segments/1/start conv=notrunc"),
    "before the command": ("dd", "run/deadline"),
    "before its last word": ("dd", "segments/1/ended."),
}


@pytest.mark.parametrize("victims", [("runner",), ("launching",), ("runner", "launching")])
@pytest.mark.parametrize("step", STEPS)
def test_whoever_is_killed_at_whatever_step(any_job, connection, step, victims):
    job = any_job
    program, word = STEPS[step]
    held = job.hold(program, word)
    job.launch(RUN_AND_TELL + "exit 5")
    held.wait()
    job.kill(*job.pids(*victims))
    # What a driver does about it, while the one who was held may go on.
    held.let_go()
    ending = ending_of(job.drive(connection), Known())

    assert times_run(job) <= 1
    if "runner" in victims and "gate" not in step.partition("behind")[0] and times_run(job) == 0:
        assert ending.why is Why.LOST
    assert (ending.why, ending.exit_code) in {(Why.EXIT, 5), (Why.LOST, None)}
    if ending.why is Why.EXIT:
        assert times_run(job) == 1
    if "runner" not in victims:
        assert ending.why is Why.EXIT
    if step in {"before it says who it is", "before the gate"}:
        assert ending.why is Why.EXIT, "no gate was passed: it is launched again"


def test_a_foreign_process_with_the_runners_pid_is_not_taken_for_it(job, connection):
    foreign = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        boot = boot_id()
        job.prepare("echo never")
        job.segment.mkdir(parents=True)
        ticks = int(ticks_of(foreign.pid)) - 1
        (job.segment / "runner").write_text(f"{foreign.pid} {ticks} {boot} 1 1\n")
        (job.segment / "start").write_text(f"100 1795000000 {foreign.pid} {ticks} {boot}\n")
        job.again()

        found = job.drive(connection)
        assert ending_of(found, Known()).why is Why.LOST
        assert is_alive(foreign.pid)
        assert job.file("log") is None
    finally:
        foreign.kill()
        foreign.wait()


@pytest.mark.parametrize("pid", ["0", "1", "", "-1", "x"])
def test_a_runner_file_that_is_nonsense_ends_nobody(job, pid):
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        job.prepare("echo never")
        job.segment.mkdir(parents=True)
        (job.segment / "runner").write_text(f"{pid} 5 {boot_id()}\n")
        (job.segment / "start").write_text("100 1795000000\n")
        job.adopt()
        wait_until(lambda: not job.pids("adopting"))

        assert sleeper.poll() is None
        assert is_alive(os.getpid())
    finally:
        sleeper.kill()
        sleeper.wait()


def test_what_another_boot_started_is_left_alone(job, connection):
    job.prepare("echo never")
    job.segment.mkdir(parents=True)
    (job.segment / "start").write_text(
        f"100 1795000000 {os.getpid()} {ticks_of(os.getpid())} other\n"
    )
    job.again()
    job.adopt()
    wait_until(lambda: not job.processes(ours=True))

    assert job.file("exit") is None
    assert job.file("log") is None
    assert derive(probe(connection, str(job.folder))) is State.REBOOTED


def test_a_respawner_is_ended(job):
    (job.folder / "work/again").write_text("sleep 0.15\nsetsid sh again &\n")
    job.launch("setsid sh again & setsid sh again & sleep 60")
    job.wait("start")
    wait_until(lambda: len(job.processes()) >= 4)
    (job.folder / "cancel").write_text("now\n")

    assert job.wait(seconds=40)[3] == "none"
    wait_until(lambda: job.processes() == [], seconds=8)  # a nap of the deputy is the longest


def test_a_child_without_our_cookie_is_ended_too(job):
    job.launch(
        "env -i sleep 61.5 & (exec env -i sh -c 'sleep 61.5 & wait') & echo up; exec env -i sleep 61.5"
    )
    job.wait_for_text("up")
    [child] = job.wait("child")
    before = subprocess.run(["pgrep", "-s", str(job.runner)], capture_output=True, text=True)
    (job.folder / "cancel").write_text("now\n")
    job.wait()

    assert len(before.stdout.split()) >= 3
    for pid in before.stdout.split():
        wait_until(lambda pid=pid: not is_alive(pid))
    assert not is_alive(child)


def boot_id():
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
