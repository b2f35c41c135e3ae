"""Checks configuration values against types, and tells every problem with its place."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin

import msgspec

from nasexp.config.showing import is_secret
from nasexp.config.units import UNITS
from nasexp.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nasexp.config.values import Origin, Value

Spec = Any
"""What a value must be: a type, or a mapping from allowed keys to their specs."""

ANY_KEY = "*"
"""A key of such a mapping that stands for all others."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where it stands."""

    origin: Origin
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.origin.exact}: {self.path}: {self.message}"


class Schema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section's schema: fields with types and defaults, all optional.

    A field's type is a plain type, a unit of `nasexp.config.units`, another `Schema`, or a
    list, dict or union of these.
    """


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest allowed name, else an empty text."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def fields_of(spec: Spec) -> Mapping[str, Spec] | None:
    """Return the allowed keys of a spec, or None where it is not a fixed set of keys."""
    if isinstance(spec, Mapping):
        return spec
    struct = next((kind for kind in _options(spec) if _is_struct(kind)), None)
    return typing.get_type_hints(struct, include_extras=True) if struct else None


def check(value: Value, spec: Spec, path: str = "") -> list[Problem]:
    """Return every problem of a value; an empty list when it may be converted."""
    fields = fields_of(spec)
    if isinstance(value.data, dict) and fields is not None:
        return _check_fields(value, fields, path)
    if isinstance(value.data, dict) and (entry := _entry_type(spec)) is not None:
        return [p for key, item in value.data.items() for p in check(item, entry, _at(path, key))]
    if isinstance(value.data, list) and (item_type := _item_type(spec)) is not None:
        items = enumerate(value.data)
        return [p for index, item in items for p in check(item, item_type, f"{path}[{index}]")]
    if isinstance(spec, Mapping):
        return [_mismatch(value, path, f"one of the keys {', '.join(sorted(spec))}")]
    return _check_leaf(value, spec, path)


def convert(value: Any, spec: Spec) -> Any:
    """Turn a plain value that passed `check` into its type."""
    return msgspec.convert(value, spec, dec_hook=_parse_unit)


def raise_problems(problems: list[Problem], hint: str = "") -> None:
    """Raise one ConfigError that tells all problems, each in its line."""
    if problems:
        raise ConfigError("\n".join(str(problem) for problem in problems), hint=hint)


def _check_fields(value: Value, fields: Mapping[str, Spec], path: str) -> list[Problem]:
    problems = []
    for key, item in value.data.items():
        if key in fields or ANY_KEY in fields:
            problems += check(item, fields.get(key, fields.get(ANY_KEY)), _at(path, key))
            continue
        allowed = nearest(key, fields) or f"; allowed: {', '.join(sorted(fields))}"
        place = item.key_origin or item.origin
        problems.append(Problem(place, _at(path, key), f"unknown key{allowed}"))
    return problems


def _check_leaf(value: Value, spec: Spec, path: str) -> list[Problem]:
    unit = next((kind for kind in _options(spec) if kind in UNITS), None)
    if unit and value.data is not None:
        return _check_unit(value, unit, path)
    try:
        convert(value.plain(), spec)
    except msgspec.ValidationError:
        return [_mismatch(value, path, expected(spec))]
    except ValueError as error:
        return [_mismatch(value, path, str(error))]
    return []


def _check_unit(value: Value, unit: Any, path: str) -> list[Problem]:
    try:
        _parse_unit(unit, value.data)
    except ValueError as error:
        extra = " (a number needs its unit)" if isinstance(value.data, int | float) else ""
        return [_mismatch(value, path, f"{error}{extra}")]
    return []


def _mismatch(value: Value, path: str, allowed: str) -> Problem:
    secret = any(map(is_secret, [path, *path.replace("[", ".").split(".")]))
    found = "something that is not shown" if secret else _show(value.data)
    return Problem(value.origin, path, f"found {found}, expected {allowed}")


def _show(data: Any) -> str:
    if data is None:
        return "nothing"
    if isinstance(data, dict):
        return "keys and values"
    return "a list" if isinstance(data, list) else repr(data)


def expected(spec: Spec) -> str:
    """Say in words what a type accepts."""
    kinds = [kind for kind in _options(spec) if kind is not type(None)]
    if {bool, int, float, str} == set(kinds):
        return "text, a number, true or false"
    return " or ".join(dict.fromkeys(map(_type_name, kinds)))


def _type_name(kind: Any) -> str:
    if kind in UNITS:
        return str(kind.expected)
    if get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is typing.Annotated:
        return _annotated_name(kind)
    if (inner := _item_type(kind)) is not None:
        return f"a list of {_type_name(inner)}"
    if (inner := _entry_type(kind)) is not None:
        return f"names, each with {expected(inner)}"
    plain = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
    return plain.get(kind, "keys and values")


def _annotated_name(kind: Any) -> str:
    base, meta = get_args(kind)[0], kind.__metadata__[0]
    limits = [("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")]
    bounds = [
        f"{word} {bound}" for name, word in limits if (bound := getattr(meta, name)) is not None
    ]
    return " ".join([_type_name(base), *bounds])


def _parse_unit(kind: Any, data: Any) -> Any:
    # msgspec hands over every type that it does not know; ours are the units.
    if kind not in UNITS:
        raise TypeError(f"no schema can hold {kind}")
    if isinstance(data, kind):
        return data
    if not isinstance(data, str):
        raise ValueError(kind.expected)
    return kind.parse(data)


def _options(spec: Spec) -> tuple[Any, ...]:
    origin: object = get_origin(spec)
    return get_args(spec) if origin in (typing.Union, types.UnionType) else (spec,)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _entry_type(spec: Spec) -> Any:
    for kind in _options(spec):
        if get_origin(kind) is dict:
            return get_args(kind)[1]
    return None


def _item_type(spec: Spec) -> Any:
    for kind in _options(spec):
        if get_origin(kind) in (list, tuple):
            return get_args(kind)[0]
    return None


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
