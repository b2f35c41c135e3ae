"""log.log against the console on the host: offsets, gaps, digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasexp.jobs import Observation
from nasexp.runs.console import ConsoleLog
from nasexp.tailing import KEPT_BYTES, Tail
from nasexp.testing import QuietMonitor


class Events:
    """A journal in memory."""

    def __init__(self):
        self.written = []

    def write(self, event, **facts):
        self.written.append((event, facts))

    def last(self, event):
        return next((facts for name, facts in reversed(self.written) if name == event), None)


@dataclass
class Console:
    """The console of a job on its host; a look brings at most `chunk` bytes of it."""

    data: bytes = b""
    chunk: int = 1000

    def look(self, offset):
        console = self.data[offset : offset + self.chunk]
        before = self.data[max(0, offset - KEPT_BYTES) : offset]
        return Observation(1.0, None, console, before=before, console_bytes=len(self.data))


class Home:
    """The side of the NAS: a log.log, followed by a driver that may be started anew."""

    def __init__(self, folder):
        self.path = folder / "log.log"
        self.events = Events()
        self.monitor = QuietMonitor()
        self.begin()

    def begin(self):
        run = SimpleNamespace(
            journal=self.events, monitor=self.monitor, paths=SimpleNamespace(log=self.path)
        )
        self.log = ConsoleLog(self.path)
        self.tail = Tail(run, self.log)

    def follow(self, job):
        for _ in range(10_000):
            seen = job.look(self.tail.offset)
            if not self.tail.fits(seen, job):
                continue
            if not seen.console:
                assert not self.tail.behind(seen)
                return
            self.log.append(seen.console)
            self.tail.took(seen.console)
        raise AssertionError("it never comes to the end")

    def agrees(self, digest):
        return self.tail.agrees(self.tail.own_digest(), digest)

    @property
    def bytes(self):
        return self.path.read_bytes()

    @property
    def gaps(self):
        return [facts for event, facts in self.events.written if event == "console.gap"]


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    yield home
    home.log.close()


def test_a_console_that_only_grows_has_no_gap(home):
    job = Console(b"x" * 5000)
    home.follow(job)
    job.data += b"y" * 7777
    home.log.close()
    home.begin()
    home.follow(job)

    assert home.bytes == job.data
    assert home.gaps == []
    assert home.agrees(hashlib.sha256(job.data).hexdigest()) is True
    assert home.agrees(hashlib.sha256(b"").hexdigest()) is False
    assert home.tail.own_digest() == hashlib.sha256(job.data).hexdigest()


def test_a_console_that_was_emptied_goes_on_from_its_start(home):
    job = Console(b"one\n" * 100)
    home.follow(job)
    job.data = b"two\n"
    home.follow(job)
    home.follow(job)

    assert home.bytes == b"one\n" * 100 + b"two\n"
    assert home.gaps == [{"offset": 400, "host_offset": 0, "host_bytes": 4}]
    assert home.monitor.warnings == [
        "the console on the host was cut or replaced: log.log has a gap at byte 400"
    ]
    assert home.agrees(hashlib.sha256(b"two\n").hexdigest()) is True


def test_what_is_left_of_a_console_that_was_cut_does_not_come_twice(home):
    job = Console(bytes(range(250)) * 40)
    home.follow(job)
    job.data = job.data[:6000]
    home.follow(job)
    job.data += b"more"
    home.follow(job)

    assert home.bytes == bytes(range(250)) * 40 + b"more"
    assert home.gaps == [{"offset": 10_000, "host_offset": 6000, "host_bytes": 6000}]
    assert home.agrees("0" * 64) is None, "part of the host's file is not at home"


def test_another_console_of_the_same_length_is_seen(home):
    job = Console(b"a" * 3000)
    home.follow(job)
    job.data = b"b" * 3000
    home.follow(job)

    assert home.bytes == b"a" * 3000 + b"b" * 3000
    assert [gap["host_offset"] for gap in home.gaps] == [0]


def test_a_gap_is_remembered_by_the_next_driver(home):
    job = Console(b"one\n" * 100)
    home.follow(job)
    job.data = b"two\n"
    home.follow(job)
    home.log.close()
    home.begin()
    job.data += b"three\n"
    home.follow(job)

    assert home.bytes == b"one\n" * 100 + b"two\nthree\n"
    assert len(home.gaps) == 1


def test_a_job_that_tells_no_length_is_believed(home):
    assert home.tail.fits(Observation(1.0, None, b"x"), Console())
    assert home.tail.behind(Observation(1.0, None, b"x"))
    assert not home.tail.behind(Observation(1.0, None, b""))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["grow", "empty", "cut", "again", "follow"]), st.integers(1, 6000)
        ),
        max_size=12,
    )
)
def test_nothing_is_hidden_whatever_the_script_does(tmp_path_factory, steps):
    """Without a gap log.log is the console; with one, what came since is."""
    home = Home(tmp_path_factory.mktemp("home"))
    job, made = Console(), 0
    for step, size in [*steps, ("follow", 0)]:
        if step == "grow":
            made += 1
            job.data += bytes([made]) * size
        elif step == "empty":
            job.data = b""
        elif step == "cut":
            job.data = job.data[: len(job.data) * 2 // 3]
        elif step == "again":
            home.log.close()
            home.begin()
        else:
            home.follow(job)

    if not home.gaps:
        # What was written and cut before anybody looked is lost, as nothing tells of it.
        assert home.bytes == job.data
    else:
        gap = home.gaps[-1]
        assert home.bytes[gap["offset"] :] == job.data[gap["host_offset"] :]
        assert home.monitor.warnings
    home.log.close()
