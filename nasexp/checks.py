"""What could keep a project from running on a host: looked at, never tried out.

Each check gives findings; one that does not hold names what to do. Nothing is started and
nothing is changed, here or there.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from nasexp.archives.select import select
from nasexp.config.units import Size, clock
from nasexp.connections.dialing import connect_host, why_via
from nasexp.connections.hostkeys import KNOWN_HOSTS_NAME, trusted_keys
from nasexp.connections.settings import resolve_login
from nasexp.errors import NasexpError
from nasexp.host.survey import survey
from nasexp.preflight import check_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nasexp.config.settings import Settings
    from nasexp.config.workspace import Project, Workspace
    from nasexp.connections.shell import ShellConnection
    from nasexp.host.survey import Survey

LITTLE_ROOM = Size.parse("5GB")
SKEW_SECONDS = 5.0
MEASURED_SECONDS = 0.5
BLOCK_BYTES = 1 << 16


class State(Enum):
    """How a check went; the value stands in `--json`."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check: what was found, and what to do where it is not right."""

    name: str
    state: State
    text: str
    hint: str = ""


def check_all(
    workspace: Workspace,
    project: Project | None,
    settings: Settings,
    ask: Callable[[str], str | None],
) -> Iterator[Finding]:
    """Yield the findings as they come: here, on the way, there."""
    yield _room(workspace)
    size = 0
    if project:
        finding, size = _project(workspace, project, settings)
        yield finding
    connection = None
    try:
        if settings.host.settings.address:
            yield from _way(workspace, settings)
        began = time.monotonic()
        connection = connect_host(settings.host, workspace.root, ask)
        yield _link(settings, connection, time.monotonic() - began)
        yield from _host(settings, connection, size)
    except NasexpError as error:
        yield Finding("link", State.FAULT, error.message.replace("\n", "; "), error.hint)
    finally:
        if connection:
            connection.close()


def _room(workspace: Workspace) -> Finding:
    free = Size(shutil.disk_usage(workspace.root).free)
    projects = workspace.root / "projects"
    folder = projects if projects.exists() else workspace.root  # `new` makes it
    if not os.access(folder, os.W_OK):
        shown = f"{workspace.shown(folder)}/"
        return Finding("workspace", State.FAULT, f"{shown} cannot be written", "see its owner")
    if free < LITTLE_ROOM:
        return Finding("workspace", State.WARNING, f"only {free} are free here for results")
    return Finding("workspace", State.OK, f"{free} free for results")


def _project(workspace: Workspace, project: Project, settings: Settings) -> tuple[Finding, int]:
    try:
        notes = check_project(workspace, project, settings)
        chosen = select(project.code)
    except NasexpError as error:
        return Finding("project", State.FAULT, error.message, error.hint), 0
    files = [project.code / str(member.path) for member in chosen.members]
    size = sum(path.lstat().st_size for path in files if path.is_file())
    text = f"{settings.core.run}, {len(files)} files and folders, {Size(size)}"
    state = State.WARNING if notes else State.OK
    return Finding("project", state, "; ".join([text, *notes])), size


def _way(workspace: Workspace, settings: Settings) -> Iterator[Finding]:
    login = resolve_login(settings.host, workspace.root / KNOWN_HOSTS_NAME)
    over = "".join(f" over {hop}" for hop in login.jumps)
    yield Finding("address", State.OK, f"{login}{over}")
    for hop in (*login.jumps, login):
        keys = [entry.key for entry in trusted_keys(hop)]
        if keys:
            shown = ", ".join(f"{key.kind} {key.fingerprint}" for key in keys[:2])
            yield Finding("host key", State.OK, f"trusted here: {shown}")
        else:
            hint = f"nasexp trust {settings.host.name}"
            yield Finding("host key", State.FAULT, f"no key of {hop} is trusted", hint)


def _link(settings: Settings, connection: ShellConnection, seconds: float) -> Finding:
    if not settings.host.settings.address:
        return Finding("link", State.OK, "this machine")
    why = why_via(settings.host, connection.via)
    return Finding("link", State.OK, f"logged in by {connection.via} ({why}) in {clock(seconds)}")


def _host(settings: Settings, connection: ShellConnection, size_bytes: int) -> Iterator[Finding]:
    seen = survey(connection, settings.host.settings.workdir)
    remote = bool(settings.host.settings.address)
    yield Finding("system", State.OK, f"{seen.facts.get('system', '?')}, {_uptime(seen)}")
    if remote:
        yield _clock(seen)
    yield from _workdir(settings, seen, size_bytes)
    yield from _tools(seen)
    yield _gpus(seen)
    yield from _environment(settings, seen)
    if remote:
        yield from _power(seen)
        yield _transfer(connection, size_bytes)


def _uptime(seen: Survey) -> str:
    return "" if seen.uptime_seconds is None else f"on for {clock(seen.uptime_seconds)}"


def _clock(seen: Survey) -> Finding:
    ahead = seen.clock_ahead_seconds
    if ahead is None:
        return Finding("clock", State.WARNING, "its clock cannot be read")
    doubt = seen.round_trip_seconds + 1.0
    if abs(ahead) <= SKEW_SECONDS + doubt:
        return Finding("clock", State.OK, f"within {max(1.0, abs(ahead)):.0f} s of ours")
    word = "ahead of" if ahead > 0 else "behind"
    hint = "times are corrected for that; an NTP service there sets it right"
    return Finding("clock", State.WARNING, f"{clock(abs(ahead))} {word} ours", hint)


def _workdir(settings: Settings, seen: Survey, size_bytes: int) -> Iterator[Finding]:
    folder, named = seen.facts.get("folder", "?"), settings.host.settings.workdir
    hint = f"set `workdir:` of host '{settings.host.name}' to a folder on another disk"
    if "writable" not in seen.facts:
        yield Finding("workdir", State.FAULT, f"{named}: {folder} cannot be written", hint)
        return
    if "noexec" in seen.facts:
        mount = seen.facts["noexec"]
        yield Finding("workdir", State.FAULT, f"programs cannot run on {mount} (noexec)", hint)
        return
    free = seen.free_bytes
    if free is None:
        yield Finding("workdir", State.WARNING, f"{named}: its free room is not known")
    elif free < 2 * size_bytes:
        yield Finding("workdir", State.FAULT, f"{named}: {Size(free)} free, too little", hint)
    else:
        state = State.OK if free >= LITTLE_ROOM.size_bytes else State.WARNING
        yield Finding("workdir", state, f"{named}: {Size(free)} free")


def _tools(seen: Survey) -> Iterator[Finding]:
    wanted = {
        "tar": (State.FAULT, "the code cannot be unpacked without it"),
        "setsid": (State.WARNING, "without it a job may end with the connection (util-linux)"),
    }
    for name, (state, hint) in wanted.items():
        if name not in seen.tools:
            yield Finding("tools", state, f"{name} is missing there", hint)
    if not {"sha256sum", "openssl", "python3"} & set(seen.tools):
        hint = "copies are not compared without sha256sum, openssl or python3"
        yield Finding("tools", State.WARNING, "nothing there makes SHA-256 digests", hint)
    yield Finding("tools", State.OK, f"there are {', '.join(seen.tools)}")


def _gpus(seen: Survey) -> Finding:
    if not seen.gpus:
        why = "it lists none" if "nvidia-smi" in seen.tools else "there is no nvidia-smi"
        return Finding("gpu", State.WARNING, f"no GPU was found ({why})")
    names = ", ".join(f"{gpu.name} {gpu.memory_total_mib} MiB" for gpu in seen.gpus)
    return Finding("gpu", State.OK, f"{names}, driver {seen.gpus[0].driver}")


def _environment(settings: Settings, seen: Survey) -> Iterator[Finding]:
    if not settings.get("environment.venv"):
        return
    if "venv" in seen.facts:
        yield Finding("environment", State.OK, f"Python {seen.facts['venv']} makes the venv")
    else:
        hint = "on Debian: sudo apt-get install python3-venv"
        yield Finding("environment", State.FAULT, "no python3 with venv and pip there", hint)


def _power(seen: Survey) -> Iterator[Finding]:
    may = seen.facts.get("cancel")
    if "switching_off" in seen.facts:
        then = "a run cancels it" if may else "this account may not cancel it"
        yield Finding("power", State.WARNING, f"a power-off is pending; {then}")
    if may:
        yield Finding("power", State.OK, f"may cancel a power-off there ({may})")
    else:
        hint = "one line in its sudoers allows just that, see the how-to on the first server"
        yield Finding("power", State.WARNING, "this account may not cancel a power-off", hint)
    if seen.facts.get("kills") == "yes" and "linger" not in seen.facts:
        user = seen.facts.get("user", "")
        hint = f"there, once: sudo loginctl enable-linger {user}"
        yield Finding("power", State.WARNING, "jobs end at logout (KillUserProcesses=yes)", hint)


def _transfer(connection: ShellConnection, size_bytes: int) -> Finding:
    """Measure the line with bytes that nobody keeps."""
    sent: list[int] = []
    began = time.monotonic()
    connection.send("cat >/dev/null", _random_blocks(sent))
    # Until the host has read the last of them: buffers on the way take many at once.
    rate = sum(sent) / (time.monotonic() - began)
    text = f"about {Size(int(rate))}/s"
    return Finding("line", State.OK, f"{text}, the code takes {clock(size_bytes / rate)}")


def _random_blocks(sent: list[int]) -> Iterator[bytes]:
    block, end = os.urandom(BLOCK_BYTES), time.monotonic() + MEASURED_SECONDS
    while time.monotonic() < end:
        yield block
        sent.append(len(block))
