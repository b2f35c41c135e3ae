"""Old settings and what they are called now; what has no place any more is named, with advice."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasexp.config.settings import LOCAL
from nasexp.config.units import Duration
from nasexp.config.values import Origin
from nasexp.config.workspace import NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nasexp.importing.bashconfig import Assignment, BashConfig

BACKUP_NAMES = {"backup_every_h": 3600, "backup_every_m": 60, "backup_every_s": 1}
WORKSPACE_NAMES = frozenset({"target_proj", "timeout", *BACKUP_NAMES, "dl_user", "dl_host"})
ENVIRONMENT_NAMES = ("conda_env", "tensorflow_version")
PROJECT_NAMES = frozenset({"run_script", "output_dir", *ENVIRONMENT_NAMES})
SPARE_HOST_NAME = "gpu-box"

NO_CONDA = (
    "there is no conda environment in this version; activate it in the run script, or write "
    "`environment: {venv: requirements.txt}` and list the packages in bin/requirements.txt"
)
NO_SETTING = "nasexp has no such setting"
OWN_PLACE = {
    "working_dir": "not needed: nasexp finds the workspace by itself",
    "target_proj": "set `project:` in nasexp.yaml",
    "timeout": "set `timeout:` by hand",
    **dict.fromkeys(BACKUP_NAMES, "set `backup: {every: …}` by hand"),
    **dict.fromkeys(("dl_user", "dl_host"), "add it under `hosts:` in nasexp.yaml by hand"),
    "run_script": "set `run:` by hand",
    "output_dir": "set `output:` by hand",
    **dict.fromkeys(ENVIRONMENT_NAMES, NO_CONDA),
}
"""What to do about a setting that could not be taken from where it stood."""

_TIMEOUT = re.compile(r"(\d+\.?\d*|\.\d+)([smhd]?)")
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_COUNT = re.compile(r"0|[1-9]\d{0,8}")  # 010 is eight to sh and ten to people
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]*")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of nasexp that an old one became.

    Attributes:
        path: its keys, from the outermost: `("backup", "every")`.
        value: as text.
        origin: where the old one stood.
        old_name: what it was called.
    """

    path: tuple[str, ...]
    value: str
    origin: Origin
    old_name: str


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A piece of an old file that became nothing, and why or what to do."""

    origin: Origin
    text: str
    advice: str


@dataclass(slots=True)
class Mapped:
    """What became of one file."""

    settings: list[Setting] = field(default_factory=list)
    unmapped: list[Unmapped] = field(default_factory=list)

    def add(self, path: tuple[str, ...], value: str, old: Assignment, name: str = "") -> None:
        """Take an old setting over."""
        self.settings.append(Setting(path, value, old.origin, name or old.name))

    def refuse(self, old: Assignment, advice: str) -> None:
        """Leave an old setting where it is."""
        self.unmapped.append(Unmapped(old.origin, old.text, advice))


def map_workspace(config: BashConfig, projects: Collection[str]) -> Mapped:
    """Map what auto_runner.config sets for all projects.

    Args:
        config: that file.
        projects: the names that `project:` may have after the import.
    """
    mapped = Mapped(unmapped=_unread(config))
    if target := config.values.get("target_proj"):
        if target.value in projects:
            mapped.add(("project",), target.value, target)
        else:
            mapped.refuse(target, f"the workspace has no project {target.value!r}")
    _map_timeout(mapped, config.values)
    _map_backup(mapped, config, {})
    _map_host(mapped, config)
    _refuse_others(mapped, config, WORKSPACE_NAMES | PROJECT_NAMES)
    return mapped


def map_project(own: BashConfig, base: BashConfig, script: str = "") -> Mapped:
    """Map what NAME.config sets; what it may inherit comes from auto_runner.config.

    Args:
        own: the project's file.
        base: auto_runner.config, as the old scripts read it first.
        script: the project's bin/run.sh, to be run where no script is named; empty without one.
    """
    mapped = Mapped(unmapped=_unread(own))
    values = {name: base.values[name] for name in PROJECT_NAMES & set(base.values)}
    values = {name: old for name, old in values.items() if not _doubted(own, name)} | own.values
    _map_run(mapped, values)
    if script and "run_script" not in values and not _doubted(own, "run_script"):
        mapped.settings.append(Setting(("run",), "./run.sh", Origin(script), "no run_script"))
    _map_output(mapped, values)
    _map_timeout(mapped, own.values)
    _map_backup(mapped, own, base.values)
    for name in ENVIRONMENT_NAMES:
        if old := values.get(name):
            mapped.refuse(old, NO_CONDA)
    for name in ("target_proj", "dl_user", "dl_host"):
        if old := own.values.get(name):
            mapped.refuse(old, OWN_PLACE[name])
    _refuse_others(mapped, own, WORKSPACE_NAMES | PROJECT_NAMES)
    return mapped


def timeout_of(text: str) -> str:
    """Return a duration for what `timeout` of the coreutils takes: `2h`, `90`, `.5d`, `0`.

    Raises:
        ValueError: it takes no such thing.
    """
    match = _TIMEOUT.fullmatch(text)
    if not match:
        raise ValueError(text)
    seconds = float(match[1]) * _UNIT_SECONDS[match[2]]
    if seconds == 0:
        return "never"
    try:
        Duration.parse(text)
    except ValueError:
        return str(Duration(seconds))
    return text


def _unread(config: BashConfig) -> list[Unmapped]:
    return [
        Unmapped(item.origin, item.text, _advice(item.name, item.reason)) for item in config.unread
    ]


def _advice(name: str, reason: str) -> str:
    if name == "working_dir":
        return OWN_PLACE[name]
    return f"{reason}; {OWN_PLACE[name]}" if name in OWN_PLACE else reason


def _doubted(config: BashConfig, name: str) -> bool:
    return any(item.name == name for item in config.unread)


def _refuse_others(mapped: Mapped, config: BashConfig, known: Collection[str]) -> None:
    for old in config.values.values():
        if old.name not in known:
            mapped.refuse(old, OWN_PLACE.get(old.name, NO_SETTING))


def _map_run(mapped: Mapped, values: Mapping[str, Assignment]) -> None:
    if not (old := values.get("run_script")):
        return
    if old.value.strip():
        # The old scripts went to the folder and ran `./` and this text.
        mapped.add(("run",), "./" + old.value.strip().removeprefix("./"), old)
    else:
        mapped.refuse(old, OWN_PLACE["run_script"])


def _map_output(mapped: Mapped, values: Mapping[str, Assignment]) -> None:
    if not (old := values.get("output_dir")):
        return
    folder = old.value.rstrip("/")
    if folder and not folder.startswith(("/", "~")) and ".." not in folder.split("/"):
        mapped.add(("output",), folder, old)
    else:
        mapped.refuse(old, "the output must be a folder below bin/; set `output:` by hand")


def _map_timeout(mapped: Mapped, values: Mapping[str, Assignment]) -> None:
    if not (old := values.get("timeout")):
        return
    try:
        mapped.add(("timeout",), timeout_of(old.value), old)
    except ValueError:
        mapped.refuse(old, f"{OWN_PLACE['timeout']}: {Duration.expected}")


def _map_backup(mapped: Mapped, own: BashConfig, base: Mapping[str, Assignment]) -> None:
    """Add the three parts up; a project may give some of them and inherit the others."""
    given = [own.values[name] for name in BACKUP_NAMES if name in own.values]
    if not given:
        return
    parts = [old for name in BACKUP_NAMES if (old := own.values.get(name) or base.get(name))]
    whole = all(_COUNT.fullmatch(old.value) for old in parts)
    if not whole or any(_doubted(own, name) for name in BACKUP_NAMES):
        for old in given:
            mapped.refuse(old, OWN_PLACE[old.name])
        return
    seconds = sum(int(old.value) * BACKUP_NAMES[old.name] for old in parts)
    if seconds:
        mapped.add(("backup", "every"), str(Duration(seconds)), given[0], "backup_every_h/m/s")
    else:
        mapped.refuse(given[0], "no time at all between two backups; nasexp's default is 30m")


def _map_host(mapped: Mapped, config: BashConfig) -> None:
    user, host = config.values.get("dl_user"), config.values.get("dl_host")
    user_fits = _USER.fullmatch(user.value) if user else not _doubted(config, "dl_user")
    if host and user_fits and _HOST.fullmatch(host.value):
        name = _host_name(host.value)
        address = f"{user.value}@{host.value}" if user else host.value
        mapped.add(("hosts", name, "address"), address, host, "dl_user, dl_host")
        mapped.add(("host",), name, host)
        return
    for old in (user, host):
        if old:
            mapped.refuse(old, OWN_PLACE[old.name])


def _host_name(address: str) -> str:
    fits = NAME_PATTERN.fullmatch(address) and ".." not in address and address != LOCAL
    return address if fits else SPARE_HOST_NAME
