"""The state of a run on its host, its next step and its end: pure functions, every combination."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.errors import StageError
from nasexp.host.found import Ended, Exit, Probe, Start, parse_probe
from nasexp.host.states import (
    Known,
    Step,
    age_seconds,
    alive_seconds,
    beat_age_seconds,
    deadline_left_seconds,
    derive,
    ending_of,
    next_step,
)
from nasexp.launchers.agent import observe
from nasexp.values import Ending, State, Why

START = Start(1000, 1_795_000_000, "boot-a")
NOW = Probe(uptime=5000, wall_seconds=1_795_000_040.0, boot="boot-a", ready="d", version=2)
STARTED = replace(NOW, start=START, runner_boot="boot-a")
RUNNING = replace(STARTED, runner_alive=True, warden_alive=True, beat=4900)
EXIT = Exit("exit", 0, 4000, 4000)
REBOOTED = replace(STARTED, boot="boot-b", uptime=700, beat=3000)

STATES = [
    (Probe(gone=True), State.GONE, Step.NOTHING),
    (replace(NOW, ready=None), State.STAGING, Step.UPLOAD),
    (NOW, State.READY, Step.LAUNCH),
    (replace(NOW, warden_alive=True), State.READY, Step.FOLLOW),
    (replace(NOW, runner_alive=True), State.READY, Step.FOLLOW),
    (RUNNING, State.RUNNING, Step.FOLLOW),
    (replace(RUNNING, warden_alive=False), State.UNWATCHED, Step.ADOPT),
    (replace(RUNNING, ended=Ended(0, 4000)), State.ENDING, Step.FOLLOW),
    (replace(RUNNING, runner_alive=False), State.ENDING, Step.FOLLOW),
    (STARTED, State.ENDING, Step.ADOPT),
    (replace(STARTED, ended=Ended(0, 4000)), State.ENDING, Step.ADOPT),
    (replace(STARTED, ended=Ended(0, 4000), exit=EXIT), State.ENDED, Step.COLLECT),
    (replace(STARTED, exit=EXIT), State.ENDED, Step.COLLECT),
    (REBOOTED, State.REBOOTED, Step.COLLECT),
    (replace(REBOOTED, ended=Ended(0, 4000)), State.ENDED, Step.COLLECT),
    (replace(REBOOTED, exit=EXIT), State.ENDED, Step.COLLECT),
    (replace(STARTED, exit=EXIT, survivors=(7,)), State.SURVIVORS, Step.ALARM),
    (replace(STARTED, exit=EXIT, collected="d"), State.COLLECTED, Step.CLEAN_UP),
    (replace(REBOOTED, collected="d"), State.COLLECTED, Step.CLEAN_UP),
    # A gate that was closed: it never ran and never will.
    (replace(NOW, start=Start(None, None)), State.ENDING, Step.ADOPT),
    (replace(NOW, start=Start(None, None), boot="boot-b"), State.ENDING, Step.ADOPT),
    # What cannot be, and what is safe then.
    (replace(RUNNING, collected="d"), State.RUNNING, Step.FOLLOW),
    (replace(STARTED, exit=EXIT, survivors=(7,), collected="d"), State.SURVIVORS, Step.ALARM),
    (replace(NOW, exit=EXIT), State.ENDED, Step.COLLECT),
    (replace(NOW, ended=Ended(0, 4000)), State.ENDED, Step.COLLECT),
    (replace(RUNNING, ready=None), State.RUNNING, Step.FOLLOW),
    # Folders of an older agent tell no boot in `start`.
    (replace(RUNNING, start=Start(1000, 1)), State.RUNNING, Step.FOLLOW),
    (replace(REBOOTED, start=Start(1000, 1), runner_boot=None), State.REBOOTED, Step.COLLECT),
]


@pytest.mark.parametrize(("found", "state", "step"), STATES)
def test_every_state_has_its_one_next_step(found, state, step):
    assert derive(found) is state
    assert next_step(state, found) is step


def every_probe():
    starts = [None, START, Start(None, None), Start(1000, 1)]
    flags = itertools.product([False, True], repeat=4)
    for start, (runner, warden, other_boot, collected) in itertools.product(starts, list(flags)):
        for ended, end, survivors, ready in itertools.product(
            [None, Ended(0, 4000)], [None, EXIT], [(), (7,)], [None, "d"]
        ):
            yield Probe(
                uptime=5000,
                wall_seconds=1_795_000_040.0,
                boot="boot-b" if other_boot else "boot-a",
                runner_boot="boot-a" if start else None,
                start=start,
                runner_alive=runner and not other_boot,
                warden_alive=warden,
                collected="d" if collected else None,
                ended=ended,
                exit=end,
                survivors=survivors if end else (),
                ready=ready,
            )


def test_no_combination_starts_twice_or_cleans_under_a_job():
    for found in every_probe():
        state = derive(found)
        step = next_step(state, found)
        if step in {Step.LAUNCH, Step.UPLOAD}:
            assert found.start is None
            assert found.exit is None
            assert found.ended is None
        if step is Step.CLEAN_UP:
            assert found.collected
            assert not found.survivors
            assert found.exit or state is State.COLLECTED
            assert not (found.runner_alive and not found.exit)
        if found.start and found.start.uptime is None and not found.exit:
            assert step in {Step.ADOPT, Step.FOLLOW}
        ending = ending_of(found, Known())
        assert (ending is not None) == (
            state in {State.ENDED, State.REBOOTED, State.SURVIVORS, State.COLLECTED}
        )


def test_the_end_is_exact_however_late_it_is_read():
    found = replace(STARTED, uptime=10**9, exit=Exit("exit", 7, 4000, 4000), suspended=500)

    assert ending_of(found, Known()) == Ending(Why.EXIT, 7, 25.0)


@pytest.mark.parametrize(
    ("end", "ending"),
    [
        (Exit("signal", 137, 4000, 4000), Ending(Why.SIGNAL, 137, 30.0)),
        (Exit("timeout", 143, 4000, 4000), Ending(Why.TIMEOUT, 143, 30.0)),
        (Exit("stopped", None, 4000, 4000), Ending(Why.STOPPED, None, 30.0)),
        (Exit("lost", None, 4000, 4600), Ending(Why.LOST, None, 30.0, 36.0)),
        (
            Exit("exit", 1, 4000, 4000, disk_full=True),
            Ending(Why.EXIT, 1, 30.0, cause="the disk of the host is full"),
        ),
    ],
)
def test_the_end_as_the_warden_wrote_it(end, ending):
    assert ending_of(replace(STARTED, exit=end), Known()) == ending


def test_a_gate_that_was_closed_has_no_length():
    found = replace(NOW, start=Start(None, None), exit=Exit("lost", None, 0, 4000))

    assert ending_of(found, Known()) == Ending(Why.LOST, None, 0.0)
    assert age_seconds(found) is None


def test_a_reboot_bounds_the_end_from_both_sides():
    # Started at wall 1795000000; the new boot began 7 s before 1795000040.
    assert ending_of(REBOOTED, Known()) == Ending(Why.REBOOT, None, 20.0, 34.0)
    # The last look that saw it live came after the beat on the disk.
    assert ending_of(REBOOTED, Known(alive_seconds=26.0)) == Ending(Why.REBOOT, None, 26.0, 34.0)
    # By the clock here, whatever that of the host says.
    known = Known(alive_seconds=26.0, started=500.0, now=540.5)
    assert ending_of(replace(REBOOTED, wall_seconds=5.0), known) == Ending(
        Why.REBOOT, None, 26.0, 33.5
    )


def test_the_upper_bound_is_never_below_the_lower():
    known = Known(alive_seconds=90.0)

    assert ending_of(REBOOTED, known) == Ending(Why.REBOOT, None, 90.0, 90.0)


def test_what_the_runner_said_before_a_reboot_is_the_exact_end():
    found = replace(REBOOTED, ended=Ended(143, 2500), reason="timeout")

    assert ending_of(found, Known()) == Ending(Why.TIMEOUT, 143, 15.0)
    assert ending_of(replace(found, reason=None), Known()) == Ending(Why.SIGNAL, 143, 15.0)


def test_what_a_driver_is_told():
    found = replace(RUNNING, deadline=6000, suspended=200, log_bytes=5, before=b"a", console=b"b")
    seen = observe(found, derive(found), Known())

    assert (seen.age_seconds, seen.alive_seconds, seen.suspended_seconds) == (40.0, 38.0, 2.0)
    assert (seen.deadline_left_seconds, seen.beat_age_seconds) == (12.0, 1.0)
    assert (seen.before, seen.console, seen.console_bytes) == (b"a", b"b", 5)
    assert (seen.state, seen.ending) == (State.RUNNING, None)


def test_another_boot_says_nothing_of_now():
    assert deadline_left_seconds(replace(REBOOTED, deadline=6000)) is None
    assert beat_age_seconds(REBOOTED) is None
    assert alive_seconds(REBOOTED) == 20.0
    assert age_seconds(REBOOTED) == 40.0


# --- the answer of a host, parsed with limits ---

HEAD = b"""uptime 5000
wall 1795000040.250000000
boot boot-a
version 2
timeout 9000
ready abc
owner 1 n1
owner 12 n12
owner 3 n3
segment 1
start 1000 1795000000 77 900 boot-a
starter_alive 1
warden_alive 1
warden 78 901 boot-a 1795000000 999
beat.a 1795000038 4800
beat.b 1795000039 4900
suspended 300
log 12"""


def test_a_running_job_is_read():
    found = parse_probe(HEAD, b"x", b"y")

    assert derive(found) is State.RUNNING
    assert (found.uptime, found.wall_seconds, found.wall_exact) == (5000, 1795000040.25, True)
    assert (found.deadline, found.beat, found.suspended) == (10_000, 4900, 300)
    assert (found.owner, found.segments, found.log_bytes) == ((12, "n12"), (1,), 12)
    assert (found.before, found.console) == (b"x", b"y")


def test_the_deadline_file_counts_more_than_the_specified_timeout():
    assert parse_probe(HEAD + b"\ndeadline 20000").deadline == 20_000
    assert parse_probe(HEAD + b"\ndeadline never").deadline is None


def test_a_clock_without_fractions_is_said_to_be_inexact():
    found = parse_probe(b"uptime 5\nwall 1795000040.%N\nboot b")

    assert (found.wall_seconds, found.wall_exact) == (1795000040.5, False)


def test_ends_are_read_those_of_an_older_agent_too():
    assert parse_probe(HEAD + b"\nexit exit 0 4000 none").exit == Exit("exit", 0, 4000, 4000)
    assert parse_probe(HEAD + b"\nexit lost none 4000 12:5 disk-full 4100").exit == Exit(
        "lost", None, 4000, 4100, disk_full=True
    )
    assert parse_probe(HEAD + b"\nended 1 4000 disk-full").ended == Ended(1, 4000, disk_full=True)


def test_the_runner_is_the_one_who_passed_the_gate():
    foreign = HEAD.replace(b"starter_alive 1\n", b"runner_alive 1\nrunner 5 6 boot-a\n")

    assert not parse_probe(foreign).runner_alive


NONSENSE = [
    b"",
    b"uptime x",
    b"uptime -5\nwall 1.5\nboot b",
    b"uptime 5\nwall 1e9\nboot b",
    b"uptime 5\nwall 1.5\nboot b\nexit bad 0 5 none",
    b"uptime 5\nwall 1.5\nboot b\nexit exit 999 5 none",
    b"uptime 5\nwall 1.5\nboot b\nstart 1 2\nstart 3 4",
    b"uptime 5\nwall 1.5\nboot b\nreason because",
    b"uptime 5\nwall 1.5\nboot b\nsegment ../x",
    b"uptime 5\nwall 1.5\nboot b\nready a/b",
    b"uptime 5\nwall 1.5\nboot b\nlog 1234567890123456",
    b"uptime 5\nwall 1.5\nboot b\nowner 1 a b",
    b"uptime 5\nwall 1.5\nboot \xff",
    HEAD + b"\nx " + b"x" * 20_000,
]


@pytest.mark.parametrize("head", NONSENSE)
def test_nonsense_is_refused(head):
    with pytest.raises(StageError, match="makes no sense"):
        parse_probe(head)


@given(st.binary(max_size=200))
def test_no_answer_crashes(head):
    try:
        parse_probe(head)
    except StageError as error:
        assert "makes no sense" in error.message


@given(st.lists(st.sampled_from(HEAD.split(b"\n") + NONSENSE), max_size=30), st.data())
def test_no_mix_of_lines_crashes(lines, data):
    head = bytearray(b"\n".join(lines))
    for _ in range(data.draw(st.integers(0, 3)) if head else 0):
        head[data.draw(st.integers(0, len(head) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = parse_probe(bytes(head))
    except StageError:
        return
    state = derive(found)
    next_step(state, found)
    observe(found, state, Known())
