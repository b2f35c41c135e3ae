"""The host agent by itself, under every shell that a host may have as /bin/sh."""

from __future__ import annotations

import pytest
from kept_jobs import AGENT, wait_until


def test_the_exit_code_is_exact(job):
    job.launch("echo out; echo err >&2; exit 7")

    why, code, _, survivors, cause, _ = job.wait()
    assert (why, code, survivors, cause) == ("exit", "7", "none", "-")
    assert job.file("log") == "out\nerr\n"


def test_success_is_0(job):
    job.launch("true")

    why, code, end, _, _, latest = job.wait()
    assert (why, code) == ("exit", "0")
    assert end == latest == job.words("ended")[1]


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
    job.segment.mkdir(parents=True)
    (job.segment / "start").write_text("- -\n")
    job.launch("echo ran")
    job.adopt()

    assert job.wait()[:2] == ["lost", "none"]
    assert job.file("log") is None
    assert job.file("runner") is None


def test_start_tells_who_runs_it_and_when(job):
    job.launch("sleep 60")
    uptime, wall, pid, ticks, boot = job.wait("start")
    runner = job.words("runner")

    with open("/proc/sys/kernel/random/boot_id") as file:
        assert boot == file.read().strip()
    assert runner[:3] == [pid, ticks, boot]
    assert 0 <= int(uptime) - int(runner[4]) < 500
    assert abs(int(wall) - int(runner[3])) < 5
    (job.folder / "cancel").touch()
    job.wait()


def test_the_deadline_ends_the_whole_tree(job):
    job.launch(
        "(trap '' TERM; sleep 60 & wait; sleep 60) & setsid sleep 60 & sleep 60", timeout=100
    )

    why, _, ended, survivors = job.wait()[:4]
    started = job.words("start")[0]
    assert (why, survivors) == ("timeout", "none")
    assert 100 <= int(ended) - int(started) < 400
    wait_until(lambda: job.processes() == [], seconds=3)  # the warden's own naps are short


def test_a_deadline_may_be_moved_while_it_runs(job):
    job.launch("while [ ! -e done ]; do sleep 0.05; done", timeout=150)
    job.wait("start")
    deadline = int(wait_until(lambda: (job.folder / "deadline").exists()
                              and (job.folder / "deadline").read_text().strip()))  # fmt: skip
    assert deadline == int(job.words("start")[0]) + 150
    (job.folder / "deadline.new").write_text(f"{deadline + 100_000}\n")
    (job.folder / "deadline.new").rename(job.folder / "deadline")
    wait_until(lambda: uptime() > deadline + 150)
    (job.folder / "work/done").touch()

    assert job.wait()[:2] == ["exit", "0"]


def uptime():
    with open("/proc/uptime") as file:
        return float(file.read().split()[0]) * 100


def test_without_a_timeout_it_may_run_for_ever(job):
    job.launch("sleep 60")
    wait_until((job.folder / "deadline").exists)

    assert (job.folder / "deadline").read_text() == "never\n"
    (job.folder / "cancel").write_text("now\n")
    job.wait()


def test_cancel_ends_it_and_lets_it_clean_up(job):
    job.launch("trap 'echo cleaned; exit 5' TERM; echo up; while :; do sleep 0.05; done", grace=5)
    job.wait_for_text("up")
    (job.folder / "cancel").touch()

    assert job.wait()[:2] == ["stopped", "5"]
    assert job.file("log").startswith("up\n")
    assert job.file("log").endswith("cleaned\n")


@pytest.mark.parametrize("at_first", ["now\n", "\n"])
def test_cancel_now_waits_for_nothing_not_even_in_the_middle(job, at_first):
    job.launch("trap '' TERM; echo up; while :; do sleep 0.05; done", grace=60)
    job.wait_for_text("up")
    (job.folder / "cancel").write_text(at_first)
    if at_first != "now\n":
        job.wait("reason")
        (job.folder / "cancel").write_text("now\n")

    assert job.wait()[:2] == ["stopped", "137"]


def test_what_outlives_the_command_is_ended(job):
    job.launch("(setsid sleep 60 >/dev/null 2>&1 &); echo done")

    assert job.wait()[0] == "exit"
    wait_until(lambda: job.processes() == [], seconds=3)  # the warden's own naps are short


def test_nothing_of_ours_stays_when_it_is_over(job):
    job.launch("sleep 0.2")
    job.wait()

    wait_until(lambda: job.processes(ours=True) == [])
    wait_until(lambda: job.processes() == [], seconds=2)  # a nap that was cut short
    assert not (job.folder / "reserve").exists()


def test_a_second_segment_has_files_of_its_own(job):
    job.launch("echo $NASEXP_RUN_ID >>ran; exit 3", timeout=5000)
    job.wait()
    first = (job.folder / "deadline").read_text()
    (job.folder / "command").write_text("echo second; exit 4")
    job.call("launch", "2").check_returncode()

    second = job.folder / "segments/2/exit"
    wait_until(second.exists)
    assert second.read_text().split()[:2] == ["exit", "4"]
    assert (job.folder / "segments/2/log").read_text() == "second\n"
    assert job.words("exit")[:2] == ["exit", "3"]
    assert (job.folder / "deadline").read_text() != first


def test_a_missing_command_is_said_and_nothing_starts(job):
    job.prepare("x")
    (job.folder / "command").unlink()
    done = job.call("launch")

    assert (done.returncode, done.stderr) == (66, "the code or the command is missing\n")
    assert not job.segment.exists()


def test_a_script_that_cannot_be_executed_ends_as_sh_says(job):
    (job.folder / "work/script").write_text("#!/bin/sh\necho never\n")
    job.launch("./script")

    assert job.wait()[:2] == ["exit", "126"]
    assert "ermission denied" in job.file("log")


def test_a_log_that_is_cut_by_the_script_goes_on(job):
    job.launch('echo one; : >"../segments/1/log"; echo two')

    assert job.wait()[:2] == ["exit", "0"]
    assert job.file("log") == "two\n"


def test_bytes_of_any_kind_are_kept(job):
    job.launch("head -c 300000 /dev/urandom >made; cat made")
    job.wait()

    assert (job.segment / "log").read_bytes() == (job.folder / "work/made").read_bytes()


def test_beats_are_written_in_turn_and_keep_their_length(job):
    job.launch("sleep 60")
    first = job.wait("beat.a"), job.wait("beat.b")
    sizes = {(job.segment / name).stat().st_size for name in ("beat.a", "beat.b")}
    wait_until(lambda: job.words("beat.a") != first[0] and job.words("beat.b") != first[1])

    assert sizes == {32}
    assert {(job.segment / name).stat().st_size for name in ("beat.a", "beat.b")} == sizes
    (job.folder / "cancel").write_text("now\n")
    job.wait()


def test_the_agent_writes_nothing_that_others_can_read(job):
    job.launch("umask; touch made")
    job.wait()

    assert (job.segment / "exit").stat().st_mode & 0o077 == 0
    assert (job.segment / "log").stat().st_mode & 0o077 == 0
    assert (job.folder / "work/made").stat().st_mode & 0o777 == 0o644


def test_secrets_are_in_the_environment_of_the_command_alone(job):
    secrets = "run='it'\\''s\n a secret'; export run\nB='x'; export B\n"
    job.prepare(
        'printf %s "$run" >got; ls ..>files; kill -0 $PPID; tr "\\0" "\\n" </proc/$PPID/environ'
    )
    (job.folder / "secrets").write_text(secrets)
    job.again()

    assert job.wait()[:2] == ["exit", "0"]
    assert (job.folder / "work/got").read_text() == "it's\n a secret"
    assert "secrets" not in (job.folder / "work/files").read_text().split()
    assert "a secret" not in job.file("log")
    assert f"NASEXP_TEST={job.mark}" in job.file("log")
    for path in job.folder.rglob("*"):
        if path.is_file() and path.name != "got":
            assert b"a secret" not in path.read_bytes()


def test_secrets_of_a_job_that_never_ran_are_removed(job):
    job.segment.mkdir(parents=True)
    (job.segment / "start").write_text("- -\n")
    job.prepare("echo never")
    (job.folder / "secrets").write_text("A='b'; export A\n")
    job.adopt()
    job.wait()

    wait_until(lambda: not (job.folder / "secrets").exists())


def test_words_that_are_no_verb_are_refused(job):
    job.prepare("true")

    assert job.call("dance").returncode == 64
    (job.folder / "spec").write_text("version=2\n")
    assert job.call("launch").returncode == 65


def test_the_agent_is_not_too_long():
    assert len(AGENT.read_text().splitlines()) < 510
