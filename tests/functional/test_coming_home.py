"""Backup and collect against files that change, vanish, or differ; and links that are lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest

from nasexp.backup import copying
from nasexp.connections.bulk import redial
from nasexp.connections.bulk.download import Download
from nasexp.connections.local import connect_local
from nasexp.connections.process import ProcessStream
from nasexp.errors import ConnectionLost
from nasexp.values import Ending, Observation, Why, Workdir

PLUGIN = "from nasexp import hookimpl\nfrom pathlib import Path\n"


@pytest.fixture
def host(workspace, tmp_path):
    """A run of project p whose job is none: `work/output` is the test's to fill."""
    from nasexp.assembly import assemble
    from nasexp.config.workspace import Workspace
    from nasexp.runs.opening import opened_run
    from nasexp.testing import QuietMonitor

    workspace.add_project("p", "true")
    found = Workspace(workspace.root)
    settings = assemble(found, found.project("p")).settings
    (tmp_path / "host/work/output").mkdir(parents=True)
    connection = connect_local("local")
    with opened_run(found, found.project("p"), settings, QuietMonitor()) as run:
        run.paths.output.mkdir()
        yield Host(run, connection, Workdir(str(tmp_path / "host")), tmp_path / "host/work/output")
    connection.close()


class Host:
    def __init__(self, run, connection, workdir, output):
        self.run, self.connection, self.workdir, self.output = run, connection, workdir, output
        self.home = run.paths.output

    def copy(self):
        return copying.copy_home(self.run, self.connection, self.workdir).snapshot


def test_a_second_pass_copies_only_what_is_new(host):
    (host.output / "a").write_text("1")
    assert host.copy().new_bytes == 1
    (host.output / "b").write_text("22")
    second = host.copy()

    assert (second.files, second.size_bytes, second.new_bytes) == (2, 3, 2)
    assert host.copy().new_bytes == 0
    assert (host.home / "a").stat().st_mtime_ns == (host.output / "a").stat().st_mtime_ns


def test_a_file_that_is_written_meanwhile_keeps_its_last_whole_copy(host, monkeypatch):
    torn = host.output / "ckpt"
    torn.write_text("whole")
    host.copy()
    torn.write_text("begun")
    really = Download.fetch

    def writing(download, paths):
        came = really(download, paths)
        torn.write_text("changed again " + str(os.urandom(4)))
        return came

    monkeypatch.setattr(Download, "fetch", writing)
    snapshot = host.copy()

    assert snapshot.unstable == ("ckpt",)
    assert (host.home / "ckpt").read_text() == "whole"
    monkeypatch.setattr(Download, "fetch", really)
    assert host.copy().unstable == ()
    assert (host.home / "ckpt").read_text().startswith("changed again")


def test_no_torn_file_is_ever_published_beside_a_writer_at_full_speed(host):
    size, stop = 200_000, threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            with (host.output / "model").open("wb") as file:
                for _ in range(10):
                    file.write(bytes([number % 256]) * (size // 10))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(15):
            host.copy()
            if (host.home / "model").exists():
                data = (host.home / "model").read_bytes()
                assert data == data[:1] * size
    finally:
        stop.set()
        writer.join()
    host.copy()
    assert (host.home / "model").read_bytes() == (host.output / "model").read_bytes()


def test_files_that_vanish_in_mid_copy_do_not_stop_the_others(host, monkeypatch):
    for name in ("a", "b", "c"):
        (host.output / name).write_text(name)
    really = host.connection.receive

    def vanishing(*words, **options):
        (host.output / "b").unlink(missing_ok=True)
        return really(*words, **options)

    monkeypatch.setattr(host.connection, "receive", vanishing)

    assert host.copy().files == 2
    assert sorted(path.name for path in host.home.iterdir()) == ["a", "c"]


def test_a_folder_that_becomes_a_file_and_back_loses_nothing(host):
    (host.output / "x").mkdir()
    (host.output / "x/deep").write_text("1")
    host.copy()
    shutil.rmtree(host.output / "x")
    (host.output / "x").write_text("file now")
    host.copy()
    (host.output / "x").unlink()
    (host.output / "x").mkdir()
    (host.output / "x/deep").write_text("2")
    host.copy()

    assert (host.home / "x/deep").read_text() == "2"
    assert (host.home / "x.old-1/deep").read_text() == "1"
    assert (host.home / "x.old-2").read_text() == "file now"


def test_links_that_leave_the_folder_are_told_once_and_left_out(host):
    (host.output / "in").write_text("x")
    (host.output / "good").symlink_to("in")
    (host.output / "bad").symlink_to("/etc/passwd")
    (host.output / "sly").symlink_to("good/../../x")

    snapshots = [host.copy(), host.copy()]

    assert [(done.files, done.unstable) for done in snapshots] == [(2, ()), (2, ())]
    assert sorted(path.name for path in host.home.iterdir()) == ["good", "in"]
    assert (host.home / "good").readlink() == Path("in")
    assert host.run.monitor.warnings == [
        "left out bad: a symbolic link that has an absolute target",
        "left out sly: a symbolic link that leaves the output folder",
    ]


def test_a_link_that_changed_is_fetched_again(host):
    for name in ("one", "two"):
        (host.output / name).write_text(name)
    (host.output / "latest").symlink_to("one")
    host.copy()
    (host.output / "latest").unlink()
    (host.output / "latest").symlink_to("two")

    host.copy()

    assert (host.home / "latest").read_text() == "two"


class Cut:
    """The host's connection, whose next stream is cut after so many bytes."""

    def __init__(self, inner, after):
        self.inner, self.after, self.name = inner, after, inner.name

    def run(self, *words, **options):
        return self.inner.run(*words, **options)

    def receive(self, *words, **options):
        left, self.after = self.after, 1 << 62
        for chunk in self.inner.receive(*words, **options):
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                raise ConnectionLost("cut")


@pytest.mark.parametrize("after", [1, 5000, 60_000, 40 << 20])
def test_a_cut_link_is_waited_for_and_the_copy_goes_on(host, monkeypatch, after):
    monkeypatch.setattr(redial, "SHORTEST_SECONDS", 0.01)
    contents = {f"f{number}": os.urandom(3000) for number in range(40)}
    contents["checkpoint"] = os.urandom(45 << 20)
    for name, content in contents.items():
        (host.output / name).write_bytes(content)
    host.connection = Cut(host.connection, after)

    snapshot = host.copy()

    assert (snapshot.files, snapshot.unstable) == (41, ())
    assert {path.name: path.read_bytes() for path in host.home.iterdir()} == contents
    assert not host.run.paths.incoming.exists()


def test_digests_taken_on_the_way_hold_until_a_file_is_touched(host):
    from nasexp.backup.copied import Copied

    for name in ("a", "b", "c\nd"):
        (host.output / name).write_text(name)
    host.copy()
    status = (host.home / "b").stat()
    (host.home / "b").write_text("B")
    os.utime(host.home / "b", ns=(status.st_mtime_ns, status.st_mtime_ns))

    known = Copied(host.run.paths)

    assert known.digest(b"a") == hashlib.sha256(b"a").hexdigest()
    assert known.digest(b"c\nd") == hashlib.sha256(b"c\nd").hexdigest()
    assert [known.digest(path) for path in (b"b", b"gone")] == [None, None]
    host.run.paths.copied.write_bytes(b"nonsense\0")
    assert Copied(host.run.paths).digest(b"a") is None


def test_a_fifo_a_socket_and_a_hole_come_to_no_harm(host):
    os.mkfifo(host.output / "fifo")
    with (host.output / "hole").open("wb") as file:
        file.truncate(64 << 20)

    assert host.copy().files == 1

    assert (host.home / "hole").stat().st_size == 64 << 20
    assert (host.home / "hole").stat().st_blocks * 512 < 1 << 20
    assert not (host.home / "fifo").exists()


def test_a_copy_that_differs_from_the_host_is_made_good(workspace):
    workspace.add_project("p", "mkdir output; echo right >output/x")
    workspace.write({"projects/p/plugin.py": PLUGIN + """
import os

@hookimpl(wrapper=True)
def nasexp_backup(run):
    snapshot = yield
    file = run.paths.output / "x"
    status = file.stat()
    file.write_text("WRONG")
    file.write_text("wrong\\n")
    os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))
    return snapshot
"""})  # fmt: skip

    workspace.nasexp("run").assert_ok()

    assert (workspace.run_paths("p").output / "x").read_text() == "right\n"


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="setpriv is missing")
def test_a_file_that_cannot_be_read_is_named_and_the_run_is_no_success(workspace, monkeypatch):
    if os.geteuid() == 0:
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        real = ProcessStream.__init__

        def dropped(stream, command, *rest):
            real(stream, [*as_nobody, *command], *rest)

        monkeypatch.setattr(ProcessStream, "__init__", dropped)
        workspace.home.chmod(0o777)
        for folder in [workspace.home, *workspace.home.parents][:4]:
            folder.chmod(folder.stat().st_mode | 0o055)
    workspace.add_project(
        "p", "mkdir output; echo 1 >output/open; echo 2 >output/shut; chmod 0 output/shut"
    )

    workspace.nasexp("run").assert_code(
        1, "shut cannot be read on host 'local'", "not all of the output can be read", "kept on"
    )

    assert (workspace.run_paths("p").output / "open").read_text() == "1\n"


def test_a_file_that_never_stops_changing_is_not_collected_as_if_it_were_whole(workspace):
    workspace.add_project("p", "mkdir output; echo 1 >output/x")
    workspace.write({"projects/p/plugin.py": PLUGIN + """
from nasexp.connections.bulk.download import Download
really = Download.fetch

@hookimpl(wrapper=True)
def nasexp_collect(run, job):
    (Path(job.workdir.work) / "output/x").write_text("changed")
    def writing(download, paths):
        came = really(download, paths)
        with (Path(job.workdir.work) / "output/x").open("a") as file:
            file.write("more")
        return came
    Download.fetch = writing
    try:
        return (yield)
    finally:
        Download.fetch = really
"""})  # fmt: skip

    workspace.nasexp("run").assert_code(
        1, "not all of the output could be copied: x", "kept on host"
    )


class FlakyJob:
    """A job whose host cannot be reached for a while."""

    def __init__(self, job, failures):
        self.job, self.failures = job, failures
        self.workdir = job.workdir

    def look(self, offset):
        if self.failures:
            self.failures -= 1
            raise ConnectionLost("no answer")
        return self.job.look(offset)

    def stop(self, *, now=False):
        self.job.stop(now=now)

    def extend(self, seconds):
        return self.job.extend(seconds)


def test_a_lost_link_is_a_pause_and_not_the_end(workspace, monkeypatch):
    from nasexp import following

    monkeypatch.setattr(following, "REDIAL_SECONDS", (0.01, 0.02))
    workspace.add_project("p", "mkdir output; echo hi")
    workspace.write({"projects/p/plugin.py": PLUGIN + """
import sys

@hookimpl(wrapper=True)
def nasexp_train(run):
    job = yield
    return sys.modules["test_coming_home"].FlakyJob(job, 4)
"""})  # fmt: skip
    monkeypatch.setitem(sys.modules, "test_coming_home", sys.modules[__name__])

    workspace.nasexp("run").assert_code(
        0, "no answer; the training goes on", "the host answers again"
    )

    events = [event.name for event in workspace.events("p")]
    assert (events.count("link.lost"), events.count("link.back")) == (1, 1)
    assert workspace.run_paths("p").log.read_text() == "hi\n"


def test_an_end_that_was_not_seen_is_a_failure_with_a_warning(workspace):
    workspace.add_project("p", "mkdir output; echo started >output/x; sleep 60")
    workspace.write({"projects/p/plugin.py": PLUGIN + """
import os, signal

@hookimpl
def nasexp_training_started(job):
    runner = Path(job.workdir.path, "segments/1/runner").read_text().split()[0]
    os.kill(int(runner), signal.SIGKILL)
"""})  # fmt: skip

    workspace.nasexp("run").assert_code(6, "its runner was killed")

    assert workspace.record("p").ending == "its end was not seen"


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (Ending(Why.EXIT, 0, 1.0), "exit code 0"),
        (Ending(Why.SIGNAL, 137, 1.0), "killed by signal 9"),
        (Ending(Why.TIMEOUT, 143, 1.0), "ran into its timeout"),
        (Ending(Why.STOPPED, 143, 1.0), "stopped by a person"),
        (Ending(Why.REBOOT, None, 1.0), "the host was rebooted"),
        (Ending(Why.LOST, None, 1.0), "its end was not seen"),
    ],
)
def test_an_ending_reads_as_a_sentence(ending, text):
    assert str(ending) == text
    assert ending.ok is (ending.exit_code == 0)
    assert Observation(None, ending, b"").ending is ending


def test_the_venv_is_made_once_and_reused(workspace):
    workspace.add_project(
        "p",
        "mkdir output; python -c 'import sys; print(sys.prefix != sys.base_prefix)'",
        "environment: {venv: requirements.txt}",
        {"requirements.txt": "# nothing is needed\n"},
    )

    workspace.nasexp("run").assert_code(0, "making the environment of requirements.txt on local")
    second = workspace.nasexp("run").assert_ok()

    assert "making the environment" not in second.output
    assert [workspace.run_paths("p", n).log.read_text() for n in (0, 1)] == ["True\n"] * 2
    [made] = [p for p in (workspace.home / ".nasexp/envs").iterdir() if p.is_dir()]
    assert made.name.startswith("venv-")


def test_a_requirements_file_that_is_missing_or_cannot_be_had(workspace):
    workspace.add_project("p", "true", "environment: {venv: r.txt}")
    workspace.nasexp("run").assert_code(1, "environment.venv: bin/r.txt is missing")
    workspace.write({"projects/p/bin/r.txt": "./no-such-package\n"})

    workspace.nasexp("run").assert_code(1, "cannot be made on host 'local'", "no-such-package")

    assert workspace.record("p", 1).started is None
    assert not list((workspace.home / ".nasexp/envs").glob("*.lock"))


def test_a_file_written_anew_with_its_old_size_and_time_comes_home(workspace):
    script = """\
        mkdir output; echo aaaa >output/m; touch -d 2020-01-01 output/m
        until [ -e "$NASEXP_PARAM_SEEN/m" ]; do sleep 0.05; done
        echo bbbb >output/m; touch -d 2020-01-01 output/m
    """
    seen = workspace.run_paths("p").output
    settings = f"backup: {{every: 1s}}\nparams: {{seen: '{seen}'}}"
    workspace.add_project("p", "sh ./run.sh", settings, {"run.sh": script})
    workspace.nasexp("run").assert_ok()

    assert (seen / "m").read_text() == "bbbb\n"


def test_a_training_that_removes_its_output_keeps_what_backups_brought(workspace):
    script = """\
        mkdir output; echo a >output/m
        until [ -e "$NASEXP_PARAM_SEEN/m" ]; do sleep 0.05; done
        rm -r output
    """
    seen = workspace.run_paths("p").output
    settings = f"backup: {{every: 1s}}\nparams: {{seen: '{seen}'}}"
    workspace.add_project("p", "sh ./run.sh", settings, {"run.sh": script})
    workspace.nasexp("run").assert_code(4, "the output folder is gone from the host")

    assert (seen / "m").read_text() == "a\n"
