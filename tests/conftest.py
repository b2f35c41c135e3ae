"""What holds for all tests: the tiers, and that no skip goes unseen."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter

import pytest

pytest_plugins = ["nasexp.testing"]


@pytest.fixture
def programs_found(monkeypatch):
    """`nasexp` and `invoke` are on the PATH, as where the environment is activated."""
    folder = os.path.dirname(sys.executable)
    monkeypatch.setenv("PATH", folder + os.pathsep + os.environ["PATH"])


def pytest_configure():
    """Hear Ctrl-C where a script has started pytest in the background: tests send it to children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption(
        "--lab-required",
        action="store_true",
        help="a skipped lab test is a failure (where everything it needs can be had)",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Leave out heavy tests unless the marker expression speaks of them."""
    if "heavy" in (config.option.markexpr or ""):
        return
    heavy = [item for item in items if item.get_closest_marker("heavy")]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if not item.get_closest_marker("heavy")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if item.get_closest_marker("lab"):
        judge_skip(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    if "lab" in collector.path.relative_to(collector.config.rootpath).parts:
        judge_skip(report, collector.config)
    return report


def judge_skip(report, config):
    """Say in a skip of the lab that it is one; make it a failure where none is allowed."""
    if not report.skipped or not isinstance(report.longrepr, tuple):
        return  # an expected failure is no skip
    path, line, reason = report.longrepr
    reason = "lab: " + reason.removeprefix("Skipped: ").removeprefix("lab: ")
    report.longrepr = (path, line, reason)
    if config.option.lab_required:
        report.outcome = "failed"
        report.longrepr = f"{reason}: no excuse here (--lab-required), at {path}:{line}"


def pytest_terminal_summary(terminalreporter):
    """Count the skips by reason."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)
    told = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
    terminalreporter.write_line(f"skipped: {reasons.total()}" + (f" ({told})" if told else ""))
