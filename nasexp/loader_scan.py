"""Tells quickly whether any installed package brings plugins for nasexp."""

from __future__ import annotations

import os
import sys

ENTRY_POINT_GROUP = "nasexp"


def any_installed() -> bool:
    """Return whether some installed distribution names the group of our plugins.

    importlib.metadata would take longer to import than many commands take to run.
    """
    needle = f"[{ENTRY_POINT_GROUP}]".encode()
    return any(needle in text for folder in sys.path for text in _entry_point_files(folder))


def _entry_point_files(folder: str) -> list[bytes]:
    try:
        entries = [entry.path for entry in os.scandir(folder or ".")]
    except OSError:
        return []
    return [_read(f"{path}/entry_points.txt") for path in entries if path.endswith("-info")]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - called for every package
            return file.read()
    except OSError:
        return b""
