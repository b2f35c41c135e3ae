"""The code to a host: unpacked as it arrives, exactly what was packed, over links that break."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from copies import BUSYBOX_TOOLS, MIB, ODD_NAMES, CutConnection, link_to, make_files

from nasexp.archives.pack import pack
from nasexp.archives.replay import Replay
from nasexp.connections.bulk import code
from nasexp.connections.bulk.code import upload_code
from nasexp.errors import ConnectionLost, StageError
from nasexp.values import Archive

RANDOM = os.urandom(3 * MIB)


@pytest.fixture
def bin_(tmp_path):
    """Code of every kind: odd names, links, modes, empty folders, files small and large."""
    root = tmp_path / "bin"
    contents = {name: name * 50 for name in ODD_NAMES}
    contents |= {b"many/%03d" % n: RANDOM[n * 4000 :][:4000] for n in range(300)}
    contents |= {b"large -1": RANDOM[:-7], b"new\nlarge/it's": RANDOM[9:], b"text": b"text" * 10**6}
    make_files(root, contents)
    (root / "empty").mkdir()
    (root / "nothing").touch()
    (root / "link").symlink_to("many/001")
    (root / "zz-last").symlink_to("empty")
    (root / "many/000").chmod(0o755)
    (root / "large -1").chmod(0o700)
    return root


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    monkeypatch.setattr(code, "LARGE_BYTES", MIB)
    monkeypatch.setattr(code, "MOST_BATCH_BYTES", MIB)
    monkeypatch.setattr(code, "LEAST_BATCH_BYTES", MIB // 4)


@pytest.fixture
def archive(tmp_path, bin_):
    packed = pack(bin_, tmp_path / "bin.tar.gz")
    return Archive(tmp_path / "bin.tar.gz", packed.sha256, packed.size_bytes)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "host/runs/r"


def look(root):
    """Return all there is below a folder: kind, mode, time and content."""
    found = {}
    for at, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            path = os.path.join(at, name)
            status = os.lstat(path)
            if os.path.islink(path):
                content, mode, mtime = os.readlink(path), 0, 0
            else:
                content = None if os.path.isdir(path) else Path(os.fsdecode(path)).read_bytes()
                mode, mtime = status.st_mode, int(status.st_mtime)
            found[os.path.relpath(path, os.fsencode(root))] = (mode, mtime, content)
    return found


def expected(archive, tmp_path):
    """Return what tar makes of an archive."""
    shutil.rmtree(tmp_path / "by-tar", ignore_errors=True)
    (tmp_path / "by-tar").mkdir()
    with tarfile.open(archive.path) as tar:
        tar.extractall(tmp_path / "by-tar", filter="fully_trusted")
    return look(tmp_path / "by-tar/bin")


def send(connection, archive, folder, monitor=None, **options):
    return upload_code(link_to(connection, monitor, **options), archive, str(folder), "p-run_0")


def check(archive, folder, tmp_path):
    assert look(folder / "work") == expected(archive, tmp_path)
    assert sorted(os.listdir(folder)) == ["ready", "work"]
    assert (folder / "ready").read_text() == archive.sha256 + "\n"
    assert (folder.parent.parent / "by-name/p-run_0").resolve() == folder.resolve()


def test_it_is_exactly_what_was_packed(connection, archive, folder, monitor, tmp_path):
    assert send(connection, archive, folder, monitor)

    check(archive, folder, tmp_path)
    assert (folder / "work/many/000").stat().st_mode & 0o777 == 0o755
    assert (folder / "work/large -1").stat().st_mode & 0o777 == 0o755
    assert monitor.steps[-1][0] <= archive.size_bytes
    assert monitor.steps == sorted(monitor.steps)
    assert monitor.notes == []


def test_under_every_shell(connect, shell, archive, folder, tmp_path):
    cut = CutConnection(connect(shell), [MIB, MIB])

    assert send(cut, archive, folder)

    check(archive, folder, tmp_path)


HOSTS = {
    "busybox": (BUSYBOX_TOOLS + " chmod rmdir sleep sync tee touch", True, True),
    "no tar, but Python": (
        "cat chmod dd find gzip ln mkdir mv python3 rm rmdir sh stat tee touch wc",
        False,
        True,
    ),
    "nothing to check with": (
        "cat chmod dd find gzip ln mkdir mv rm rmdir sh stat tar touch wc",
        False,
        False,
    ),
}


@pytest.mark.parametrize("kind", HOSTS)
def test_on_hosts_of_every_kind(connect, only, archive, folder, tmp_path, kind):
    names, busybox, is_checked = HOSTS[kind]
    path = only(names, busybox=busybox)
    cut = CutConnection(connect([path / "sh"], path), [MIB, 100_000])

    assert send(cut, archive, folder) == is_checked

    check(archive, folder, tmp_path)


def test_a_host_that_cannot_unpack_is_told(connect, only, archive, folder):
    connection = connect(path=only("cat dd gzip mkdir mv rm sh stat wc"))

    with pytest.raises(StageError, match="neither tar nor python3"):
        send(connection, archive, folder)


@pytest.mark.parametrize("quietly", [True, False])
@pytest.mark.parametrize("at", [1, 100_000, MIB, 2 * MIB, 5 * MIB, 7 * MIB])
def test_it_goes_on_where_it_was_cut(connection, archive, folder, monitor, tmp_path, at, quietly):
    cut = CutConnection(connection, [MIB // 2, MIB // 3, MIB, 700_000], quietly=quietly)
    cut.cuts.insert(0, at)

    assert send(cut, archive, folder, monitor)

    check(archive, folder, tmp_path)
    assert cut.carried < archive.size_bytes + 8 * MIB


def test_another_driver_goes_on_and_sends_what_is_missing(connection, archive, folder, tmp_path):
    lost = CutConnection(connection, refusals=10**6)
    sent = []

    def send_some(program, chunks, **options):
        sent.append(1)
        if len(sent) == 4:  # two batches and a large file have arrived
            lost.cuts = [100_000]
        return CutConnection.send(lost, program, chunks, **options)

    lost.send = send_some
    with pytest.raises(ConnectionLost):
        send(lost, archive, folder)
    place = int((folder / "sent").read_text().split()[-1])
    assert place > 3 * MIB
    assert not (folder / "work").exists()
    assert not (folder / "ready").exists()

    again = CutConnection(connection)
    assert send(again, archive, folder)

    check(archive, folder, tmp_path)
    assert again.carried <= archive.size_bytes - place + 20_000


def test_a_large_file_goes_on_by_offset(connection, folder, tmp_path):
    make_files(tmp_path / "bin", {b"a": b"1", b"model": RANDOM})
    packed = pack(tmp_path / "bin", tmp_path / "a.tar.gz")
    archive = Archive(tmp_path / "a.tar.gz", packed.sha256, packed.size_bytes)
    cut = CutConnection(connection, [1 << 40, 2 * MIB + 5], quietly=True, refusals=10**6)
    with pytest.raises(ConnectionLost):
        send(cut, archive, folder)

    again = CutConnection(connection)
    send(again, archive, folder)

    check(archive, folder, tmp_path)
    assert again.carried < MIB + 20_000


def test_bin_may_change_meanwhile(connection, archive, folder, bin_, tmp_path):
    shutil.rmtree(bin_)

    send(connection, archive, folder)

    check(archive, folder, tmp_path)


def test_what_lies_there_of_another_archive_is_not_kept(connection, archive, folder, tmp_path):
    (folder / "unpack/bin").mkdir(parents=True)
    (folder / "unpack/bin/stale").touch()
    (folder / "work").mkdir()
    (folder / "sent").write_text(f"{'0' * 64} boot 512\n")

    send(connection, archive, folder)

    check(archive, folder, tmp_path)


def test_what_a_power_cut_may_have_spoilt_is_sent_anew(connection, archive, folder, tmp_path):
    (folder / "unpack/bin").mkdir(parents=True)
    (folder / "sent").write_text(f"{archive.sha256} another-boot {archive.size_bytes}\n")

    send(connection, archive, folder)

    check(archive, folder, tmp_path)


def test_who_unpacked_before_is_ended_and_nobody_else(connection, archive, folder, tmp_path):
    folder.mkdir(parents=True)
    old, other = (subprocess.Popen(["sleep", "100"]) for _ in range(2))
    ticks = Path(f"/proc/{old.pid}/stat").read_text().rpartition(")")[2].split()[19]
    (folder / "writer.0123").write_text(f"{old.pid} {ticks}\n")
    (folder / "writer.4567").write_text(f"{other.pid} {int(ticks) + 10**6}\n")
    (folder / "writer.89").write_text("")

    send(connection, archive, folder)

    assert old.wait(5) == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()
    check(archive, folder, tmp_path)


def test_who_thaws_after_its_turn_unpacks_nothing(tmp_path):
    (tmp_path / "turn").write_text("another\n")

    done = subprocess.run(["sh", "-c", code.WRITER, "sh", "mine", "touch", "made"], cwd=tmp_path)

    assert done.returncode == 8
    assert not (tmp_path / "made").exists()


def liar(path, times):
    """Make an `openssl` that is wrong so many times."""
    (path / "openssl").write_text(
        f"#!/bin/sh\nn=$(cat {path}/n 2>/dev/null || echo 0); echo $((n + 1)) >{path}/n\n"
        f"if [ $n -lt {times} ]; then cat >/dev/null; echo {'0' * 64}; "
        "else sha256sum; fi\n"
    )
    (path / "openssl").chmod(0o755)


TOOLS = "cat chmod dd find gzip ln mkdir mv rm rmdir sh sha256sum stat tar tee touch wc"


def test_what_arrived_damaged_is_sent_again(connect, only, archive, folder, monitor, tmp_path):
    path = only(TOOLS)
    liar(path, 1)

    assert send(connect(path=path), archive, folder, monitor)

    check(archive, folder, tmp_path)
    assert monitor.notes == ["some of the code arrived damaged; it is sent again"]


def test_damaged_twice_is_an_error_and_nothing_appears(connect, only, archive, folder):
    path = only(TOOLS)
    liar(path, 2)

    with pytest.raises(StageError, match="arrived damaged on host 'gpu', twice"):
        send(connect(path=path), archive, folder)

    assert not (folder / "work").exists()
    assert not (folder / "ready").exists()


def test_another_archive_of_that_name_is_refused(connection, archive, folder, tmp_path):
    make_files(tmp_path / "other", {b"a": b"1"})
    pack(tmp_path / "other", archive.path)

    with pytest.raises(StageError, match="not what was packed for this run"):
        send(connection, archive, folder)

    assert not (folder / "ready").exists()


@pytest.mark.parametrize(
    "members",
    [
        [("bin/", None), ("bin/out", "/tmp"), ("bin/out/evil", b"x")],
        [("bin/", None), ("bin/../../evil", b"x")],
        [("/tmp/evil", b"x")],
    ],
)
def test_nothing_is_ever_unpacked_outside(connection, folder, tmp_path, members):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, what in members:
            info = tarfile.TarInfo(name)
            if isinstance(what, bytes):
                info.size = len(what)
                tar.addfile(info, io.BytesIO(what))
            else:
                info.type = tarfile.SYMTYPE if what else tarfile.DIRTYPE
                info.linkname = what or ""
                tar.addfile(info)
    path = tmp_path / "evil.tar.gz"
    path.write_bytes(gzip.compress(made.getvalue()))
    sha256 = hashlib.sha256(made.getvalue()).hexdigest()

    with pytest.raises(StageError, match="is refused"):
        send(connection, Archive(path, sha256, len(made.getvalue())), folder)

    assert not Path("/tmp/evil").exists()
    assert not (folder / "ready").exists()


def test_a_repeated_last_step_is_the_same(connection, archive, folder, tmp_path):
    class Deaf(CutConnection):
        def run(self, program, *words, **options):
            answer = super().run(program, *words, **options)
            if program == code.FINISH and not self.is_cut:
                self.is_cut = True
                raise ConnectionLost("the answer was lost")
            return answer

    send(Deaf(connection), archive, folder)

    check(archive, folder, tmp_path)


def test_a_host_that_was_started_anew_at_the_end_gets_all_again(
    connection, archive, folder, tmp_path
):
    class Rebooted(CutConnection):
        def run(self, program, *words, **options):
            if program == code.FINISH and not self.is_cut:
                self.is_cut = True
                (folder / "sent").write_text(f"{archive.sha256} before {archive.size_bytes}\n")
            return super().run(program, *words, **options)

    send(Rebooted(connection), archive, folder)

    check(archive, folder, tmp_path)


class TestReplay:
    def test_any_place_can_be_gone_to_in_any_order(self, archive):
        with Replay(archive.path, archive.sha256) as replay:
            places, names = [], []
            place = 0
            while entry := replay.at(place):
                places.append(place)
                names.append(entry.name)
                for _ in replay.batch(place, lambda _entry, _size: True):
                    pass
                place = replay.place
            assert names == sorted(names, key=os.fsencode)
            for number in (5, 3, len(places) - 1, 0, 0, 7):
                assert replay.at(places[number]).name == names[number]

    def test_a_place_within_a_file_is_none(self, archive):
        replay = Replay(archive.path, archive.sha256)
        with replay, pytest.raises(StageError, match="no file begins at byte 700"):
            replay.at(700)

    def test_an_archive_of_ten_thousand_is_skipped_fast(self, tmp_path):
        make_files(tmp_path / "bin", {b"%d" % n: b"x" for n in range(10_000)})
        packed = pack(tmp_path / "bin", tmp_path / "a.tar.gz")
        began = time.monotonic()
        with Replay(tmp_path / "a.tar.gz", packed.sha256) as replay:
            assert replay.at(512 * 20_000 - 1023 + 511) is not None
        assert time.monotonic() - began < 5
