"""The plugin files that this repository ships, loaded as nasexp loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasexp.loader import load_file

FOLDER = Path(__file__).resolve().parents[2] / "plugins"


def shipped_plugins() -> dict[str, Any]:
    """Return each plugin module by its name."""
    files = sorted(FOLDER.glob("*.py"))
    return {path.stem: load_file(path, f"plugins/{path.name}") for path in files}
