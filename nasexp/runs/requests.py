"""What people ask of a run that somebody else drives: files in its folder, read by the driver.

A file is the one way that works between two machines that see the same folder, and that is still
there when the driver was killed and another one takes over.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nasexp.runs.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from nasexp.runs.paths import RunPaths

STOP, EXTEND, CLOSE = "stop", "extend", "close"
REQUEST_LIMIT_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Request:
    """One wish: its name, who has it, and what belongs to it."""

    id: str
    wish: str
    by: str
    facts: dict[str, Any] = field(default_factory=dict)


def ask_driver(paths: RunPaths, wish: str, **facts: Any) -> Request:
    """Leave a request for whoever drives the run, now or later.

    Raises:
        StageError: the folder cannot be written.
    """
    paths.requests.mkdir(exist_ok=True)
    # Names sort by time: requests are met in the order in which they were made.
    request = Request(f"{time.time_ns():020d}-{secrets.token_hex(4)}", wish, person(), facts)
    document = {"wish": wish, "by": request.by, **facts}
    write_whole(_file(paths, request), json.dumps(document) + "\n")
    return request


def read_requests(paths: RunPaths) -> list[Request]:
    """Return the open requests, the oldest first; a file that is none is put aside."""
    try:
        names = sorted(entry.name for entry in os.scandir(paths.requests))
    except OSError:
        return []
    files = [paths.requests / name for name in names if name.endswith(".json")]
    return [request for file in files if (request := _read(file))]


def withdraw(paths: RunPaths, request: Request) -> None:
    """Take a request away: it was met, or nobody is there to meet it."""
    _file(paths, request).unlink(missing_ok=True)


def person() -> str:
    """Return who acts, as `user@machine`."""
    return f"{getpass.getuser()}@{platform.node()}"


def _file(paths: RunPaths, request: Request) -> Path:
    return paths.requests / f"{request.id}.json"


def _read(file: Path) -> Request | None:
    try:
        with file.open("rb") as opened:
            document = json.loads(opened.read(REQUEST_LIMIT_BYTES))
        wish, by = document.pop("wish"), document.pop("by")
    except (OSError, ValueError, KeyError, AttributeError):
        file.rename(file.with_suffix(".refused"))
        return None
    return Request(file.stem, str(wish), str(by), document)
