"""All hosts of a workspace at a glance: asked at the same time, and when each was last seen."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasexp.connections.dialing import connect_host
from nasexp.connections.secret import ask_nobody
from nasexp.errors import NasexpError
from nasexp.host.survey import survey
from nasexp.runs.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nasexp.config.settings import Host
    from nasexp.config.workspace import Workspace
    from nasexp.host.survey import Survey

MOST_AT_ONCE = 16
BUSY_PERCENT = 5


@dataclass(frozen=True, slots=True)
class Sight:
    """One host as it was just seen.

    Attributes:
        host: the host.
        survey: what it told; None when it cannot be used now.
        trouble: why it cannot.
        since: since when that is so, as far as it was looked at: the first time it answered, or
            failed to, in a row. UTC.
    """

    host: Host
    survey: Survey | None
    trouble: str
    since: datetime

    @property
    def state(self) -> str:
        """`free`, `busy`, or `unreachable`."""
        if self.survey is None:
            return "unreachable"
        working = any(gpu.utilization_percent >= BUSY_PERCENT for gpu in self.survey.gpus)
        return "busy" if self.survey.live_runs or working else "free"


def look_at(workspace: Workspace, hosts: Sequence[Host]) -> list[Sight]:
    """Ask all hosts at the same time; one that does not answer holds up nobody but itself."""
    memory = _read_memory(workspace)
    with ThreadPoolExecutor(min(MOST_AT_ONCE, len(hosts) or 1)) as pool:
        answers = list(pool.map(lambda host: _ask(workspace, host), hosts))
    sights = [
        Sight(host, seen, trouble, _since(memory.get(host.name), reachable=seen is not None))
        for host, (seen, trouble) in zip(hosts, answers, strict=True)
    ]
    _write_memory(
        workspace, {**memory, **{sight.host.name: _remembered(sight) for sight in sights}}
    )
    return sights


def _ask(workspace: Workspace, host: Host) -> tuple[Survey | None, str]:
    try:
        connection = connect_host(host, workspace.root, ask_nobody)
        try:
            return survey(connection, host.settings.workdir), ""
        finally:
            connection.close()
    except NasexpError as error:
        return None, error.message.split("\n", 1)[0]


def _since(remembered: Any, *, reachable: bool) -> datetime:
    with contextlib.suppress(TypeError, KeyError, ValueError):
        if remembered["reachable"] is reachable:
            return datetime.fromisoformat(remembered["since"])
    return datetime.now(UTC)


def _remembered(sight: Sight) -> dict[str, Any]:
    return {"reachable": sight.survey is not None, "since": sight.since.isoformat()}


def _memory_file(workspace: Workspace) -> Path:
    # A cache: it may be thrown away, and each machine that sees the workspace has its own.
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "nasexp"
    digest = hashlib.sha256(os.fsencode(workspace.root.resolve())).hexdigest()[:16]
    return folder / f"hosts-{digest}.json"


def _read_memory(workspace: Workspace) -> dict[str, Any]:
    try:
        found = json.loads(_memory_file(workspace).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_memory(workspace: Workspace, memory: dict[str, Any]) -> None:
    file = _memory_file(workspace)
    with contextlib.suppress(OSError, NasexpError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(memory))
