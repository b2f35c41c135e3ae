"""Reads YAML without its surprises, each value with the line and column it stands at.

Words and numbers mean what YAML 1.2 says: only `true` and `false` are booleans, `1e3` is a
number; `no`, `010`, `22:30` and dates stay the text that was written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from nasexp.config.values import Origin, Value
from nasexp.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SIZE_LIMIT_BYTES = 1 << 20
DEPTH_LIMIT = 32
NODE_LIMIT = 50_000
LONGEST_NUMBER = 100

_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False}
_BOOLEANS |= {"FALSE": False}
_NULLS = {"", "~", "null", "Null", "NULL"}
_TAGS = {"str", "int", "float", "bool", "null", "timestamp", "value"}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOATS = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path, shown: str) -> Value:
    """Read a YAML file that holds one mapping (an empty file is an empty mapping).

    Args:
        path: the file.
        shown: its name in messages and origins.

    Raises:
        ConfigError: no valid YAML, duplicate keys, tabs, tags; with file, line and column.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}") from error
    if len(raw) > SIZE_LIMIT_BYTES:
        raise ConfigError(f"{shown}: larger than 1 MiB, this is no configuration file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{shown}:{line}: not UTF-8", hint="save the file as UTF-8") from error
    value = read_text(text, shown)
    if not isinstance(value.data, dict):
        raise ConfigError(
            f"{value.origin.exact}: found {_kind(value.data)}, expected settings as `key: value`"
        )
    return value


def read_text(text: str, shown: str) -> Value:
    """Read YAML text; an empty text is an empty mapping. Raises ConfigError."""
    try:
        node = yaml.compose(text, _LOADER)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_syntax_message(error, text, shown)) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{shown}: {error}") from error
    if node is None:
        return Value({}, Origin(shown, 1, 1))
    return _Reader(shown).value(node, 0)


def read_scalar(text: str, source: str) -> Value:
    """Read one value as written on a command line: `0.1`, `30m`, `[a, b]`, `{a: 1}`."""
    if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ConfigError(f"{source}: found bytes that are no UTF-8, expected text")
    value = read_text(text, source) if text.strip() else Value("", Origin(source))
    return _with_origin(value, Origin(source))


def _with_origin(value: Value, origin: Origin) -> Value:
    data = value.data
    if isinstance(data, dict):
        data = {key: _with_origin(child, origin) for key, child in data.items()}
    elif isinstance(data, list):
        data = [_with_origin(child, origin) for child in data]
    return Value(data, origin)


class _Reader:
    """Turns YAML nodes into values; holds the count that stops alias bombs."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.nodes = 0

    def value(self, node: yaml.Node, depth: int, key: Origin | None = None) -> Value:
        origin = self.origin(node)
        self.nodes += 1
        if depth > DEPTH_LIMIT or self.nodes > NODE_LIMIT:
            raise ConfigError(f"{origin.exact}: nested too deeply or too large")
        if isinstance(node, yaml.MappingNode):
            return Value(self.mapping(node, depth), origin, key)
        if isinstance(node, yaml.SequenceNode):
            return Value([self.value(item, depth + 1) for item in node.value], origin, key)
        return Value(self.scalar(node, origin), origin, key)

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for key_node, value_node in node.value:
            origin = self.origin(key_node)
            name = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or name == "<<":
                raise ConfigError(f"{origin.exact}: a key must be one plain word")
            if name in found:
                first = found[name].key_origin
                line = first.line if first else 0
                raise ConfigError(
                    f"{origin.exact}: {name}: stands twice (first in line {line})",
                    hint="remove one of the two",
                )
            found[name] = self.value(value_node, depth + 1, origin)
        return found

    def scalar(self, node: yaml.Node, origin: Origin) -> Any:
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            raise ConfigError(f"{origin.exact}: found the tag {node.tag}, tags are not allowed")
        # A number that long is none that anybody counts with, and int() refuses to read it.
        plain = not getattr(node, "style", None) and len(node.value) <= LONGEST_NUMBER
        return plain_scalar(node.value) if plain else node.value

    def origin(self, node: yaml.Node) -> Origin:
        return Origin(self.shown, node.start_mark.line + 1, node.start_mark.column + 1)


def plain_scalar(text: str) -> bool | int | float | str | None:
    """Type an unquoted word as YAML 1.2 does; whatever is ambiguous stays text."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL_FLOATS.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _syntax_message(error: yaml.MarkedYAMLError, text: str, shown: str) -> str:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    written = lines[line] if line < len(lines) else ""
    problem = error.problem or "not valid YAML"
    if "\t" in written[: max(column + 1, len(written) - len(written.lstrip()))]:
        problem = "a tab; YAML indents with spaces only"
    elif "mapping values are not allowed" in problem:
        problem = "a second `: ` in one line; quote the text that holds it"
    return f"{shown}:{line + 1}:{column + 1}: {problem}"


def _kind(data: Any) -> str:
    return "a list" if isinstance(data, list) else repr(data)
