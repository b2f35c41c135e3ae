from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.errors import StageError
from nasexp.runs.journal import Journal, read_events


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def written(path, *names):
    journal = Journal(path)
    for name in names:
        journal.write(name, fact=name.upper())
    journal.close()


def test_events_come_back_in_order_with_their_facts(path):
    written(path, "one", "two")

    events = read_events(path)
    assert [(event.name, event.facts) for event in events] == [
        ("one", {"fact": "ONE"}),
        ("two", {"fact": "TWO"}),
    ]
    assert events[0].time.tzinfo is not None


def test_each_line_is_one_json_object(path):
    written(path, "one", "two")

    for line in path.read_text().splitlines():
        assert set(json.loads(line)) == {"event", "time", "fact", "prev", "crc"}


def test_a_torn_last_line_is_cut_off_before_the_next_is_appended(path):
    written(path, "one", "two")
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines()[1])):
        path.write_bytes(whole[:-cut])
        written(path, "three")

        assert [event.name for event in read_events(path)] == ["one", "three"]


def test_reading_leaves_a_torn_line_alone(path):
    written(path, "one", "two")
    path.write_bytes(path.read_bytes()[:-5])
    before = path.read_bytes()

    assert [event.name for event in read_events(path)] == ["one"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", [0, 1])
def test_an_edited_line_is_found_by_its_number(path, line):
    written(path, "one", "two", "three")
    lines = path.read_text().splitlines(keepends=True)
    lines[line] = lines[line].replace("O", "0")
    path.write_text("".join(lines))

    with pytest.raises(StageError, match=f"line {line + 1}: the journal is damaged or was edited"):
        read_events(path)


def test_a_removed_line_is_found(path):
    written(path, "one", "two", "three")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[2])

    with pytest.raises(StageError, match="line 2"):
        read_events(path)


def test_a_full_disk_is_an_error_and_what_was_written_stays_whole(tmp_path):
    import resource
    import subprocess
    import sys

    program = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pathlib import Path
from nasexp.runs.journal import Journal
from nasexp.errors import StageError
journal = Journal(Path({str(tmp_path / "j")!r}))
journal.write("one")
resource.setrlimit(resource.RLIMIT_FSIZE, (300, {resource.RLIM_INFINITY}))
try:
    journal.write("two", text="x" * 100)
except StageError as error:
    print(error.message)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert "cannot be written" in done.stdout, done.stderr
    assert [event.name for event in read_events(tmp_path / "j")] == ["one"]
    assert (tmp_path / "j").read_bytes().endswith(b"\n")


@given(st.dictionaries(st.sampled_from(["a", "b", "text"]), st.text() | st.integers(), max_size=3))
def test_any_facts_survive(tmp_path_factory, facts):
    path = tmp_path_factory.mktemp("j") / "events.jsonl"
    journal = Journal(path)
    journal.write("x", **facts)
    journal.close()

    assert read_events(path)[0].facts == facts


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("j") / "events.jsonl"
    path.write_bytes(data)

    try:
        assert read_events(path) == []
    except StageError as error:
        assert "line" in error.message
