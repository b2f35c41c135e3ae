"""Measures commands side by side and says whether each keeps its bar.

The cases of one comparison run in turn, round after round, so that a noisy minute of the machine
meets all of them; what counts is the median.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tabulate import tabulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure: a command (its whole process), or a function.

    Args:
        name: as it stands in the table.
        what: a command as an argument list, or a callable.
        bar: the largest ratio to the peer that is good; None where nothing is promised.
        size: of what came out, for the table; asked after the last round.
    """

    name: str
    what: Sequence[str | Path] | Callable[[], object]
    bar: float | None = None
    size: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """The median of one case, and its ratio to the peer of its comparison."""

    case: Case
    seconds: float
    fastest_seconds: float
    ratio: float

    @property
    def is_good(self) -> bool:
        """Whether the bar holds, or there is none."""
        return self.case.bar is None or self.ratio <= self.case.bar


def compare(title: str, peer: str, cases: Sequence[Case], rounds: int) -> list[Measured]:
    """Run the cases in turn, print a table, return what was measured.

    Args:
        title: printed above the table.
        peer: the name of the case that the others are held against.
        cases: what to run; the peer is one of them.
        rounds: how often each is run.
    """
    seconds: dict[str, list[float]] = {case.name: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            seconds[case.name].append(_timed(case))
    medians = {name: statistics.median(all_of_it) for name, all_of_it in seconds.items()}
    results = [
        Measured(x, medians[x.name], min(seconds[x.name]), medians[x.name] / medians[peer])
        for x in cases
    ]
    print(f"\n{title} ({rounds} rounds, ratio to {peer})\n{_table(results)}", flush=True)
    return results


def parser(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return the command line that every benchmark has."""
    made = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    made.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    made.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    return made


def exit_code(results: Sequence[Measured], *, check: bool) -> int:
    """Say which bars were missed; 1 if any was and somebody asked for a check."""
    missed = [result for result in results if not result.is_good]
    for result in missed:
        print(f"missed: {result.case.name} {result.ratio:.3f} x, bar {result.case.bar} x")
    return 1 if missed and check else 0


def _timed(case: Case) -> float:
    # What the case before has left to be written is not for this one to wait for.
    os.sync()
    start = time.perf_counter()
    if callable(case.what):
        case.what()
    else:
        subprocess.run([str(word) for word in case.what], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _table(results: Sequence[Measured]) -> str:
    rows = [
        (
            result.case.name,
            f"{result.seconds:.3f}",
            f"{result.fastest_seconds:.3f}",
            f"{result.ratio:.3f}",
            "" if result.case.bar is None else f"<= {result.case.bar}",
            "ok" if result.is_good else "MISSED",
            "" if result.case.size is None else f"{result.case.size() / 1e6:.1f}",
        )
        for result in results
    ]
    return tabulate(
        rows,
        headers=("case", "median s", "fastest s", "ratio", "bar", "", "MB out"),
        disable_numparse=True,
    )
