"""A job as a driver sees it: each look mends what is broken, and tells the truth."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kept_jobs import is_alive, wait_until

from nasexp.errors import ConnectionLost, StageError, Superseded
from nasexp.host import programs
from nasexp.host.claims import claim
from nasexp.host.probe import probe
from nasexp.host.states import derive
from nasexp.launchers import agent
from nasexp.launchers.agent import AgentJob, Pace
from nasexp.values import State, Why, Workdir


@pytest.fixture
def home(tmp_path, connection):
    return programs.prepare_host(connection, str(tmp_path / "home"))


@pytest.fixture
def make_job(home, connection, monkeypatch):
    """Returns a function that prepares a run and returns its job; what still runs is ended."""
    monkeypatch.setattr(agent, "MEND_SECONDS", (0.05, 0.2))
    made = []

    def make(command, timeout="never", **options):
        folder = Path(home) / "runs" / f"id{len(made)}"
        (folder / "work").mkdir(parents=True)
        number = time.monotonic_ns()
        (folder / "spec").write_text(
            f"version=2\nid=job{os.getpid()}x{number}\ntimeout={timeout}\ngrace=1\n"
        )
        (folder / "command").write_text(command)
        (folder / "ready").write_text("digest\n")
        made.append(AgentJob(connection, Workdir(str(folder)), **options))
        return made[-1]

    yield make
    for job in made:
        job.claim = None
        live = {State.RUNNING, State.UNWATCHED, State.ENDING}
        if derive(probe(connection, job.workdir.path)) in live:
            job.stop(now=True)
            look_until(job, lambda seen: seen.ending)


def segment_of(job):
    return Path(job.workdir.path, "segments/1")


def look_until(job, condition, offset=0):
    return wait_until(lambda: (seen := job.look(offset)) and condition(seen) and seen)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))


def warden_of(job):
    newest = max(segment_of(job).glob("warden*"))
    return int(newest.read_text().split()[0])


def test_a_look_launches_what_was_never_launched(make_job):
    job = make_job("echo hi; exit 3")

    seen = look_until(job, lambda seen: seen.ending and seen.console)
    assert (seen.state, seen.ending.exit_code, seen.console) == (State.ENDED, 3, b"hi\n")


def test_a_look_adopts_what_has_lost_its_warden(make_job):
    job = make_job("sleep 60", timeout=100_000)
    look_until(job, lambda seen: seen.state is State.RUNNING)
    kill(warden_of(job))

    assert job.look(0).state is State.UNWATCHED
    seen = look_until(job, lambda seen: seen.state is State.RUNNING)
    assert 990 < seen.deadline_left_seconds <= 1000
    assert seen.alive_seconds == pytest.approx(seen.age_seconds, abs=0.1)


def test_a_job_that_does_not_start_is_given_up(make_job, monkeypatch):
    monkeypatch.setattr(agent, "MEND_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(programs, "launch", lambda *words, **more: None)
    job = make_job("echo never")

    with pytest.raises(StageError, match="the job does not start on host 'local'"):
        look_until(job, lambda seen: seen.ending)


def test_who_was_superseded_may_look_but_mends_nothing(make_job, connection, home):
    folder = f"{home}/runs/id0"
    old = claim(connection, folder, 1, "aa")
    job = make_job("sleep 60", timeout=100_000, claim=old)
    look_until(job, lambda seen: seen.state is State.RUNNING)
    claim(connection, folder, 2, "bb")

    assert job.look(0).state is State.RUNNING
    for change in (job.stop, lambda: job.extend(5), lambda: job.set_deadline(None)):
        with pytest.raises(Superseded):
            change()


def test_a_deadline_is_moved_and_the_rest_told(make_job):
    job = make_job("sleep 60", timeout=1000)
    look_until(job, lambda seen: seen.state is State.RUNNING)

    assert 30 < job.extend(25) <= 35
    assert 30 < job.look(0).deadline_left_seconds <= 35
    assert job.extend(-30) < 6
    assert look_until(job, lambda seen: seen.ending).ending.why is Why.TIMEOUT
    with pytest.raises(StageError, match="does not run on host 'local'"):
        job.extend(5)


def test_a_job_without_a_timeout_has_nothing_to_extend(make_job):
    job = make_job("sleep 60")
    look_until(job, lambda seen: seen.state is State.RUNNING)

    assert job.extend(25) is None


def test_stop_now(make_job):
    job = make_job("trap '' TERM; sleep 60")
    look_until(job, lambda seen: seen.state is State.RUNNING)
    job.stop()
    job.stop(now=True)

    ending = look_until(job, lambda seen: seen.ending).ending
    assert (ending.why, ending.exit_code) == (Why.STOPPED, 137)


def test_the_console_comes_from_any_offset_with_what_lies_before(make_job):
    job = make_job("head -c 25600 /dev/urandom")
    look_until(job, lambda seen: seen.ending)
    text = (segment_of(job) / "log").read_bytes()
    for offset in (0, 1, 4095, 4096, 4097, 8192, 25599, 25600):
        seen = job.look(offset)
        assert seen.console == text[offset:]
        assert text[:offset].endswith(seen.before)
        assert bool(seen.before) is bool(offset)


def test_a_new_driver_sees_4_kib_of_what_lies_before(make_job):
    job = make_job("head -c 25600 /dev/urandom")
    look_until(job, lambda seen: seen.ending)

    again = AgentJob(job.connection, job.workdir)
    assert len(again.look(20_000).before) >= 4096
    assert len(again.look(20_000).before) <= 4096
    assert again.look(30_000).console_bytes == 25_600


def test_the_digest_of_the_console(make_job):
    job = make_job("head -c 300000 /dev/urandom")
    look_until(job, lambda seen: seen.ending)

    text = (segment_of(job) / "log").read_bytes()
    assert job.console_digest() == hashlib.sha256(text).hexdigest()


def test_the_clock_of_this_machine_is_not_ahead_of_itself(make_job):
    clock = make_job("true").look(0).clock

    assert abs(clock.seconds) <= clock.error_seconds + 0.05
    assert clock.error_seconds < 5


def test_a_reboot_is_an_end_with_bounds(make_job):
    job = make_job("echo never", started=datetime.now(UTC), alive_seconds=7.0)
    segment = segment_of(job)
    segment.mkdir(parents=True)
    (segment / "start").write_text(f"100 {int(time.time())} 1234 5678 another-boot\n")
    ending = job.look(0).ending

    assert (ending.why, ending.seconds) == (Why.REBOOT, 7.0)
    assert ending.latest_seconds == 7.0, "this machine has been up for longer"
    assert job.look(0).ending == ending
    assert not (segment / "log").exists()


def test_a_folder_that_is_gone_and_one_of_a_newer_version(make_job, connection):
    with pytest.raises(StageError, match="is gone from host 'local'"):
        AgentJob(connection, Workdir("/nowhere/at/all")).look(0)
    job = make_job("true")
    Path(job.workdir.path, "spec").write_text("version=99\nid=x\ntimeout=never\ngrace=1\n")
    with pytest.raises(StageError, match="started by a newer nasexp"):
        job.look(0)


def test_the_pace_is_that_of_the_link():
    pace = Pace()
    pace.note(1 << 20, 0.01)
    assert pace.limit_bytes == pace.most_bytes
    pace.note(pace.limit_bytes, 80.0)
    assert pace.limit_bytes == pytest.approx(pace.most_bytes * 3 / 80, rel=0.01)
    pace.note(10, 60.0)
    assert pace.limit_bytes > 300_000, "an idle console says nothing of the link"
    for _ in range(5):
        pace.note_loss()
    assert pace.limit_bytes == pace.least_bytes


def test_after_a_lost_link_the_end_of_the_console_is_compared_again(make_job, monkeypatch):
    job = make_job("head -c 25600 /dev/urandom")
    look_until(job, lambda seen: seen.ending)
    job.look(20_000)
    real = agent.probe

    def broken(*words, **more):
        raise ConnectionLost("no answer")

    monkeypatch.setattr(agent, "probe", broken)
    with pytest.raises(ConnectionLost):
        job.look(20_000)
    monkeypatch.setattr(agent, "probe", real)

    assert len(job.look(20_000).before) >= 4096


CGROUPS = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")]


def test_a_control_group_ends_what_hides_from_everything_else(any_job):
    root = next((path for path in CGROUPS if (path / "cgroup.procs").exists()), None)
    if root is None or os.geteuid() or not (root / "cgroup.procs").stat().st_mode & 0o200:
        pytest.skip("no control groups can be made here")
    del any_job.env["NASEXP_CGROUPS"]
    hidden = "env -i setsid sh -c 'echo $$ >hidden; exec sleep 300' & exit 3"
    any_job.launch(
        f'(env -i setsid sh -c "{hidden}" &); while [ ! -s hidden ]; do sleep 0.01; done'
    )
    any_job.wait("start")
    if any_job.file("group") is None:
        pytest.skip("no control groups can be made here")

    assert any_job.wait()[:2] == ["exit", "0"]
    pid = (any_job.folder / "work/hidden").read_text().strip()
    assert not is_alive(pid)
    wait_until(lambda: not Path(any_job.file("group").strip()).exists())
