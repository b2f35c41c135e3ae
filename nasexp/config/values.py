"""Configuration values that remember where they came from, and how layers of them merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a file with line and column, a variable or a flag."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source

    @property
    def exact(self) -> str:
        """The place with its column, as compilers write it."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Value:
    """A scalar, or a dict or list of further values, with its origin.

    `key_origin` is the place of the key in front of it, where there is one: that is what
    a message about an unknown key points at.
    """

    data: Any
    origin: Origin
    key_origin: Origin | None = None

    def plain(self) -> Any:
        """Return the value as plain dicts, lists and scalars."""
        if isinstance(self.data, dict):
            return {key: child.plain() for key, child in self.data.items()}
        if isinstance(self.data, list):
            return [child.plain() for child in self.data]
        return self.data

    def child(self, path: str) -> Value | None:
        """Return what lies at a dotted path below this value; None when nothing does."""
        here: Value | None = self
        for key in path.split("."):
            here = here.data.get(key) if here and isinstance(here.data, dict) else None
        return here

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Value]]:
        """Yield every scalar, list and empty dict below, by its dotted path."""
        if not isinstance(self.data, dict) or (prefix and not self.data):
            yield prefix, self
            return
        for key, child in self.data.items():
            yield from child.leaves(f"{prefix}.{key}" if prefix else key)


EMPTY = Value({}, DEFAULT)


def merge(weak: Value, strong: Value) -> Value:
    """Lay `strong` over `weak`: dicts merge key by key, anything else is replaced."""
    if not (isinstance(weak.data, dict) and isinstance(strong.data, dict)):
        return strong
    merged = dict(weak.data)
    for key, value in strong.data.items():
        merged[key] = merge(merged[key], value) if key in merged else value
    return Value(merged, strong.origin, strong.key_origin)


def nested(path: str, value: Value) -> Value:
    """Put a value at a dotted path: `a.b`, 3 becomes `{a: {b: 3}}`."""
    for key in reversed(path.split(".")):
        value = Value({key: value}, value.origin)
    return value


def located(data: Any, origin: Origin) -> Value:
    """Give a whole plain tree one origin."""
    if isinstance(data, dict):
        return Value({str(key): located(item, origin) for key, item in data.items()}, origin)
    if isinstance(data, list | tuple):
        return Value([located(item, origin) for item in data], origin)
    return Value(data, origin)


def without(value: Value, keys: Mapping[str, object] | set[str]) -> Value:
    """Return a dict value without some of its keys."""
    kept = {key: child for key, child in value.data.items() if key not in keys}
    return Value(kept, value.origin, value.key_origin)
