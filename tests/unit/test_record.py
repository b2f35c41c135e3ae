from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.runs.paths import RunPaths
from nasexp.runs.record import Record, read_record, write_record


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "p" / "results" / "run_3"
    path.mkdir(parents=True)
    return path


def test_a_record_comes_back_as_it_was_written(folder, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    record = Record(
        address="p/run_3", id="ab", project="p", client="ACME", host="local", status="ok",
        ending="exit code 0", exit_code=0, started=datetime(2026, 11, 24, 4, 44, 51, tzinfo=UTC),
        ended=datetime(2026, 11, 24, 5, 0, tzinfo=UTC), rate="45 EUR/h", warnings=2, seconds=909.5,
        columns={"accuracy": "0.98"},
    )  # fmt: skip
    write_record(RunPaths(folder), record)

    assert read_record(folder) == record


def test_the_first_lines_are_those_of_the_old_scripts(folder, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    started = datetime(2026, 11, 24, 4, 44, 51, 900_000, tzinfo=UTC)
    write_record(RunPaths(folder), Record("p/run_3", status="running", started=started))

    assert (folder / "run.info").read_text().splitlines()[:2] == [
        "start_time|Tue Nov 24 04:44:51 UTC 2026",
        "start_epoch|1795495491",
    ]


def test_a_folder_of_the_old_scripts_is_a_run_that_was_all_right(folder):
    (folder / "run.info").write_text(
        "start_time|Di 24. Nov 05:44:51 CET 2026\nstart_epoch|1795495491\n"
        "end_time|Di 24. Nov 06:44:51 CET 2026\nend_epoch|1795499091\n"
    )
    record = read_record(folder)

    assert (record.address, record.status, record.elapsed_seconds()) == ("p/run_3", "ok", 3600)


def test_a_folder_without_an_end_has_no_length(folder):
    (folder / "run.info").write_text("start_epoch|1795495491\n")

    assert read_record(folder).elapsed_seconds() is None
    assert read_record(folder).status == ""


def test_a_value_cannot_break_out_of_its_line(folder):
    write_record(RunPaths(folder), Record("p/run_3", status="failed", error="a\nstatus|ok\r\nb"))

    assert read_record(folder).status == "failed"
    assert read_record(folder).error == "a status|ok b"


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_reader(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("r") / "p" / "results" / "run_0"
    folder.mkdir(parents=True)
    (folder / "run.info").write_bytes(data)

    assert read_record(folder).address == "p/run_0"


@pytest.mark.parametrize("epoch", ["nan", "inf", "-1e400", "99999999999999999", "x", ""])
def test_a_broken_epoch_is_no_time(folder, epoch):
    (folder / "run.info").write_text(f"start_epoch|{epoch}\nend_epoch|5\n")

    assert read_record(folder).started is None
