"""The resolved settings of a project: every layer checked, merged and typed."""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec

from nasexp.config.layers import combine
from nasexp.config.schema import (
    ANY_KEY,
    Problem,
    Schema,
    Spec,
    check,
    convert,
    fields_of,
    nearest,
    raise_problems,
)
from nasexp.config.units import Duration, Rate
from nasexp.config.values import DEFAULT, EMPTY, Value, located, merge, nested
from nasexp.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nasexp.config.layers import Layers

T = TypeVar("T")
Scalar = bool | int | float | str
LOCAL = "local"
_RESERVED = frozenset({"PATH", "IFS", "HOME", "PWD", "SHELL", "ENV", "BASH_ENV", "PS4"})
_RESERVED_PREFIXES = ("NASEXP_", "LD_")
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class SecretSource(Schema, frozen=True):
    """Where a secret comes from; it is never written down itself."""

    env: str = ""
    """The variable that holds it."""
    command: str = ""
    """A command that prints it, run by sh on this machine."""


class CoreSettings(Schema, frozen=True):
    """The keys that belong to no stage; a project or the whole workspace may set them."""

    run: str = ""
    """The training command, run by sh in the workdir: `./run.sh`, `python train.py --lr {lr}`."""
    output: str = "output"
    """The folder that the training writes to, relative to `bin/`; it is what comes home."""
    host: str = LOCAL
    """The host to train on: a name under `hosts:`, or `local`, this machine."""
    timeout: Duration = Duration.parse("never")
    """How long the training may run, counted from its start on the host."""
    params: dict[str, Scalar] = {}
    """Parameters: `$NASEXP_PARAM_LR`, `params.json` in the workdir, and `{lr}` in `run:`."""
    seed: int | None = None
    """Given to the training as `$NASEXP_SEED` and `$PYTHONHASHSEED`."""
    secrets: dict[str, SecretSource] = {}
    """Variables that only the training gets: `{HF_TOKEN: {env: HF_TOKEN}}` or `{command: pass hf}`;
    kept nowhere."""
    client: str = ""
    """Who pays: the first column of `report`."""
    rate: Rate | None = None
    """The price of an hour of training."""
    plugins: list[str] = []
    """Plugins to load: a file of `plugins/`, or an installed name; `no:NAME` switches one off."""


class WorkspaceSettings(Schema, frozen=True):
    """Keys that only nasexp.yaml may set."""

    project: str = ""
    """The project that commands mean when they name none."""
    timezone: str = ""
    """The zone that times are shown and months are counted in (`Europe/Berlin`); empty: this
    machine's. In run.info the times for people are always this machine's, as `date` prints them;
    `--json` and events.jsonl have UTC."""


class HostSettings(Schema, frozen=True):
    """Keys of an entry under `hosts:`; beside them it may set any key of `HOST_OVERLAY`."""

    address: str = ""
    """`user@server`, an alias of ~/.ssh/config or an IP address; empty: this machine."""
    user: str = ""
    """Who logs in, where the address names nobody; else as ssh would."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """The port of its ssh server; 0: as ssh would, mostly 22."""
    identity: str = ""
    """The private key file to log in with; empty: as ssh would."""
    via: Literal["auto", "openssh", "paramiko"] = "auto"
    """What carries the connection: the system's ssh program, the library paramiko, or `auto`: ssh
    where it is there and logs in without a question, else paramiko."""
    password: SecretSource | None = None
    """Where the password comes from: `{env: VARIABLE}` or `{command: pass show gpu}`; not set: a
    person is asked."""
    passphrase: SecretSource | None = None
    """Where the passphrase of the key comes from; as `password`."""
    workdir: str = "~/.nasexp"
    """The folder on the host that holds runs and environments."""


HOST_OVERLAY = ("timeout", "rate", "backup", "shutdown", "environment")
"""Settings that a host's entry may give to all projects that run there."""


@dataclass(frozen=True, slots=True)
class ConfigSection:
    """A part of the configuration that a plugin owns.

    Attributes:
        name: its key, dotted where it lies deeper: `backup`, `environment.venv`.
        schema: a `Schema` class, or any type that a value may have there.
    """

    name: str
    schema: Spec


@dataclass(frozen=True, slots=True)
class Host:
    """A host as the configuration knows it."""

    name: str
    settings: HostSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """The resolved settings: typed, and as a tree in which each value knows its origin."""

    core: CoreSettings
    workspace: WorkspaceSettings
    host: Host
    tree: Value

    def section(self, name: str, schema: type[T]) -> T:
        """Return a section as its schema; the schema's defaults where nothing is set."""
        value = self.tree.child(name)
        return typing.cast("T", convert({} if value is None else value.plain(), schema))

    def get(self, name: str) -> Any:
        """Return a plain value at a dotted path; None where nothing is set."""
        value = self.tree.child(name)
        return value.plain() if value else None


def resolve(layers: Layers, sections: Iterable[ConfigSection]) -> Settings:
    """Check every layer, choose the host, merge.

    Raises:
        ConfigError: lists every problem of every layer at once.
    """
    spec = _Spec(sections)
    raise_problems(spec.problems(layers))
    chosen = combine([spec.defaults, layers.workspace, *layers.strong()]).data["host"].data
    entry = _host_entry(layers, chosen)
    overlay = Value({k: v for k, v in entry.data.items() if k in HOST_OVERLAY}, entry.origin)
    tree = combine([spec.defaults, layers.workspace, overlay, *layers.strong()])
    own = {key: item.plain() for key, item in entry.data.items() if key not in HOST_OVERLAY}
    return Settings(
        core=convert(_part(tree, CoreSettings), CoreSettings),
        workspace=convert(_part(tree, WorkspaceSettings), WorkspaceSettings),
        host=Host(chosen, convert(own, HostSettings)),
        tree=tree,
    )


class _Spec:
    """What each kind of layer may hold."""

    def __init__(self, sections: Iterable[ConfigSection]) -> None:
        run_keys: dict[str, Spec] = dict(fields_of(CoreSettings) or {})
        self.defaults = merge(_defaults_of(CoreSettings), _defaults_of(WorkspaceSettings))
        for section in sections:
            _put(run_keys, section.name, section.schema)
            if isinstance(section.schema, type) and issubclass(section.schema, msgspec.Struct):
                default = nested(section.name, _defaults_of(section.schema))
                self.defaults = merge(self.defaults, default)
        overlay = {key: run_keys[key] for key in HOST_OVERLAY if key in run_keys}
        entry = {**(fields_of(HostSettings) or {}), **overlay}
        self.run_keys = run_keys
        self.workspace = {
            **run_keys,
            **(fields_of(WorkspaceSettings) or {}),
            "hosts": {ANY_KEY: entry},
        }

    def problems(self, layers: Layers) -> list[Problem]:
        found = check(layers.workspace, self.workspace)
        for profile in layers.written:
            found += check(profile, self.run_keys, "profiles")
        for layer in layers.strong():
            found += check(layer, self.run_keys)
        found += [p for layer in (layers.workspace, *layers.strong()) for p in _meaning(layer)]
        found += _misspelled_parameters(layers)
        return list(dict.fromkeys(found))


def _misspelled_parameters(layers: Layers) -> list[Problem]:
    """Return parameters of the command line that are nearly, but not quite, those of the files."""
    files = [layers.workspace, layers.project, layers.profile, *layers.written]
    known = [name for layer in files for name in _parameters(layer)]
    return [
        Problem(value.origin, f"params.{name}", f"no file has that parameter{close}")
        for layer in (layers.variables, layers.command_line)
        for name, value in _parameters(layer).items()
        if name not in known and (close := nearest(name, known))
    ]


def _parameters(layer: Value) -> dict[str, Value]:
    params = layer.data.get("params", EMPTY) if isinstance(layer.data, dict) else EMPTY
    return params.data if isinstance(params.data, dict) else {}


def _meaning(layer: Value) -> list[Problem]:
    """Return what no type can tell: a timeout of nothing, names that no variable can have."""
    problems = []
    timeout = layer.data.get("timeout")
    if timeout and isinstance(timeout.data, str) and timeout.data in ("0s", "0m", "0h", "0d"):
        message = "found no time at all, expected a duration above 0 or never"
        problems.append(Problem(timeout.origin, "timeout", message))
    params = layer.data.get("params", EMPTY)
    seen: dict[str, str] = {}
    for name, value in params.data.items() if isinstance(params.data, dict) else ():
        place, path = value.key_origin or value.origin, f"params.{name}"
        if not _PARAMETER_NAME.fullmatch(name):
            problems.append(Problem(place, path, "a parameter's name has letters, digits and _"))
        if (other := seen.setdefault(name.upper(), name)) != name:
            message = f"'{other}' and '{name}' would share one variable"
            problems.append(Problem(place, path, message))
    secrets = layer.data.get("secrets", EMPTY)
    for name, value in secrets.data.items() if isinstance(secrets.data, dict) else ():
        place = value.key_origin or value.origin
        if not _PARAMETER_NAME.fullmatch(name):
            problems.append(Problem(place, f"secrets.{name}", "no variable can have that name"))
        elif name in _RESERVED or name.startswith(_RESERVED_PREFIXES):
            problems.append(Problem(place, f"secrets.{name}", "that variable runs the job itself"))
    return problems


def _host_entry(layers: Layers, name: str) -> Value:
    entry = layers.host_entry(name)
    if entry is not None:
        return entry
    if name == LOCAL:
        return EMPTY
    known = [LOCAL, *(layers.workspace.data.get("hosts", EMPTY).data or {})]
    raise ConfigError(
        f"there is no host '{name}'{nearest(name, known)}",
        hint=f"hosts are listed under `hosts:` in nasexp.yaml; known: {', '.join(known)}",
    )


def _defaults_of(struct: type[msgspec.Struct]) -> Value:
    plain = msgspec.to_builtins(struct(), enc_hook=str)
    return located({key: item for key, item in plain.items() if item is not None}, DEFAULT)


def _part(tree: Value, struct: type[msgspec.Struct]) -> dict[str, Any]:
    names = struct.__struct_fields__
    return {key: item.plain() for key, item in tree.data.items() if key in names}


def _put(fields: dict[str, Spec], name: str, spec: Spec) -> None:
    *groups, last = name.split(".")
    for group in groups:
        fields = fields.setdefault(group, {})
    if last in fields:
        raise ConfigError(f"two plugins own the configuration section '{name}'")
    fields[last] = spec
