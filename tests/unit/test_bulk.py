"""Bulk copies: whole or not at all, over links that break, to and from hosts of every kind."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import os
import shutil
import time
from pathlib import Path

import pytest
from copies import (
    BUSYBOX_TOOLS,
    MIB,
    ODD_NAMES,
    CutConnection,
    Facts,
    FakeClock,
    link_to,
    make_files,
)
from hypothesis import given
from hypothesis import strategies as st

from nasexp.connections.bulk import download, large, upload, upload_programs
from nasexp.connections.bulk.download import Download
from nasexp.connections.bulk.forms import Forms
from nasexp.connections.bulk.link import Received
from nasexp.connections.bulk.pace import Pace
from nasexp.connections.bulk.redial import Redial
from nasexp.connections.bulk.shrink import is_worth_it, shrunk
from nasexp.connections.bulk.tools import host_digests
from nasexp.connections.bulk.upload import Source
from nasexp.connections.protocol import set_words
from nasexp.errors import ConnectionLost, HostKeyRefused, StageError


def source_of(data, chunk_bytes=300_000):
    @contextlib.contextmanager
    def opened():
        yield (data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes))

    return Source(opened, len(data))


DATA = os.urandom(5 * MIB + 12345)


class TestUpload:
    @pytest.mark.parametrize("size", [0, 1, MIB, len(DATA)])
    def test_a_stream_becomes_a_file(self, connection, monitor, tmp_path, size):
        path = tmp_path / "made/for it/code.tar"

        is_checked = upload.upload(link_to(connection, monitor), source_of(DATA[:size]), str(path))

        assert path.read_bytes() == DATA[:size]
        assert is_checked
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

        is_checked = upload.upload(link_to(cut), source_of(DATA), str(tmp_path / "x"))

        assert (tmp_path / "x").read_bytes() == DATA
        assert is_checked

    @pytest.mark.parametrize("quietly", [True, False])
    @pytest.mark.parametrize("at", [1, 1000, MIB - 1, MIB, 3 * MIB + 5, len(DATA)])
    def test_it_goes_on_where_it_was_cut(self, connection, monitor, tmp_path, at, quietly):
        cut = CutConnection(connection, [at], quietly=quietly)

        upload.upload(link_to(cut, monitor), source_of(DATA), str(tmp_path / "x"))

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
        monkeypatch.setattr(upload, "PIECE_BYTES", MIB)
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

    def test_when_patience_ends_the_next_call_goes_on(self, connection, tmp_path):
        cut = CutConnection(connection, [4 * MIB], quietly=True, refusals=10**6)
        with pytest.raises(ConnectionLost, match="no route to host"):
            upload.upload(link_to(cut), source_of(DATA), str(tmp_path / "x"))

        again = CutConnection(connection)
        upload.upload(link_to(again), source_of(DATA), str(tmp_path / "x"))

        assert again.carried == len(DATA) - 4 * MIB
        assert (tmp_path / "x").read_bytes() == DATA

    def test_a_writer_that_is_still_alive_writes_to_another_file(self, connection, tmp_path):
        part = tmp_path / "x"
        part.write_bytes(DATA[: 2 * MIB + 100])
        (tmp_path / "x.open.0123456789abcdef").touch()

        with part.open("ab", buffering=0) as old_writer:
            before = os.fstat(old_writer.fileno()).st_ino

            @contextlib.contextmanager
            def opened():
                def chunks():
                    for at in range(0, len(DATA), 100_000):
                        old_writer.write(b"junk")
                        yield DATA[at : at + 100_000]

                yield chunks()

            source = Source(opened, len(DATA))
            upload.upload(link_to(CutConnection(connection)), source, str(tmp_path / "x"))

        assert (tmp_path / "x").read_bytes() == DATA
        assert (tmp_path / "x").stat().st_ino != before
        assert [entry.name for entry in tmp_path.iterdir()] == ["x"]

    def test_a_writer_that_thaws_later_finds_its_mark_gone(self, connection, tmp_path):
        (tmp_path / "x").write_bytes(DATA[:MIB])
        words = [str(tmp_path / "x"), "mine", str(MIB), "plain", "0", "0"]
        removing = upload_programs.APPEND.replace(
            "exec >>", f"rm -f '{tmp_path}/x.open.mine'; exec >>"
        )

        answer = connection.send(set_words(words).decode() + removing, [b"junk"])

        assert answer.status == 8
        assert (tmp_path / "x").read_bytes() == DATA[:MIB]

    def test_what_arrived_damaged_is_sent_again(self, connection, monitor, tmp_path):
        (tmp_path / "x").write_bytes(b"wrong" * 1000)

        upload.upload(link_to(connection, monitor), source_of(DATA), str(tmp_path / "x"))

        assert (tmp_path / "x").read_bytes() == DATA
        assert monitor.notes == [f"{tmp_path / 'x'} arrived damaged; it is sent again"]

    def test_more_than_there_should_be_is_not_kept(self, connection, tmp_path):
        (tmp_path / "x").write_bytes(DATA + b"more")

        upload.upload(link_to(connection), source_of(DATA), str(tmp_path / "x"))

        assert (tmp_path / "x").read_bytes() == DATA

    def test_damaged_twice_is_an_error_and_nothing_of_it_stays(self, connect, only, tmp_path):
        path = only("cat dd mkdir mv rm stat wc")
        (path / "openssl").write_text(f"#!/bin/sh\ncat >/dev/null\necho {'0' * 64} '*stdin'\n")
        (path / "openssl").chmod(0o755)
        (tmp_path / "host").mkdir()

        with pytest.raises(StageError, match="arrived damaged on host 'gpu', twice"):
            upload.upload(link_to(connect(path=path)), source_of(DATA), str(tmp_path / "host/x"))

        assert list((tmp_path / "host").iterdir()) == []

    @pytest.mark.parametrize(("size", "text"), [(99, "shrank"), (101, "grew")])
    def test_a_source_that_is_not_as_long_as_it_said(self, connection, tmp_path, size, text):
        source = source_of(bytes(size))
        wrong = Source(source.open, 100)

        with pytest.raises(StageError, match=text):
            upload.upload(link_to(connection), wrong, str(tmp_path / "x"))

    def test_a_host_that_cannot_check_says_so(self, connect, only, tmp_path):
        connection = connect(["/bin/sh"], only("cat dd mkdir mv rm stat wc"))

        assert not upload.upload(link_to(connection), source_of(b"x"), str(tmp_path / "x"))

    def test_a_folder_that_cannot_be_made_is_an_error(self, connection, tmp_path):
        (tmp_path / "file").touch()

        with pytest.raises(StageError, match="could not take .*file/x"):
            upload.upload(link_to(connection), source_of(b"x"), str(tmp_path / "file/x"))


class TestForms:
    """What goes up packed: fed by a link that takes so many bytes per second."""

    TEXT = b"".join(b"line %d of a text that shrinks\n" % n for n in range(1_000_000))

    def sent(self, forms, clock, rate, data=TEXT):
        chunks = (data[at : at + MIB] for at in range(0, len(data), MIB))
        is_packed, ready = forms.choose(chunks)
        sent = []
        for chunk in ready:
            sent.append(chunk)
            clock.at += len(chunk) / rate
        came = b"".join(sent)
        assert (gzip.decompress(came) if is_packed else came) == data
        return is_packed

    @pytest.fixture
    def clock(self):
        return FakeClock()

    def forms(self, connection, clock, share=0.3, **options):
        return Forms(link_to(connection, clock=clock.clock(), **options), share)

    def test_what_shrinks_goes_packed_and_what_does_not_plain(self, connection, clock):
        assert self.sent(self.forms(connection, clock), clock, 10e6)
        assert not self.sent(self.forms(connection, clock), clock, 10e6, DATA)
        assert not self.sent(self.forms(connection, clock, share=0.95), clock, 10e6)
        assert not self.sent(self.forms(connection, clock), clock, 10e6, b"")

    def test_a_host_without_gzip_gets_it_plain(self, connect, only, clock):
        connection = connect(["/bin/sh"], only("cat"))

        assert not self.sent(self.forms(connection, clock), clock, 10e6)

    @pytest.mark.parametrize(("rate", "is_packed"), [(10e6, True), (1e9, False)])
    def test_the_rate_decides_once_it_is_known(self, connection, clock, rate, is_packed):
        forms = self.forms(connection, clock)
        self.sent(forms, clock, rate, DATA * 4)

        assert self.sent(forms, clock, rate) == is_packed

    def test_a_limit_is_a_rate_too(self, connection, clock):
        forms = self.forms(connection, clock, limit=5e6)
        self.sent(forms, clock, 1e9, DATA * 4)

        assert self.sent(forms, clock, 1e9)

    def test_a_slow_link_gets_a_file_packed(self, connection, tmp_path):
        carried = CutConnection(connection, [MIB])
        link = link_to(carried)

        upload.upload(link, source_of(self.TEXT), str(tmp_path / "x"), forms=Forms(link, 0.3))

        assert (tmp_path / "x").read_bytes() == self.TEXT
        assert carried.carried < len(self.TEXT) / 2


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
        contents = {b"%d" % n: b"text" * 1000 for n in range(200)} | {b"large": b"abc" * 4 * MIB}
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
