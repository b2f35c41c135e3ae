"""What a host is and has: asked in one round trip, changes nothing there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING

from nasexp.runs.console import printable

if TYPE_CHECKING:
    from nasexp.connections.protocol import Connection

SURVEY_SECONDS = 45.0
TOOLS = (
    "tar", "gzip", "zstd", "sha256sum", "openssl", "setsid", "timeout", "python3", "rsync",
    "sudo", "nvidia-smi", "systemd-run",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as nvidia-smi tells it; memory in MiB, utilization in percent."""

    name: str
    memory_used_mib: int
    memory_total_mib: int
    utilization_percent: int
    driver: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What a host told of itself.

    Attributes:
        facts: the plain ones, by key: `system`, `user`, `uid`, `folder`, `writable`, `noexec`,
            `venv` (its Python's version), `shutdown`, `kills`, `linger`, `switching_off`.
        tools: path by name of those of `TOOLS` that are there.
        gpus: what nvidia-smi lists.
        live_runs: how many trainings of nasexp run there.
        free_bytes: room for runs; None when unknown.
        uptime_seconds: since it was switched on; None when unknown.
        clock_ahead_seconds: how far its clock is ahead of ours; None when unknown.
        round_trip_seconds: how long the answer took.
    """

    facts: dict[str, str]
    tools: dict[str, str] = field(default_factory=dict)
    gpus: tuple[Gpu, ...] = ()
    live_runs: int = 0
    free_bytes: int | None = None
    uptime_seconds: float | None = None
    clock_ahead_seconds: float | None = None
    round_trip_seconds: float = 0.0


def survey(connection: Connection, workdir: str) -> Survey:
    """Ask a host what it is. Raises ConnectionLost."""
    program = files("nasexp.host").joinpath("survey.sh").read_text()
    before = time.time()
    answer = connection.run(program, workdir, " ".join(TOOLS), deadline_seconds=SURVEY_SECONDS)
    after = time.time()
    # Whatever a host says of itself ends up on terminals: no control codes.
    text = printable(answer.output)
    lines = [line.partition(" ")[::2] for line in text.splitlines()]
    facts = dict(lines)
    now = _number(facts.get("now", "").removesuffix(".%N").removesuffix(".N"))
    return Survey(
        facts=facts,
        tools=dict(value.partition(" ")[::2] for key, value in lines if key == "tool"),
        gpus=tuple(gpu for key, value in lines if key == "gpu" if (gpu := _gpu(value))),
        live_runs=sum(1 for key, _ in lines if key == "live"),
        free_bytes=_free(facts.get("disk", "")),
        uptime_seconds=_number(facts.get("uptime", "")),
        # Its clock was read near the beginning: what comes behind takes most of the time.
        clock_ahead_seconds=None if now is None else now - before,
        round_trip_seconds=after - before,
    )


def _gpu(line: str) -> Gpu | None:
    fields = [part.strip() for part in line.split(",")]
    if len(fields) != 5:
        return None
    name, used, total, busy, driver = fields
    return Gpu(name, _whole(used), _whole(total), _whole(busy), driver)


def _whole(text: str) -> int:
    return int(_number(text) or 0)


def _free(row: str) -> int | None:
    # `Filesystem 1024-blocks Used Available Capacity Mounted on`; a name may hold spaces.
    words = row.split()
    percent = next((number for number, word in enumerate(words) if word.endswith("%")), 0)
    free = _number(words[percent - 1]) if percent else None
    return None if free is None else int(free) * 1024


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
