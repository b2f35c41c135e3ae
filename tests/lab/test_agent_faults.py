"""The host agent on hosts that are rebooted, cut off from power, frozen or full."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import pytest

from nasexp.connections.protocol import Answer, set_words
from nasexp.host.probe import probe
from nasexp.host.states import Known, Step, derive, ending_of, next_step
from nasexp.testing.processes import find_program
from nasexp.values import State, Why

AGENT = Path(__file__).parents[2] / "nasexp" / "host" / "agent.sh"
RUN = "/home/lab/.nasexp/runs/id"


class OnHost:
    """A connection to a host of the lab that needs no network."""

    def __init__(self, lab, host):
        self.name = host
        self.lab = lab

    def run(self, program, *words, deadline_seconds=60.0):
        text = set_words(words).decode() + program
        done = self.lab.run(self.name, ["/bin/sh", "-s"], input=text)
        return Answer(done.returncode, done.stdout.encode(), done.stderr.encode())


class HostJob:
    """A run on host gpu."""

    def __init__(self, lab):
        self.lab = lab
        self.connection = OnHost(lab, "gpu")

    @property
    def folder(self):
        return self.lab.home("gpu") / ".nasexp/runs/id"

    def prepare(self, command, timeout="never", grace=1):
        spec = f"version=2\nid=lab-job\ntimeout={timeout}\ngrace={grace}\n"
        files = {"spec": spec, "command": command, "ready": "digest\n", "work/.keep": ""}
        self.lab.write("gpu", {f".nasexp/runs/id/{name}": text for name, text in files.items()})

    def launch(self, command, **options):
        self.prepare(command, **options)
        self.call("launch")

    def call(self, verb):
        done = self.lab.run("gpu", ["/bin/sh", AGENT, verb, RUN])
        assert done.returncode == 0, done.stderr

    def file(self, name):
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "segments/1" / name).read_text()
        return ""

    def probe(self):
        return probe(self.connection, RUN)

    def drive(self, seconds=40):
        """Do what a driver does until the end is known; returns the last probe."""

        def take_a_step():
            found = self.probe()
            step = next_step(derive(found), found)
            if step in {Step.LAUNCH, Step.ADOPT}:
                self.call("launch" if step is Step.LAUNCH else "adopt")
            return found if step in {Step.COLLECT, Step.ALARM} else None

        return wait_until(take_a_step, seconds)


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.02)
    return found


@pytest.fixture
def job(lab):
    return HostJob(lab)


def times_run(lab):
    """How often the job told the world outside of its host that it runs."""
    return len([asked for asked in lab.asked("gpu") if asked.words[-1:] == ("it-runs",)])


TELL = "/usr/sbin/halt it-runs\n"


def test_a_reboot_in_mid_run_bounds_the_end_and_starts_nothing(job, lab):
    job.launch(TELL + "sleep 300")
    started = time.monotonic()
    wait_until(lambda: job.file("beat.a") and job.file("beat.b") and times_run(lab))
    lived = job.probe()
    assert derive(lived) is State.RUNNING
    ran_seconds = time.monotonic() - started
    lab.reboot("gpu")

    found = job.probe()
    assert derive(found) is State.REBOOTED
    ending = ending_of(found, Known())
    assert ending.why is Why.REBOOT
    assert ending.seconds <= ran_seconds + 1
    assert ending.latest_seconds >= ran_seconds - 1
    job.call("launch")
    job.call("adopt")
    assert derive(job.probe()) is State.REBOOTED
    assert times_run(lab) == 1


def test_the_runners_word_outlives_a_reboot(job, lab):
    job.launch(TELL + "exit 9")
    wait_until(lambda: job.file("ended"))
    wait_until(lambda: job.file("exit"))
    (job.folder / "segments/1/exit").unlink()
    lab.reboot("gpu")

    found = job.probe()
    assert derive(found) is State.ENDED
    ending = ending_of(found, Known())
    assert (ending.why, ending.exit_code, ending.latest_seconds) == (Why.EXIT, 9, None)


def test_a_power_cut_never_leaves_a_job_that_ran_without_its_start(make_lab):
    lab = make_lab("nas", "gpu", disk_mb={"gpu": 24}, disk_options="noauto_da_alloc")
    job = HostJob(lab)
    states = []
    for turn in range(6):
        lab.run("gpu", ["rm", "-rf", RUN])
        job.prepare(TELL + "sleep 300")
        assert lab.run("gpu", ["sync"]).returncode == 0
        before = times_run(lab)
        job.call("launch")
        if turn % 2 == 0:
            wait_until(lambda before=before: times_run(lab) > before)
        lab.powercut("gpu")
        ran = times_run(lab) > before
        lab.poweron("gpu")
        state = derive(job.probe())
        states.append(state)
        assert state in {State.REBOOTED, State.READY}
        assert not (ran and state is State.READY), "it ran, and would run again"

    assert State.REBOOTED in states


def test_beats_are_whole_after_a_power_cut(make_lab):
    lab = make_lab("nas", "gpu", disk_mb={"gpu": 24}, disk_options="noauto_da_alloc")
    job = HostJob(lab)
    job.launch(TELL + "sleep 300")
    wait_until(lambda: job.file("beat.a") and job.file("beat.b"))
    first = job.probe().beat
    wait_until(lambda: job.probe().beat != first)
    lab.powercut("gpu")
    lab.poweron("gpu")

    found = job.probe()
    assert found.beat is not None
    assert derive(found) is State.REBOOTED


def test_a_frozen_host_is_suspended_and_its_job_not_timed_out(job, lab):
    command = "i=0; while [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done; exit 6"
    job.launch(command, timeout=2500)
    wait_until(lambda: job.file("start"))
    lab.freeze("gpu")
    frozen = time.monotonic()
    wait_until(lambda: time.monotonic() > frozen + 33, seconds=40)
    lab.thaw("gpu")

    found = job.drive()
    ending = ending_of(found, Known())
    assert (ending.why, ending.exit_code) == (Why.EXIT, 6)
    assert 3200 <= found.suspended < 3800
    assert 4 < ending.seconds < 15


def test_uptimes_of_hosts_that_are_up_for_years_and_for_seconds(job, lab):
    lab.reboot("gpu", uptime_seconds=90_000_000)
    job.launch("sleep 300", timeout=100)
    ending = ending_of(job.drive(), Known())
    assert int(job.file("start").split()[0]) > 9_000_000_000
    assert ending.why is Why.TIMEOUT
    assert 1 <= ending.seconds < 5


def test_a_killed_warden_and_a_killed_runner(job, lab):
    job.launch(TELL + "sleep 300", timeout=400)
    wait_until(lambda: times_run(lab))
    warden = job.file("warden").split()[0]
    assert lab.run("gpu", ["kill", "-9", warden]).returncode == 0
    wait_until(lambda: derive(job.probe()) is State.UNWATCHED)
    job.call("adopt")
    wait_until(lambda: derive(job.probe()) is State.RUNNING)
    runner = job.file("start").split()[2]
    assert lab.run("gpu", ["kill", "-9", runner]).returncode == 0

    assert ending_of(job.drive(), Known()).why is Why.LOST
    assert lab.run("gpu", ["pgrep", "-x", "sleep"]).stdout == "" or wait_until(
        lambda: lab.run("gpu", ["pgrep", "-f", "sleep 300"]).returncode == 1
    )


def test_a_full_disk_is_the_cause_and_the_end_is_written(make_lab):
    lab = make_lab("nas", "gpu", disk_mb={"gpu": 24})
    job = HostJob(lab)
    job.launch("cat /dev/zero >fill; exit 3")

    ending = ending_of(job.drive(), Known())
    assert (ending.why, ending.exit_code) == (Why.EXIT, 3)
    assert ending.cause == "the disk of the host is full"
    assert str(ending) == "exit code 3 (the disk of the host is full)"


# What the file system holds back for its own books goes last, in small pieces.
FILL = """mkdir fill; cat /dev/zero >fill/all; n=0
while dd if=/dev/zero of=fill/$n bs=1024 count=8 conv=fsync; do n=$((n + 1)); done"""


def test_a_job_does_not_start_on_a_full_disk_and_says_why(make_lab):
    lab = make_lab("nas", "gpu", disk_mb={"gpu": 24})
    job = HostJob(lab)
    job.prepare("echo never")
    lab.run("gpu", ["sh", "-c", FILL])
    done = lab.run("gpu", ["/bin/sh", AGENT, "launch", RUN])

    assert done.returncode == 74
    assert "No space left on device" in done.stderr
    lab.run("gpu", ["rm", "-r", "fill"])
    job.call("launch")
    assert ending_of(job.drive(), Known()).exit_code == 0


def test_what_cannot_be_killed_is_listed(job, lab):
    lab.sudo("gpu", "NOPASSWD: ALL")
    if lab.run("gpu", ["sudo", "-n", "true"]).returncode:
        pytest.skip("sudo does not work on a host of the lab")
    job.launch("sudo -n sh -c 'trap \"\" TERM; echo up; sleep 300; :'", grace=0)
    wait_until(lambda: "up" in job.file("log"))
    (job.folder / "cancel").touch()

    found = job.drive(seconds=60)
    assert derive(found) is State.SURVIVORS
    assert ending_of(found, Known()).survivors == found.survivors
    pids = [str(pid) for pid in found.survivors]
    assert lab.run("gpu", ["kill", "-9", *pids], user="root").returncode == 0
    wait_until(lambda: derive(job.probe()) is State.ENDED)


SCOPE = """#!/bin/sh
printf '%s\\n' "$*" >>/home/lab/scopes
while [ "${1#-}" != "$1" ]; do
  [ "$1" != -p ] || shift
  last=$1; shift
  [ "$last" != -- ] || break
done
exec "$@"
"""


@pytest.mark.parametrize("lingers", [True, False])
def test_a_service_manager_that_lingers_keeps_the_job(job, lab, lingers):
    root = lab.root("gpu")
    stand_in = root / "usr/bin/systemd-run"
    stand_in.unlink()
    stand_in.write_text(SCOPE)
    stand_in.chmod(0o755)
    if lingers:
        (root / "var/lib/systemd/linger").mkdir(parents=True, exist_ok=True)
        (root / "var/lib/systemd/linger/lab").touch()
    job.launch("exit 5")

    assert ending_of(job.drive(), Known()).exit_code == 5
    scopes = lab.home("gpu") / "scopes"
    assert scopes.exists() is lingers
    if lingers:
        assert "Delegate=yes" in scopes.read_text()


def test_a_service_manager_that_does_not_answer_is_not_needed(job, lab):
    root = lab.root("gpu")
    (root / "var/lib/systemd/linger").mkdir(parents=True, exist_ok=True)
    (root / "var/lib/systemd/linger/lab").touch()
    job.launch("exit 5")

    assert ending_of(job.drive(), Known()).exit_code == 5
    assert any(asked.words[0] == "systemd-run" for asked in lab.asked("gpu"))


def test_a_busybox_host_without_the_usual_programs(job, lab):
    find_program("busybox")
    lab.hide("gpu", "setsid", "stat", "sha256sum")
    job.launch("echo hi; exit 4")

    found = job.drive()
    assert ending_of(found, Known()).exit_code == 4
    assert found.log_bytes == 3


def test_other_users_do_not_see_a_secret(job, lab):
    job.prepare("case $TOKEN in canary?7) echo up; sleep 300 ;; esac")
    lab.write("gpu", {".nasexp/runs/id/secrets": "TOKEN='canary-7'; export TOKEN\n"}, 0o600)
    job.call("launch")
    wait_until(lambda: "up" in job.file("log"))

    look = "grep -la canary-[7] /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null"
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", look]
    assert lab.run("gpu", other, user="root").stdout == ""
    holders = lab.run("gpu", ["sh", "-c", look]).stdout
    assert holders
    assert "cmdline" not in holders
    assert lab.run("gpu", ["grep", "-rl", "canary-7", "/home/lab"]).stdout == ""
    (job.folder / "cancel").write_text("now\n")
    job.drive()


def test_the_agent_asks_for_no_program_that_is_not_there(lab):
    done = subprocess.run(["grep", "-nE", "^ *sync$|pkill|killall", AGENT], capture_output=True)

    assert done.returncode == 1, done.stdout
