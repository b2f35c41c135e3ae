"""The layers of the configuration, weakest first, each value with its origin.

built-in defaults < nasexp.yaml < the host's entry < project.yaml < --profile
< environment (NASEXP__BACKUP__EVERY=10m) < command line (--timeout, --set a.b=c)
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasexp.config.schema import nearest
from nasexp.config.values import EMPTY, Origin, Value, merge, nested, without
from nasexp.config.yamlfile import read_scalar, read_yaml
from nasexp.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nasexp.config.workspace import Project, Workspace

VARIABLE_PREFIX = "NASEXP__"
REPLACED_WHOLE = frozenset({"environment"})
"""Keys whose strongest layer counts alone: two environments do not mix by accident."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What one call sets beyond the files.

    Attributes:
        profile: the name given by `--profile`; empty for none.
        flags: (dotted key, written value, flag) of flags such as `--timeout 1h`.
        assignments: texts such as `backup.every=10m`, given by `--set`.
    """

    profile: str = ""
    flags: tuple[tuple[str, str, str], ...] = ()
    assignments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layers:
    """The configuration as it was written, layer by layer."""

    workspace: Value
    project: Value = EMPTY
    profile: Value = EMPTY
    variables: Value = EMPTY
    command_line: Value = EMPTY
    written: tuple[Value, ...] = field(default=())

    def strong(self) -> tuple[Value, ...]:
        """Return the layers above the host's entry, weakest first."""
        return (self.project, self.profile, self.variables, self.command_line)

    def plugins(self) -> list[str]:
        """Return the plugin names of all layers in order: a layer adds, `no:NAME` takes away."""
        lists = [layer.data.get("plugins") for layer in (self.workspace, *self.strong())]
        items = [
            item for found in lists if found and isinstance(found.data, list) for item in found.data
        ]
        return [item.data for item in items if isinstance(item.data, str)]

    def host_entry(self, name: str) -> Value | None:
        """Return what `hosts:` says of a host; None when it is not there."""
        hosts = self.workspace.data.get("hosts", EMPTY)
        return hosts.data.get(name) if isinstance(hosts.data, dict) else None


def read_layers(workspace: Workspace, project: Project | None, overrides: Overrides) -> Layers:
    """Read every layer. Raises ConfigError for files that are no YAML, UsageError for flags."""
    base = read_yaml(workspace.config_file, workspace.shown(workspace.config_file))
    own = _read_project(workspace, project) if project else EMPTY
    return Layers(
        workspace=without(base, {"profiles"}),
        project=without(own, {"profiles"}),
        profile=_profile([base, own], overrides.profile),
        variables=_variables(os.environ),
        command_line=_command_line(overrides),
        written=tuple(_profiles([base, own])),
    )


def combine(layers: Iterable[Value]) -> Value:
    """Lay the layers over each other, the last is the strongest."""
    merged = EMPTY
    for layer in layers:
        replaced = REPLACED_WHOLE & set(layer.data)
        merged = merge(without(merged, set(replaced)), layer)
    return merged


def _read_project(workspace: Workspace, project: Project) -> Value:
    if not project.config_file.is_file():
        raise ConfigError(
            f"{workspace.shown(project.config_file)} is missing",
            hint="it holds at least the line `run: ./run.sh`",
        )
    return read_yaml(project.config_file, workspace.shown(project.config_file))


def _profiles(files: Iterable[Value]) -> list[Value]:
    sections = [file.data["profiles"] for file in files if "profiles" in file.data]
    for section in sections:
        if not isinstance(section.data, dict):
            raise ConfigError(f"{section.origin.exact}: profiles: expected `name: {{settings}}`")
    return [profile for section in sections for profile in section.data.values()]


def _profile(files: Iterable[Value], name: str) -> Value:
    if not name:
        return EMPTY
    sections = [file.data["profiles"].data for file in files if "profiles" in file.data]
    if not any(name in section for section in sections):
        names = [known for section in sections for known in section]
        raise UsageError(f"there is no profile '{name}'{nearest(name, names)}")
    found = [section[name] for section in sections if name in section]
    return combine(profile for profile in found if isinstance(profile.data, dict))


def _variables(environment: Mapping[str, str]) -> Value:
    layer = EMPTY
    for name in sorted(environment):
        if name.startswith(VARIABLE_PREFIX):
            path = name.removeprefix(VARIABLE_PREFIX).lower().replace("__", ".")
            layer = merge(layer, nested(path, read_scalar(environment[name], f"${name}")))
    return layer


def _command_line(overrides: Overrides) -> Value:
    layer = EMPTY
    for path, text, flag in overrides.flags:
        layer = merge(layer, nested(path, read_scalar(text, flag)))
    for assignment in overrides.assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise UsageError(f"--set {assignment!r}: expected KEY=VALUE, as in backup.every=10m")
        source = Origin(f"--set {path.strip()}").source
        layer = merge(layer, nested(path.strip(), read_scalar(text, source)))
    return layer
