"""The console comes home whole; what the training does to it on the host is never hidden."""

from __future__ import annotations

import hashlib


def log_of(workspace):
    return workspace.run_paths("p").log


def ended(workspace):
    return [event for event in workspace.events("p") if event.name == "training.ended"][-1].facts


def test_its_digest_is_kept_and_compared_with_the_host(workspace):
    workspace.add_project("p", "mkdir output; head -c 3000000 /dev/urandom")

    workspace.nasexp("run", "--foreground").assert_ok()

    digest = hashlib.sha256(log_of(workspace).read_bytes()).hexdigest()
    assert ended(workspace)["log_digest"] == digest
    assert ended(workspace)["log_complete"] is True


def test_a_script_that_cuts_its_console_makes_a_gap_that_is_told(workspace):
    # It waits until the first line is home, cuts, and waits until that was noticed.
    results = workspace.root / "projects/p/results/run_0"
    wait = (
        "mkdir output; echo first line; "
        f"until grep -q first '{results}/log.log'; do sleep 0.02; done; "
        ': >"../segments/1/log"; echo two; '
        f"until grep -q console.gap '{results}/events.jsonl'; do sleep 0.02; done; echo three"
    )
    workspace.add_project("p", wait)

    workspace.nasexp("run", "--foreground").assert_code(4, "log.log has a gap at byte 11")

    assert log_of(workspace).read_text() == "first line\ntwo\nthree\n"
    [gap] = [event.facts for event in workspace.events("p") if event.name == "console.gap"]
    assert (gap["offset"], gap["host_offset"]) == (11, 0)
    assert ended(workspace)["log_complete"] is True
    assert workspace.host_runs() == []


def test_a_console_that_was_changed_where_nobody_looked_is_kept_on_the_host(workspace):
    results = workspace.root / "projects/p/results/run_0"
    change = (
        "mkdir output; head -c 20000 /dev/zero | tr '\\0' x; "
        f"until [ $(wc -c <'{results}/log.log') = 20000 ]; do sleep 0.02; done; "
        "printf y | dd of=../segments/1/log conv=notrunc 2>/dev/null"
    )
    workspace.add_project("p", change)

    workspace.nasexp("run", "--foreground").assert_code(
        1, "log.log is not what the console on the host is now"
    )

    assert ended(workspace)["log_complete"] is False
    assert len(workspace.host_runs()) == 1
