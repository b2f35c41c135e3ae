"""settings.md: every key, from the schemas and the docstrings of their fields."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import textwrap
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from docs.generator.markdown import code, doc_of, page, table
from docs.generator.plugins import shipped_plugins
from nasexp.config.schema import Schema, expected, fields_of
from nasexp.config.settings import (
    HOST_OVERLAY,
    ConfigSection,
    CoreSettings,
    HostSettings,
    WorkspaceSettings,
)
from nasexp.loader import CORE_PLUGINS

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADERS = ("key", "value", "default", "may stand in", "meaning")
EVERYWHERE = "nasexp.yaml, project.yaml"

INTRO = """\
Settings stand in YAML files. The layers, weakest first:

1. the defaults below;
2. `nasexp.yaml`, for every project of the workspace;
3. the entry of the chosen host under `hosts:`;
4. `projects/NAME/project.yaml`;
5. the profile that `--profile NAME` names;
6. variables such as `NASEXP__BACKUP__EVERY=10m`: `NASEXP__`, then the key in capitals, two
   underscores for each dot;
7. the command line: `--timeout 1h`, `--set backup.every=10m`.

What may stand in project.yaml may also stand in a profile, a variable and `--set`. Mappings of
two layers are merged key by key, anything else is replaced; `environment` counts only from the
strongest layer that has it, and the lists of `plugins` are added up. `nasexp config` shows every
value in force and where it was set."""

VALUES = """\
## How values are written

- A **duration** is `90s`, `2h30m`, `1d`, `1w`, or `never` where the table says so; a bare number is
  refused.
- A **size** is `500MB`, `5GB` (powers of 1000) or `2GiB` (powers of 1024).
- A **rate** is an amount, a currency of three letters, and `/h`: `45 EUR/h`.
- Only `true` and `false` are booleans. `no`, `010` and `22:30` stay the text that was written;
  `1e3` is a number.
- Unknown keys, keys that stand twice, tags and tabs are refused, with file, line and column.
- A value whose key ends in a word such as `token`, `password` or `api_key` is hidden wherever
  settings are shown or kept, and in messages about it."""

PROFILES = """\
## profiles

| key | value | default | may stand in | meaning |
| --- | --- | --- | --- | --- |
| `profiles.NAME` | any keys that project.yaml may hold | none | nasexp.yaml, project.yaml | \
Settings that count when `--profile NAME` is given; where both files have it, project.yaml's \
is the stronger. |"""


def page_text() -> str:
    """Return the page."""
    return page(
        "Settings",
        INTRO,
        _part("Keys of a run", "", CoreSettings),
        *[_section(section, owner) for section, owner in core_sections()],
        _part("Keys of the workspace", "", WorkspaceSettings, "nasexp.yaml"),
        _part(
            "hosts", "hosts.NAME", HostSettings, "nasexp.yaml", _host_note(),
        ),
        PROFILES,
        "## Sections of plugins in this repository",
        *[_shipped(name, section) for name, section in _shipped_sections()],
        VALUES,
    )  # fmt: skip


def _host_note() -> str:
    keys = ", ".join(map(code, HOST_OVERLAY))
    return (
        "A host has a name and these keys. `local` needs no entry: it is this machine. An entry "
        f"may also hold {keys}, with the values that they have above: they count for every "
        "project that runs there, unless the project sets them itself."
    )


def core_sections() -> Iterator[tuple[ConfigSection, Any]]:
    """Yield the sections that the core's own plugins own, and the hook that tells of each."""
    for name in CORE_PLUGINS:
        owner = getattr(importlib.import_module(name), "nasexp_config_section", None)
        if owner:
            yield owner(), owner


def _shipped_sections() -> Iterator[tuple[str, ConfigSection]]:
    for name, plugin in shipped_plugins().items():
        if hasattr(plugin, "nasexp_config_section"):
            yield name, plugin.nasexp_config_section()


def _section(section: ConfigSection, owner: Any) -> str:
    if _is_schema(section.schema):
        return _part(section.name, section.name, section.schema)
    meaning = doc_of(owner).partition(": ")[2]
    row = [code(section.name), expected(section.schema), "", _places(section.name), meaning]
    return f"## {section.name}\n\n" + table(HEADERS, [[*row[:4], _capital(meaning)]])


def _shipped(name: str, section: ConfigSection) -> str:
    note = f"It counts where `plugins: [{name}]` stands."
    return _part(section.name, section.name, section.schema, note=note).replace("## ", "### ", 1)


def _part(title: str, prefix: str, schema: type[Schema], place: str = "", note: str = "") -> str:
    rows = table(HEADERS, _rows(prefix, schema, place))
    return "\n\n".join(part for part in (f"## {title}", note, rows) if part)


def _rows(prefix: str, schema: type[Schema], place: str) -> Iterator[list[str]]:
    defaults, meanings = msgspec.to_builtins(schema(), enc_hook=str), field_docs(schema)
    for name, spec in (fields_of(schema) or {}).items():
        key = f"{prefix}.{name}" if prefix else name
        inner = next((kind for kind in (spec, *get_args(spec)) if _is_schema(kind)), None)
        kind = "the keys below" if inner else expected(spec)
        yield [code(key), kind, _default(defaults[name]), place or _places(key), meanings[name]]
        if inner:
            yield from _rows(key, inner, place or _places(key))


def _is_schema(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Schema)


def _places(key: str) -> str:
    in_host = key.partition(".")[0] in HOST_OVERLAY
    return f"{EVERYWHERE}, a host's entry" if in_host else EVERYWHERE


def _default(value: Any) -> str:
    return "" if value in (None, "", [], {}) else code(value)


def field_docs(schema: type[Schema]) -> dict[str, str]:
    """Return the text under each field of a class: a string, where Python keeps none."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(schema))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    found = {}
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            found[field.target.id] = " ".join(ast.literal_eval(text.value).split())  # type: ignore[attr-defined] # a string
    return found


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
