"""What only this project knows: `runs` and `show` tell each run's accuracy.

nasexp loads this file for this project's runs, as pytest loads a conftest.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nasexp import hookimpl

if TYPE_CHECKING:
    from nasexp.values import Collected


@hookimpl
def nasexp_run_columns(collected: Collected) -> dict[str, str]:
    """Read the last line of metrics.jsonl: that is the accuracy of the model that came home."""
    metrics = collected.output / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    if not lines:
        return {}
    last = json.loads(lines[-1])
    return {"epochs": str(last["epoch"]), "accuracy": f"{last['accuracy']:.4f}"}
