"""Bulk copies: whole or not at all, over links that break, to and from hosts of every kind."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.connections.bulk import download, large, packed, upload
from nasexp.connections.bulk.download import Download
from nasexp.connections.bulk.link import Link, Received
from nasexp.connections.bulk.pace import Pace
from nasexp.connections.bulk.packed import upload_either
from nasexp.connections.bulk.redial import Clock, Redial
from nasexp.connections.bulk.shrink import is_worth_it, shrunk
from nasexp.connections.bulk.tools import host_digests
from nasexp.connections.bulk.upload import Source, Uploaded
from nasexp.connections.local import connect_local, job_environment
from nasexp.connections.process import ProcessStream
from nasexp.connections.shell import ShellConnection
from nasexp.errors import ConnectionLost, HostKeyRefused, StageError
from nasexp.testing import QuietMonitor

MIB = 1 << 20
SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "--posix"],
    "busybox": ["busybox", "sh"],
    "zsh": ["zsh", "--emulate", "sh"],
}
BUSYBOX_TOOLS = (
    "cat dd find grep gzip ln ls mkdir mv printf readlink rm sh sha256sum stat tar wc xargs"
)

ODD_NAMES = [
    b"-rf",
    b"--checkpoint-action=exec=sh x",
    b"new\nline",
    b"carriage\rreturn",
    b"tab\tand space ",
    b"quote'\"`$(x)",
    b"back\\slash",
    b"back\\101slash",
    b"invalid\xff\xfeutf8",
    "schön-漢字-🎉".encode(),
    b"n" * 255,
    b"*",
    b"~",
    b"deep/" + b"d" * 200 + b"/" + b"e" * 200,
]


class FakeClock:
    """Time that passes only where somebody sleeps."""

    def __init__(self):
        self.at = 1000.0
        self.slept = []

    def clock(self):
        return Clock(lambda: self.at, self.sleep, lambda: 1.0)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.at += seconds


class CutConnection:
    """A connection that is cut after so many bytes of a stream, once for each number given.

    Abruptly: the stream is closed and its shell killed. Quietly: the program on the host reads
    the end of its input and ends by itself, as behind a sshd that notices; we hear nothing of it.
    """

    def __init__(self, inner, cuts=(), quietly=False, refusals=0):
        self.inner, self.cuts, self.quietly = inner, list(cuts), quietly
        self.refusals = refusals
        self.is_cut = False
        self.carried = 0
        self.name = inner.name
        self.programs = []

    def run(self, program, *words, **options):
        self._refuse()
        self.programs.append(program)
        return self.inner.run(program, *words, **options)

    def send(self, program, chunks, **options):
        self._refuse()
        if not self.quietly:
            return self.inner.send(program, self._until_cut(chunks), **options)
        fuse = []
        answer = self.inner.send(program, self._until_cut(chunks, fuse), **options)
        if fuse:
            raise ConnectionLost("cut")
        return answer

    def receive(self, program, *words, **options):
        self._refuse()
        yield from self._until_cut(self.inner.receive(program, *words, **options))

    def _refuse(self):
        """Once cut, be away for so many calls."""
        if self.is_cut and self.refusals:
            self.refusals -= 1
            raise ConnectionLost("no route to host")

    def _until_cut(self, chunks, fuse=None):
        left = self.cuts.pop(0) if self.cuts else 1 << 62
        for chunk in chunks:
            part = chunk[:left]
            self.carried += len(part)
            left -= len(part)
            if part:
                yield part
            if not left:
                self.is_cut = True
                if fuse is not None:
                    fuse.append(1)
                    return
                raise ConnectionLost("cut")

    def close(self):
        self.inner.close()


class Carrier:
    """Runs a shell of one's choice, with programs of one's choice, maybe as another user."""

    via = "local"

    def __init__(self, command, path=None):
        self.command, self.path = [shutil.which(command[0]), *command[1:]], path

    def open(self):
        environment = job_environment()
        if self.path:
            environment["PATH"] = str(self.path)
        return ProcessStream([*self.command, "-s"], environment, "/", "this machine")

    def explain(self, stream, said):
        return ConnectionLost(f"no shell: {stream.complaints()}")

    def close(self):
        pass


@pytest.fixture
def connect():
    """Open connections; returns a function(command, path)."""
    opened = []

    def connect(command=("/bin/sh",), path=None):
        opened.append(ShellConnection("gpu", Carrier(list(command), path)))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def connection():
    opened = connect_local("gpu")
    yield opened
    opened.close()


@pytest.fixture(params=SHELLS)
def shell(request):
    command = SHELLS[request.param]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is missing")
    return command


@pytest.fixture
def only(tmp_path):
    """Make a PATH that holds only some programs; returns a function(names, busybox)."""

    def only(names, *, busybox=False):
        folder = tmp_path / "tools"
        folder.mkdir()
        for name in names.split():
            found = shutil.which("busybox" if busybox else name)
            if not found:
                pytest.skip(f"{name} is missing")
            real = Path(found)
            if ".pyenv" in found:  # a shim needs more than itself
                real = Path(shutil.which("python3", path="/usr/bin:/usr/local/bin") or found)
            (folder / name).symlink_to(real)
        return folder

    return only


@pytest.fixture
def monitor():
    return Monitor()


class Monitor(QuietMonitor):
    def __init__(self):
        super().__init__()
        self.steps = []

    def progress(self, done_bytes, total_bytes):
        self.steps.append((done_bytes, total_bytes))


def link_to(connection, monitor=None, **options):
    clock = options.pop("clock", None) or FakeClock().clock()
    return Link(connection, monitor or QuietMonitor(), clock=clock, **options)


def source_of(data, chunk_bytes=300_000, sha256=None):
    @contextlib.contextmanager
    def opened():
        yield (data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes))

    known = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
    return Source(opened, len(data), known)


DATA = os.urandom(5 * MIB + 12345)


class TestUpload:
    @pytest.mark.parametrize("size", [0, 1, MIB, len(DATA)])
    def test_a_stream_becomes_a_file(self, connection, monitor, tmp_path, size):
        path = tmp_path / "made/for it/code.tar"

        done = upload.upload(link_to(connection, monitor), source_of(DATA[:size]), str(path))

        assert path.read_bytes() == DATA[:size]
        assert done == Uploaded(hashlib.sha256(DATA[:size]).hexdigest(), checked=True)
        assert [entry.name for entry in path.parent.iterdir()] == ["code.tar"]
        assert path.stat().st_mode & 0o077 == 0
        assert monitor.steps[-1:] == ([(size, size)] if size else [])
        assert monitor.notes == []

    def test_under_every_shell(self, connect, shell, tmp_path):
        cut = CutConnection(connect(shell), [2 * MIB + 7])

        upload.upload(link_to(cut), source_of(DATA), str(tmp_path / "it's"))

        assert (tmp_path / "it's").read_bytes() == DATA

    def test_on_a_host_of_busybox_alone(self, connect, only, tmp_path):
        path = only(BUSYBOX_TOOLS, busybox=True)
        cut = CutConnection(connect([shutil.which("busybox"), "sh"], path), [2 * MIB + 7])

        done = upload.upload(link_to(cut), source_of(DATA), str(tmp_path / "x"))

        assert (tmp_path / "x").read_bytes() == DATA
        assert done.checked

    @pytest.mark.parametrize("quietly", [True, False])
    @pytest.mark.parametrize("at", [1, 1000, MIB - 1, MIB, 3 * MIB + 5, len(DATA)])
    def test_it_goes_on_where_it_was_cut(self, connection, monitor, tmp_path, at, quietly):
        cut = CutConnection(connection, [at], quietly=quietly)

        upload.upload(link_to(cut, monitor), source_of(DATA, sha256=""), str(tmp_path / "x"))

        assert (tmp_path / "x").read_bytes() == DATA
        assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
        # Abruptly cut, whole MiBs are kept, and of those what was on its way may be missing.
        most_again = 0 if quietly else 3 * MIB
        assert cut.carried <= len(DATA) + most_again
        assert monitor.notes == [
            "cut; the copy waits and goes on where it was cut",
            "the host answers again; the copy goes on where it was cut",
        ]

    def test_many_cuts(self, connection, monkeypatch, tmp_path):
        monkeypatch.setattr(upload, "PIECE_BYTES", MIB + 17)
        cut = CutConnection(connection, [900_000, 10, 1_000_000, 5, 1, 700_000], quietly=True)

        upload.upload(link_to(cut), source_of(DATA), str(tmp_path / "x"))

        assert (tmp_path / "x").read_bytes() == DATA

    def test_a_host_that_is_away_is_waited_for_and_told_of_once(
        self, connection, monitor, tmp_path
    ):
        time_passes = FakeClock()
        cut = CutConnection(connection, [100_000], refusals=4)
        link = link_to(cut, monitor, clock=time_passes.clock())

        upload.upload(link, source_of(DATA), str(tmp_path / "x"))

        assert time_passes.slept == [1, 2, 4]  # each attempt looks twice
        assert len(monitor.notes) == 2

    def test_when_patience_ends_nothing_is_published_and_the_next_call_goes_on(
        self, connection, tmp_path
    ):
        cut = CutConnection(connection, [4 * MIB], quietly=True, refusals=10**6)
        with pytest.raises(ConnectionLost, match="no route to host"):
            upload.upload(link_to(cut), source_of(DATA), str(tmp_path / "x"))
        assert not (tmp_path / "x").exists()

        again = CutConnection(connection)
        upload.upload(link_to(again), source_of(DATA, sha256=""), str(tmp_path / "x"))

        assert again.carried == len(DATA) - 4 * MIB
        assert (tmp_path / "x").read_bytes() == DATA

    def test_a_writer_that_is_still_alive_writes_to_another_file(self, connection, tmp_path):
        part = tmp_path / "x.part"
        part.write_bytes(DATA[: 2 * MIB + 100])
        (tmp_path / "x.part.open.0123456789abcdef").touch()

        with part.open("ab", buffering=0) as old_writer:
            before = os.fstat(old_writer.fileno()).st_ino

            @contextlib.contextmanager
            def opened():
                def chunks():
                    for at in range(0, len(DATA), 100_000):
                        old_writer.write(b"junk")
                        yield DATA[at : at + 100_000]

                yield chunks()

            source = Source(opened, len(DATA), hashlib.sha256(DATA).hexdigest())
            upload.upload(link_to(CutConnection(connection)), source, str(tmp_path / "x"))

        assert (tmp_path / "x").read_bytes() == DATA
        assert (tmp_path / "x").stat().st_ino != before
        assert [entry.name for entry in tmp_path.iterdir()] == ["x"]

    def test_a_writer_that_thaws_later_finds_its_mark_gone(self, connection, tmp_path):
        (tmp_path / "x.part").write_bytes(DATA[:MIB])
        words = upload.set_words([str(tmp_path / "x.part"), "mine", str(MIB)]).decode()
        removing = upload._APPEND.replace(
            "exec >>", f"rm -f '{tmp_path}/x.part.open.mine'; exec >>"
        )

        answer = connection.send(words + removing, [b"junk"])

        assert answer.status == 8
        assert (tmp_path / "x.part").read_bytes() == DATA[:MIB]

    def test_what_arrived_damaged_is_sent_again(self, connection, monitor, tmp_path):
        (tmp_path / "x.part").write_bytes(b"wrong" * 1000)

        upload.upload(link_to(connection, monitor), source_of(DATA), str(tmp_path / "x"))

        assert (tmp_path / "x").read_bytes() == DATA
        assert monitor.notes == [f"{tmp_path / 'x'} arrived damaged; it is sent again"]

    def test_more_than_there_should_be_is_not_kept(self, connection, tmp_path):
        (tmp_path / "x.part").write_bytes(DATA + b"more")

        upload.upload(link_to(connection), source_of(DATA), str(tmp_path / "x"))

        assert (tmp_path / "x").read_bytes() == DATA

    def test_damaged_twice_is_an_error_and_nothing_is_published(self, connection, tmp_path):
        with pytest.raises(StageError, match="arrived damaged on host 'gpu', twice"):
            upload.upload(
                link_to(connection), source_of(DATA, sha256="0" * 64), str(tmp_path / "x")
            )

        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("size", "text"), [(99, "shrank"), (101, "grew")])
    def test_a_source_that_is_not_as_long_as_it_said(self, connection, tmp_path, size, text):
        source = source_of(bytes(size))
        wrong = Source(source.open, 100, "")

        with pytest.raises(StageError, match=text):
            upload.upload(link_to(connection), wrong, str(tmp_path / "x"))

        assert not (tmp_path / "x").exists()

    def test_a_host_that_cannot_check_says_so(self, connect, only, tmp_path):
        connection = connect(["/bin/sh"], only("cat dd mkdir mv rm stat wc"))

        done = upload.upload(link_to(connection), source_of(b"x"), str(tmp_path / "x"))

        assert not done.checked

    def test_a_folder_that_cannot_be_made_is_an_error(self, connection, tmp_path):
        (tmp_path / "file").touch()

        with pytest.raises(StageError, match="could not take .*file/x"):
            upload.upload(link_to(connection), source_of(b"x"), str(tmp_path / "file/x"))


class TestUploadOfEither:
    TEXT = b"".join(b"line %d of a text that shrinks\n" % n for n in range(1_000_000))

    def send(self, connection, tmp_path, plain, small, clock=None):
        link = link_to(connection, clock=clock)
        plain, small = source_of(plain), source_of(small, sha256="")
        return upload_either(link, plain, small, str(tmp_path / "code"))[0]

    @pytest.mark.parametrize(("plain", "small"), [(TEXT, TEXT[:1000]), (b"x", b"")])
    def test_a_small_one_is_sent_packed(self, connection, tmp_path, plain, small):
        assert self.send(connection, tmp_path, plain, small) == str(tmp_path / "code.gz")
        assert (tmp_path / "code.gz").read_bytes() == small

    def test_one_that_does_not_shrink_is_sent_plain(self, connection, tmp_path):
        assert self.send(connection, tmp_path, DATA, DATA) == str(tmp_path / "code")

    def test_a_host_without_gzip_gets_it_plain(self, connect, only, tmp_path):
        connection = connect(["/bin/sh"], only("cat dd mkdir mv openssl rm stat wc"))

        assert self.send(connection, tmp_path, self.TEXT, b"small") == str(tmp_path / "code")

    @pytest.mark.parametrize(("rate", "suffix"), [(20e6, ".gz"), (1e9, "")])
    def test_the_rate_decides(self, connection, tmp_path, monkeypatch, rate, suffix):
        monkeypatch.setattr(packed, "PROBE_BYTES", MIB)
        clock = FakeClock()

        class Timed(CutConnection):
            def send(self, program, chunks, **options):
                answer = self.inner.send(program, self._until_cut(chunks), **options)
                clock.at += MIB / rate
                return answer

        small = DATA[: 2 * MIB]
        sent = self.send(Timed(connection), tmp_path, self.TEXT, small, clock.clock())

        assert sent == str(tmp_path / f"code{suffix}")
        assert [entry.name for entry in tmp_path.iterdir()] == [f"code{suffix}"]


@dataclass(frozen=True)
class Facts:
    size_bytes: int
    is_sparse: bool = False
    version: bytes = b"1"


def make_files(root, files):
    made = {}
    for path, content in files.items():
        place = os.path.join(os.fsencode(root), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(content)
        made[path] = Facts(len(content))
    return made


def found(root):
    paths = (Path(at) / name for at, _, names in os.walk(root) for name in names)
    return {os.fsencode(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.fixture
def host(tmp_path):
    (tmp_path / "host").mkdir()
    return tmp_path / "host"


HOSTS = {
    "GNU tar": (None, False),
    "busybox": (BUSYBOX_TOOLS, True),
    "no tar, but Python": ("cat dd gzip python3 sh stat wc", False),
    "neither": ("dd sh stat", False),
}


class TestDownload:
    def fetch(self, connection, host, files, monitor=None, **options):
        link = link_to(connection, monitor, **options)
        loading = Download(link, str(host), host.parent / "in", files)
        came = loading.fetch(files)
        assert came.digests == {
            path: hashlib.sha256(content).hexdigest()
            for path, content in found(loading.tree).items()
        }
        return came, found(loading.tree)

    @pytest.mark.parametrize("kind", HOSTS)
    def test_any_names_from_any_host(self, connect, only, host, kind):
        names, busybox = HOSTS[kind]
        path = only(names, busybox=busybox) if names else None
        connection = connect([path / "sh"] if path else ["/bin/sh"], path)
        contents = {name: name * 1000 for name in ODD_NAMES} | {b"empty": b"", b"one": b"1" * 512}

        came, there = self.fetch(connection, host, make_files(host, contents))

        assert there == contents
        assert (came.changed, came.unreadable) == ([], [])

    def test_under_every_shell(self, connect, shell, host):
        contents = {name: name * 100 for name in ODD_NAMES} | {b"large": DATA}
        files = make_files(host, contents)
        files[b"large"] = Facts(len(DATA), is_sparse=True)

        assert self.fetch(connect(shell), host, files)[1] == contents

    def test_many_files_take_one_stream(self, connection, host):
        contents = {b"%d/%d" % (n % 7, n): b"%d" % n for n in range(2000)}
        counted = CutConnection(connection)

        assert self.fetch(counted, host, make_files(host, contents))[1] == contents
        assert len(counted.programs) == 1  # which tools there are

    @pytest.mark.parametrize("at", [0, 1, 511, 512, 5000, 100_000, 260_000])
    def test_a_cut_stream_is_asked_for_what_is_missing(self, connection, monitor, host, at):
        contents = {b"f%d" % n: os.urandom(3000) for n in range(100)}
        cut = CutConnection(connection, [at] if at else [])

        _, there = self.fetch(cut, host, make_files(host, contents), monitor)

        assert there == contents
        assert cut.carried < 400_000 + at
        assert len(monitor.notes) == (2 if at else 0)
        assert monitor.steps[-1] == (300_000, 300_000)

    def test_when_patience_ends_it_is_the_links_error(self, connection, host):
        cut = CutConnection(connection, [1000], refusals=10**6)

        with pytest.raises(ConnectionLost):
            self.fetch(cut, host, make_files(host, {b"a": DATA[:5000]}))

    @pytest.mark.parametrize("at", [1, MIB, 2 * MIB + 7, 5 * MIB])
    def test_a_large_file_goes_on_by_offset(self, connection, monitor, host, monkeypatch, at):
        monkeypatch.setattr(download, "LARGE_BYTES", MIB)
        monkeypatch.setattr(large, "PIECE_BLOCKS", 2)
        cut = CutConnection(connection, [min(at, MIB), at, 1])

        _, there = self.fetch(cut, host, make_files(host, {b"a b/m'odel": DATA}), monitor)

        assert there == {b"a b/m'odel": DATA}
        assert cut.carried <= len(DATA) + 3 * MIB
        assert monitor.steps[-1] == (len(DATA), len(DATA))

    def test_the_next_pass_goes_on_with_the_same_version_only(self, connection, host, monkeypatch):
        monkeypatch.setattr(download, "LARGE_BYTES", MIB)
        files = make_files(host, {b"model": DATA})
        cut = CutConnection(connection, [4 * MIB + 5], refusals=10**6)
        with pytest.raises(ConnectionLost):
            self.fetch(cut, host, files)

        again = CutConnection(connection)
        assert self.fetch(again, host, files)[1] == {b"model": DATA}
        assert again.carried == len(DATA) - 4 * MIB

        cut = CutConnection(connection, [4 * MIB + 5], refusals=10**6)
        with pytest.raises(ConnectionLost):
            self.fetch(cut, host, files)
        other = CutConnection(connection)
        self.fetch(other, host, {b"model": Facts(len(DATA), version=b"2")})
        assert other.carried == len(DATA)
        assert list((host.parent / "in/parts").iterdir()) == []

    def test_a_hole_of_a_gibibyte_stays_one(self, connection, host):
        size = (1 << 30) + MIB
        with (host / "sparse").open("wb") as file:
            file.write(b"begin")
            file.seek(size - 3)
            file.write(b"end")
        carried = CutConnection(connection)
        link = link_to(carried)
        facts = Facts(size, is_sparse=True)
        loading = Download(link, str(host), host.parent / "in", {b"sparse": facts})

        came = loading.fetch([b"sparse"])

        status = (loading.tree / "sparse").stat()
        assert (status.st_size, status.st_blocks * 512 < MIB) == (size, True)
        assert carried.carried < 8 * MIB
        [theirs] = host_digests(connection, str(host), {b"sparse": size}).values()
        assert came.digests == {b"sparse": theirs}

    def test_zeros_at_the_end_count(self, connection, host):
        content = DATA[:MIB] + bytes(3 * MIB)
        files = make_files(host, {b"x": content})
        files[b"x"] = Facts(len(content), is_sparse=True)

        assert self.fetch(CutConnection(connection, [500]), host, files)[1] == {b"x": content}

    @pytest.mark.parametrize("limit", [32 * MIB, 10])
    def test_what_is_no_file_any_more_is_never_opened(self, connection, host, monkeypatch, limit):
        monkeypatch.setattr(download, "LARGE_BYTES", limit)
        contents = {name: name * 100 for name in (b"fifo", b"folder", b"gone", b"link", b"stays")}
        files = make_files(host, contents)
        for name in ("fifo", "folder", "gone", "link"):
            (host / name).unlink()
        os.mkfifo(host / "fifo")
        (host / "folder/deep").mkdir(parents=True)
        (host / "link").symlink_to("/etc/passwd")
        began = time.monotonic()

        came, there = self.fetch(connection, host, files)

        assert there == {b"stays": contents[b"stays"]}
        assert sorted(came.changed) == [b"fifo", b"folder", b"gone", b"link"]
        assert came.unreadable == []
        assert time.monotonic() - began < 30

    @pytest.mark.parametrize("limit", [32 * MIB, 10])
    def test_a_file_of_another_size_is_not_taken(self, connection, host, monkeypatch, limit):
        monkeypatch.setattr(download, "LARGE_BYTES", limit)
        files = make_files(host, {b"a": b"a" * 600, b"b": b"b" * 600})
        (host / "a").write_text("shrank")

        came, there = self.fetch(connection, host, files)

        assert there == {b"b": b"b" * 600}
        assert came.changed == [b"a"]

    @pytest.mark.parametrize("limit", [32 * MIB, 10])
    def test_what_the_account_may_not_read_is_named(
        self, connect, tmp_path_factory, monkeypatch, limit
    ):
        monkeypatch.setattr(download, "LARGE_BYTES", limit)
        host = tmp_path_factory.mktemp("unreadable") / "host"
        host.mkdir()
        files = make_files(host, {b"open": b"o" * 100, b"closed": b"c" * 100})
        (host / "closed").chmod(0)
        connection = connect()
        if os.geteuid() == 0:
            if not shutil.which("setpriv"):
                pytest.skip("setpriv is missing")
            for folder in (host, *host.parents[:3]):
                folder.chmod(0o755)
            plain = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            connection = connect([*plain, "/bin/sh"])

        came, there = self.fetch(connection, host, files)

        assert there == {b"open": b"o" * 100}
        assert (came.unreadable, came.changed) == ([b"closed"], [])

    def test_a_host_whose_tar_is_broken_is_told_from_a_lost_link(self, connect, only, host):
        path = only("cat dd sh stat")
        (path / "tar").write_text("#!/bin/sh\nhead -c 700 /dev/zero\nexit 2\n")
        (path / "tar").chmod(0o755)
        (path / "head").symlink_to(shutil.which("head"))
        files = make_files(host, {b"a": b"1"})
        (path / "tar").write_text("#!/bin/sh\nprintf 'half a header'\nexit 2\n")

        with pytest.raises(StageError, match="cannot send .*ended with status 2"):
            self.fetch(connect(["/bin/sh"], path), host, files)

    def test_names_that_nobody_asked_for_are_passed_over(self, connect, only, host, tmp_path):
        path = only("cat dd sh stat")
        (tmp_path / "evil").mkdir()
        for name in ("a", "b"):
            (tmp_path / "evil" / name).write_text("evil!")
        os.system(f"tar -C {tmp_path}/evil -P --transform='s,^b$,../../b,' -cf {tmp_path}/t b a")
        (path / "tar").write_text(f"#!/bin/sh\ncat {tmp_path}/t\n")
        (path / "tar").chmod(0o755)
        files = make_files(host, {b"a": b"12345"})

        assert self.fetch(connect(["/bin/sh"], path), host, files)[1] == {b"a": b"evil!"}
        assert not (host.parent / "b").exists()

    def test_a_slow_link_gets_it_packed(self, connection, host, monkeypatch):
        monkeypatch.setattr(Received, "rate", 1e6)
        monkeypatch.setattr("nasexp.connections.bulk.shrink.MEASURED_BYTES", 100_000)
        monkeypatch.setattr(download, "LARGE_BYTES", MIB)
        contents = {b"%d" % n: b"text" * 1000 for n in range(200)} | {b"large": b"abc" * MIB}
        carried = CutConnection(connection)

        _, there = self.fetch(carried, host, make_files(host, contents))

        assert there == contents
        assert carried.carried < sum(map(len, contents.values())) * 0.75


def test_packing_is_chosen_by_what_was_measured():
    assert is_worth_it(rate=12e6, ratio=0.3)
    assert not is_worth_it(rate=12e6, ratio=0.95)
    assert not is_worth_it(rate=110e6, ratio=0.1)
    assert not is_worth_it(rate=1e9, ratio=0.01)
    assert shrunk(b"text" * 10_000) < 0.1
    assert shrunk(DATA[:40_000]) > 0.9


class TestRedial:
    def lost(self, error=ConnectionLost("gone")):
        raise error

    def test_it_waits_longer_and_longer_up_to_its_patience(self):
        clock, told = FakeClock(), []
        redial = Redial(told.append, 600, clock.clock())

        with pytest.raises(ConnectionLost):
            redial.keep_trying(self.lost)

        assert clock.slept[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
        assert sum(clock.slept) == 600
        assert told == ["gone; the copy waits and goes on where it was cut"]

    def test_progress_makes_it_patient_again(self):
        clock = FakeClock()
        redial = Redial([].append, 10, clock.clock())
        attempts = itertools.count()

        def step():
            if next(attempts) < 50:
                redial.moved()
                raise ConnectionLost("gone")
            return "done"

        assert redial.keep_trying(step) == "done"
        assert set(clock.slept) == {1}

    def test_a_long_piece_is_no_impatience(self):
        clock = FakeClock()
        redial = Redial([].append, 10, clock.clock())
        attempts = itertools.count()

        def step():
            clock.at += 3600
            return "done" if next(attempts) else self.lost()

        assert redial.keep_trying(step) == "done"

    def test_what_waiting_does_not_mend_is_raised_at_once(self):
        clock = FakeClock()
        with pytest.raises(HostKeyRefused):
            Redial([].append, 10, clock.clock()).keep_trying(
                lambda: self.lost(HostKeyRefused("another key"))
            )

        assert clock.slept == []


class TestPace:
    @given(
        st.lists(st.integers(1, 300_000), max_size=20),
        st.sampled_from([5_000.0, 100_000.0, 3_000_000.0]),
    )
    def test_no_more_than_the_limit_and_a_burst_pass(self, sizes, limit):
        clock = FakeClock()
        pace = Pace(limit, clock.clock())
        began, passed = clock.at, 0

        for part in pace.through([bytes(size) for size in sizes]):
            passed += len(part)
            assert passed <= limit * (clock.at - began) + limit * 0.25 + 4096

        assert passed == sum(sizes)
        assert clock.at - began <= passed / limit + 1e-6

    def test_no_limit_costs_nothing(self):
        chunks = [b"a", b"b"]
        assert [*Pace().through(chunks)] == chunks
        with pytest.raises(ValueError, match="limit of 0"):
            Pace(0)

    def test_both_directions_keep_it(self, connection, tmp_path):
        (tmp_path / "host").mkdir()
        files = make_files(tmp_path / "host", {b"a": DATA[:MIB]})
        for copy in (
            lambda link: upload.upload(link, source_of(DATA[:MIB]), str(tmp_path / "x")),
            lambda link: Download(link, f"{tmp_path}/host", tmp_path / "in", files).fetch(files),
        ):
            clock = FakeClock()
            copy(link_to(connection, clock=clock.clock(), limit=100_000))
            assert MIB / 100_000 - 0.5 <= sum(clock.slept) <= MIB / 100_000 + 1


def test_digests_by_every_program(connect, only, host):
    names = ODD_NAMES[:12]
    files = make_files(host, {name: name for name in names})
    sizes = {name: facts.size_bytes for name, facts in files.items()} | {b"gone": 5}
    expected = {name: hashlib.sha256(name).hexdigest() for name in names}
    path = only("sh")
    assert host_digests(connect(["/bin/sh"], path), str(host), sizes) is None
    for tool in ("sha256sum", "python3", "openssl"):
        real = shutil.which(tool, path="/usr/bin:/usr/local/bin") or shutil.which(tool)
        (path / tool).symlink_to(real)
        assert host_digests(connect(["/bin/sh"], path), str(host), sizes) == expected, tool
    with pytest.raises(StageError, match="cannot read"):
        host_digests(connect(), "/nowhere", {b"a": 1})
