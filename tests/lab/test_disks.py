"""Disks of the NAS that are full, read-only or out of inodes: named, nothing lost, no traceback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

from nasexp.archives.pack import pack
from nasexp.connections.bulk import code
from nasexp.connections.bulk.link import Link
from nasexp.connections.bulk.upload import Source, upload
from nasexp.connections.local import connect_local
from nasexp.errors import StageError
from nasexp.testing import QuietMonitor
from nasexp.values import Archive

MAKE_8_MB = "mkdir output; head -c 8000000 /dev/urandom >output/model; echo small >output/small"


def results_of(workspace, name="p"):
    folder = workspace.root / "projects" / name / "results"
    folder.mkdir()
    return folder


def test_a_full_disk_keeps_the_results_on_the_host_and_says_so(workspace, mounted):
    workspace.add_project("p", MAKE_8_MB)
    mounted(results_of(workspace), "size=2m")

    called = workspace.nasexp("run").assert_code(1, "No space left", "kept on host 'local'")

    [folder] = workspace.host_runs()
    assert (folder / "work/output/model").stat().st_size == 8_000_000
    assert workspace.record("p").status == "failed"
    assert workspace.events("p")[-1].name == "run.finished"
    assert workspace.record("p").exit_code == 0
    assert not (workspace.run_paths("p").output / "model").exists()
    assert "Traceback" not in called.errors


def test_a_disk_that_fills_in_mid_training_does_not_stop_the_training(workspace, mounted):
    run = (
        "mkdir output; head -c 3000000 /dev/zero | tr '\\0' 'x' | fold -w 80; echo end >output/end"
    )
    workspace.add_project("p", run)
    mounted(results_of(workspace), "size=1m")

    called = workspace.nasexp("run").assert_code(1)

    [folder] = workspace.host_runs()
    assert "Traceback" not in called.errors
    assert (folder / "segments/1/log").stat().st_size > 3_000_000
    log = workspace.run_paths("p").log.read_bytes()
    assert (folder / "segments/1/log").read_bytes().startswith(log)


@pytest.mark.parametrize("options", ["nr_inodes=2", "nr_inodes=5"])
def test_a_disk_without_inodes_is_a_clear_error(workspace, mounted, options):
    workspace.add_project("p", "echo never")
    mounted(results_of(workspace), "size=2m", options)

    called = workspace.nasexp("run").assert_code(1, "No space left on device")

    assert "Traceback" not in called.errors
    assert workspace.host_runs() == []


def test_read_only_results_stop_the_run_before_it_starts(workspace, mounted, remounted):
    workspace.add_project("p", "echo never")
    folder = results_of(workspace)
    mounted(folder, "size=2m")
    remounted(folder, "ro")

    workspace.nasexp("run").assert_code(1, "cannot make a run's folder", "Read-only file system")

    assert workspace.host_runs() == []


def test_the_hosts_full_disk_is_told_apart_from_the_trainings_failure(workspace, mounted):
    workspace.add_project("p", "echo never", files={"data": b"x" * 3_000_000})
    (workspace.home / ".nasexp").mkdir()
    mounted(workspace.home / ".nasexp", "size=2m")

    called = workspace.nasexp("run").assert_code(1, "host 'local'", "No space left")

    assert "Traceback" not in called.errors
    assert workspace.record("p").started is None


def test_an_upload_onto_a_full_disk_goes_on_when_there_is_room(tmp_path, mounted, remounted):
    data = os.urandom(5 << 20)
    (tmp_path / "host").mkdir()
    mounted(tmp_path / "host", "size=3m")
    connection = connect_local("gpu")

    @contextlib.contextmanager
    def opened():
        yield (data[at : at + 100_000] for at in range(0, len(data), 100_000))

    path = str(tmp_path / "host/model")
    with pytest.raises(StageError, match="No space left on device") as caught:
        upload(Link(connection, QuietMonitor()), Source(opened, len(data)), path)
    assert str(tmp_path / "host") in caught.value.hint
    assert [entry.name for entry in (tmp_path / "host").iterdir()] == ["model"]
    assert (tmp_path / "host/model").stat().st_size > 2 << 20

    remounted(tmp_path / "host", "size=6m")  # there is no room for a second copy of it
    monitor = QuietMonitor()
    upload(Link(connection, monitor), Source(opened, len(data)), path)

    assert (tmp_path / "host/model").read_bytes() == data
    connection.close()


def test_a_claim_that_is_held_holds_when_the_disk_is_full(mounted, tmp_path):
    from nasexp.connections.local import connect_local
    from nasexp.errors import StageError
    from nasexp.host.claims import claim

    mounted(tmp_path, "size=64k")
    connection = connect_local("local")
    first = claim(connection, str(tmp_path / "run"), 1, "abc")
    connection.run('cat /dev/zero >"$1"', str(tmp_path / "filler"))

    assert claim(connection, str(tmp_path / "run"), 1, "abc") == first
    with pytest.raises(StageError, match="cannot claim the run"):
        claim(connection, str(tmp_path / "run"), 2, "def")
    connection.close()


def test_code_onto_a_full_disk_goes_on_when_there_is_room(
    tmp_path, mounted, remounted, monkeypatch
):
    monkeypatch.setattr(code, "MOST_BATCH_BYTES", 500_000)
    (tmp_path / "bin").mkdir()
    for number in range(50):
        (tmp_path / f"bin/{number}").write_bytes(os.urandom(100_000))
    packed = pack(tmp_path / "bin", tmp_path / "bin.tar.gz")
    archive = Archive(tmp_path / "bin.tar.gz", packed.sha256, packed.size_bytes)
    (tmp_path / "host").mkdir()
    mounted(tmp_path / "host", "size=3m")
    connection, folder = connect_local("gpu"), tmp_path / "host/runs/r"
    link = Link(connection, QuietMonitor())
    with pytest.raises(StageError, match="No space left on device") as caught:
        code.upload_code(link, archive, str(folder), "p-run_0")
    assert str(folder) in caught.value.hint
    assert not (folder / "work").exists()
    assert not (folder / "ready").exists()
    (folder / "small record").write_text("there is room for it")
    arrived = int((folder / "sent").read_text().split()[-1])
    assert arrived > 2_000_000

    remounted(tmp_path / "host", "size=6m")
    (folder / "small record").unlink()
    monitor = Progress()
    assert code.upload_code(Link(connection, monitor), archive, str(folder), "p-run_0")

    assert monitor.first > arrived
    assert sorted(os.listdir(folder)) == ["ready", "work"]
    for number in range(50):
        there, here = folder / f"work/{number}", tmp_path / f"bin/{number}"
        assert there.read_bytes() == here.read_bytes()
    connection.close()


class Progress(QuietMonitor):
    first = 0

    def progress(self, done_bytes, total_bytes):
        self.first = self.first or done_bytes


def test_a_plain_user_needs_no_root(workspace, tmp_path):
    import os
    import shutil

    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv to become a plain user")
    workspace.add_project("p", "mkdir output; id -u")
    open_up = ["chmod", "-R", "a+rwX", str(workspace.root.parent)]
    subprocess.run(open_up, check=True)
    parents = [folder for folder in workspace.root.parents if str(folder) not in ("/", "/tmp")]
    for folder in parents:
        folder.chmod(folder.stat().st_mode | 0o055)
    python = [sys.executable, "-m", "nasexp", "--workspace", str(workspace.root), "run"]
    plain = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *python]
    done = subprocess.run(plain, capture_output=True, text=True)
    if "Permission denied" in done.stderr and "python" in done.stderr:
        plain[plain.index(sys.executable)] = "/usr/bin/python3"
        pytest.skip(f"a plain user cannot start {sys.executable}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert workspace.run_paths("p").log.read_text() == "65534\n"
