"""Two of everything at once, with the windows held open: one wins, the others do nothing."""

from __future__ import annotations

import pytest
from kept_jobs import wait_until

from nasexp.host.states import Known, ending_of
from nasexp.values import Why

RUN_AND_TELL = "echo $$ >>ran; "


def times_run(job):
    path = job.folder / "work/ran"
    return len(path.read_text().split()) if path.exists() else 0


@pytest.mark.parametrize("turn", range(20))
def test_two_launches_at_once_run_it_once(any_job, turn):
    any_job.prepare(RUN_AND_TELL + "exit 7")
    both = [any_job.start_verb("launch") for _ in range(2)]
    for process in both:
        assert process.wait(20) == 0

    assert any_job.wait()[:2] == ["exit", "7"]
    assert times_run(any_job) == 1
    wait_until(lambda: not any_job.processes(ours=True))


def test_two_runners_meet_in_the_gate(job):
    """Each believes that nobody was there before it."""
    job.prepare(RUN_AND_TELL + "exit 7")
    job.segment.mkdir(parents=True)
    held = job.hold("ln", "segments/1/start")
    both = [job.start_verb("runner") for _ in range(4)]
    try:
        held.wait(1 if "busybox" in job.shell else 4)
        held.let_go()
        assert [process.wait(20) for process in both] == [0, 0, 0, 0]
        assert times_run(job) == 1
        assert job.wait("ended")[0] == "7"
    finally:
        for process in both:
            process.kill()
            process.wait()


def test_a_launch_while_the_runner_is_before_the_gate(any_job):
    held = any_job.hold("dd", "segments/1/start.")
    any_job.launch(RUN_AND_TELL + "exit 7")
    held.wait()
    any_job.again()
    held.let_go()

    assert any_job.wait()[:2] == ["exit", "7"]
    assert times_run(any_job) == 1


def test_a_launch_after_the_warden_died_while_the_runner_is_before_the_gate(any_job):
    held = any_job.hold("dd", "segments/1/start.")
    any_job.launch(RUN_AND_TELL + "exit 7")
    held.wait()
    any_job.kill(*any_job.pids("launching"))
    any_job.again()
    held.wait(2)
    held.let_go()

    assert any_job.wait()[:2] == ["exit", "7"]
    assert times_run(any_job) == 1


def test_of_many_adopters_one_watches(any_job):
    any_job.launch("sleep 60")
    any_job.wait("start")
    any_job.kill(any_job.warden)
    held = any_job.hold("ln", "segments/1/warden")
    several = [any_job.start_verb("adopt") for _ in range(5)]
    for process in several:
        assert process.wait(20) == 0
    held.wait(5)
    held.let_go()

    wait_until(lambda: len(any_job.pids("adopting")) == 1)
    (any_job.folder / "cancel").write_text("now\n")
    assert any_job.wait()[0] == "stopped"
    assert len(list(any_job.segment.glob("warden*"))) == 2


def test_cancel_meets_the_end(any_job, connection):
    held = any_job.hold("dd", "segments/1/ended.")
    any_job.launch(RUN_AND_TELL + "exit 7")
    held.wait()
    (any_job.folder / "cancel").touch()
    any_job.wait("reason")
    held.let_go()

    ending = ending_of(any_job.drive(connection), Known())
    assert (ending.why, ending.exit_code) == (Why.STOPPED, 7)


def test_the_first_exit_stands(any_job):
    held = any_job.hold("ln", "segments/1/exit")
    any_job.launch("exit 7")
    held.wait()
    (any_job.segment / "exit").write_text("stopped none 1 none - 1\n")
    held.let_go()
    wait_until(lambda: not any_job.processes(ours=True))

    assert any_job.words("exit")[0] == "stopped"
