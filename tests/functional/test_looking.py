"""What `status`, `runs` and `show` tell of a run: its stage, and times in the workspace's zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from nasexp.runs.journal import Journal

START = 1_790_000_000  # 2026-09-21 14:13:20 UTC


@pytest.fixture
def open_run(workspace):
    """A run of project p that has begun and has no driver; returns how to write its journal."""
    folder = workspace.root / "projects/p/results/run_0"
    workspace.write({f"{folder.relative_to(workspace.root)}/run.info":
                     f"start_epoch|{START}\nstatus|running\n"})  # fmt: skip

    def write(*events):
        journal = Journal(folder / "events.jsonl")
        for name, stage in events:
            journal.write(f"stage.{name}", stage=stage)
        journal.close()

    return write


@pytest.mark.parametrize(
    ("more", "stage"),
    [
        ([], "train"),
        ([("started", "backup")], "backup"),
        ([("started", "backup"), ("finished", "backup")], "train"),
        ([("started", "backup"), ("finished", "backup")] * 3, "train"),
        ([("finished", "train")], "train"),
        ([("finished", "train"), ("started", "backup")], "backup"),
        ([("finished", "train"), ("started", "collect")], "collect"),
    ],
)
def test_status_tells_the_stage_that_a_run_is_in(workspace, open_run, more, stage):
    open_run(("started", "connect"), ("finished", "connect"), ("started", "train"), *more)

    assert workspace.nasexp("status", "--json").json()[0]["stage"] == stage
    workspace.nasexp("status").assert_code(0, f"stage {stage} on")


def test_times_are_shown_in_the_zone_of_the_workspace(workspace, open_run):
    open_run(("started", "connect"))
    workspace.write({"nasexp.yaml": "timezone: Asia/Tokyo\n"})

    workspace.nasexp("runs").assert_code(0, " 2026-09-21 23:13")
    workspace.nasexp("show", "p/run_0").assert_code(0, "started   2026-09-21 23:13:20 JST")
    for words in (["runs", "--json"], ["show", "p/run_0", "--json"]):
        assert "2026-09-21T14:13:20+00:00" in workspace.nasexp(*words).assert_ok().output


def test_a_run_is_shown_in_the_zone_of_the_workspace(workspace):
    workspace.write({"nasexp.yaml": "timezone: Etc/GMT-14\n"})
    workspace.add_project("p", "mkdir output; echo hi")
    there = timezone(timedelta(hours=14))
    before = datetime.now(UTC).astimezone(there)
    output = workspace.nasexp("run").assert_ok().output
    after = datetime.now(UTC).astimezone(there)

    [shown] = re.findall(r"^(\d\d:\d\d):\d\d \| +hi$", output, re.MULTILINE)
    assert shown in {f"{moment:%H:%M}" for moment in (before, after)}


def test_a_zone_that_is_none_is_named_where_times_are_shown(workspace, open_run):
    open_run(("started", "connect"))
    workspace.write({"nasexp.yaml": "timezone: Mars/Olympus\n"})

    workspace.nasexp("runs").assert_code(2, "nasexp.yaml:1:11: timezone: found 'Mars/Olympus'")
    workspace.nasexp("runs", "--json").assert_ok()


def test_a_start_that_cannot_be_is_no_crash(workspace, open_run):
    workspace.write({"projects/p/results/run_0/run.info": "start_epoch|253402300799\n"})
    workspace.write({"nasexp.yaml": "timezone: Asia/Tokyo\n"})

    workspace.nasexp("runs").assert_code(0, "9999-12-31")
