"""Writes the pages, or with --check says which of them are stale."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docs.generator import exit_codes, hooks, json_keys, run_folder, settings, tasks, variables

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "tasks.md": tasks.page_text,
    "settings.md": settings.page_text,
    "hooks.md": hooks.page_text,
    "exit-codes.md": exit_codes.page_text,
    "json.md": json_keys.page_text,
    "run-folder.md": run_folder.page_text,
    "variables.md": variables.page_text,
}


def main() -> int:
    """Return 1 when something is stale and was only to be checked."""
    stale = [name for name, text in made().items() if text != _read(REFERENCE / name)]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/reference/{name} is stale; make it anew with ./inv dev.docs")
        return 1 if stale else 0
    for name, text in made().items():
        (REFERENCE / name).write_text(text)
    print("written:", ", ".join(stale) if stale else "nothing, every page was fresh")
    return 0


def made() -> dict[str, str]:
    """Return every page by the name of its file."""
    return {name: make() for name, make in PAGES.items()}


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
