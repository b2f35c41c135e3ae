"""Writes the settings that came over as YAML that a person would write."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nasexp.config.yamlfile import read_scalar, read_text, read_yaml
from nasexp.errors import ConfigError, StageError
from nasexp.importing.mapping import ENVIRONMENT_NAMES, Mapped, Setting
from nasexp.runs.files import from_system, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nasexp.config.values import Value
    from nasexp.config.workspace import Workspace

HEADING = "# Came over from the bash scripts; behind each value stands where it was."

_PLAIN = re.compile(r"[A-Za-z0-9./_][A-Za-z0-9 ./_@-]*(?<! )")
_NO_CONDA = """\
# There is no conda environment in this version of nasexp: activate it in the run script, or list
# its packages in bin/requirements.txt and write `environment: {venv: requirements.txt}`.
"""
_BILLING = """\
# client: NAME # who pays, and how much an hour: `report` counts the runs that came over with it
# rate: 45 EUR/h
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A setting that was not added to nasexp.yaml, and why."""

    setting: Setting
    reason: str


@dataclass(frozen=True, slots=True)
class Addition:
    """What comes to nasexp.yaml.

    Attributes:
        taken: the settings to add.
        kept: those for which the file says something else.
        same: those that the file has already, word for word.
        content: the whole new file; None where text at its end would not say what it should.
    """

    taken: tuple[Setting, ...]
    kept: tuple[Kept, ...]
    same: tuple[Setting, ...]
    content: bytes | None

    @property
    def lines(self) -> list[str]:
        """The lines to add, as they are written."""
        return setting_lines(self.taken)


def project_yaml(mapped: Mapped) -> str:
    """Return the text of a project.yaml."""
    named = {setting.path[0] for setting in mapped.settings}
    lines = [] if "run" in named else ["# run: ./run.sh # the command that trains: name yours"]
    lines += setting_lines(mapped.settings)
    parts = [f"{HEADING}\n\n" + "".join(f"{line}\n" for line in lines)]
    lost = [item for item in mapped.unmapped if item.text.startswith(ENVIRONMENT_NAMES)]
    if lost:
        told = [f"# {item.text} # {item.origin}\n" for item in dict.fromkeys(lost)]
        parts.append(_NO_CONDA + "".join(told))
    return "\n".join([*parts, _BILLING])


def plan_addition(workspace: Workspace, settings: Sequence[Setting]) -> Addition:
    """Find out which settings nasexp.yaml lacks, and how it would read with them at its end.

    Raises:
        ConfigError: nasexp.yaml is broken as it stands.
    """
    path = workspace.config_file
    shown = workspace.shown(path)
    present = read_yaml(path, shown)
    taken, kept, same = _choose(present, settings)
    content = _if_sound(_appended(path.read_bytes(), taken), present, taken, shown)
    return Addition(tuple(taken), tuple(kept), tuple(same), content)


def write_addition(workspace: Workspace, addition: Addition) -> None:
    """Put the new nasexp.yaml in the place of the old one, whole; its mode stays.

    Raises:
        StageError: it cannot be written; the old one stands.
    """
    if not addition.taken:
        return
    path = workspace.config_file.resolve()  # where it is a link, the link stays
    if addition.content is None:
        raise StageError(f"{workspace.config_file.name} is written so that nothing can be appended")
    try:
        with whole_file(path, path.stat().st_mode & 0o7777) as file:
            file.write(addition.content)
    except OSError as error:
        raise from_system(error, path) from error


def setting_line(setting: Setting) -> str:
    """Return a setting as one line of YAML: `backup: {every: 30m}`."""
    return _nested(setting.path, setting.value)


def setting_lines(settings: Iterable[Setting]) -> list[str]:
    """Return settings as lines of YAML, behind each where it came from."""
    return [line for setting in settings for line in _commented(setting)]


def _commented(setting: Setting) -> list[str]:
    comment = f" # {setting.origin}, {setting.old_name}"
    if len(setting.path) < 3:
        return [setting_line(setting) + comment]
    # A host gets a line of its own, so that more can be written below it.
    return [f"{setting.path[0]}:", f"  {_nested(setting.path[1:], setting.value)}{comment}"]


def _nested(path: Sequence[str], value: str) -> str:
    if len(path) == 1:
        return f"{path[0]}: {_scalar(value)}"
    return f"{path[0]}: {{{_nested(path[1:], value)}}}"


def _scalar(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and read_scalar(text, "").data == text
    return text if plain else json.dumps(text, ensure_ascii=False)


def _choose(
    present: Value, settings: Iterable[Setting]
) -> tuple[list[Setting], list[Kept], list[Setting]]:
    """Part the settings: those to add, those whose key is there, those that are there as such."""
    taken: list[Setting] = []
    kept: list[Kept] = []
    same: list[Setting] = []
    for setting in settings:
        top = present.data.get(setting.path[0])
        if top is None and _names_a_host(setting, present, taken):
            taken.append(setting)
        elif top is None:
            kept.append(Kept(setting, "its host is not under `hosts:`"))
        elif (found := _at(top, setting.path[1:])) is None:
            kept.append(Kept(setting, f"`{setting.path[0]}:` is there, add it by hand"))
        elif found != setting.value:
            kept.append(Kept(setting, f"{present.origin.source} says {found}"))
        else:
            same.append(setting)
    return taken, kept, same


def _names_a_host(setting: Setting, present: Value, taken: Iterable[Setting]) -> bool:
    """Whether a setting is anything but a `host:` that nothing stands for."""
    if setting.path != ("host",):
        return True
    hosts = present.data.get("hosts")
    known = hosts.data if hosts and isinstance(hosts.data, dict) else {}
    return setting.value in known or any(s.path[:2] == ("hosts", setting.value) for s in taken)


def _at(value: Value, path: Iterable[str]) -> Any:
    here: Value | None = value
    for key in path:
        here = here.data.get(key) if here and isinstance(here.data, dict) else None
    return here.plain() if here else None


def _appended(raw: bytes, settings: Sequence[Setting]) -> bytes:
    """Return a file with lines at its end, in its own kind of line ends; the rest untouched."""
    if not settings:
        return raw
    ending = "\r\n" if b"\r\n" in raw else "\n"
    gap = ending if raw.strip() else ""
    gap += ending if raw and not raw.endswith(b"\n") else ""
    added = ending.join([HEADING, *setting_lines(settings), ""])
    return raw + (gap + added).encode()


def _if_sound(
    content: bytes, before: Value, settings: Iterable[Setting], shown: str
) -> bytes | None:
    """Return the content if it says what was there and what was added, and nothing else."""
    wanted = before.plain()
    for setting in settings:
        value: Any = setting.value
        for key in reversed(setting.path[1:]):
            value = {key: value}
        wanted[setting.path[0]] = value
    try:
        found = read_text(content.decode("utf-8-sig"), shown).plain()
    except ConfigError:
        return None
    return content if found == wanted else None
