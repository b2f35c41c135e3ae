"""Durations, sizes, money and rates as people write them: `2h30m`, `500MB`, `45 EUR/h`."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import total_ordering
from typing import Any, Self

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LONGEST_SECONDS = 100 * 365.25 * 86400
"""A hundred years: beyond them a number is a slip, and too large for the sh of some host."""
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?i?B)")
_MONEY = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s+([A-Z]{3})")
_RATE = re.compile(r"(.+?)\s*/\s*h")


class _Unit:
    """An immutable value that YAML holds as text.

    No dataclass: msgspec would read those field by field instead of asking `parse`.
    """

    __slots__: tuple[str, ...] = ()

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._values() == other._values()

    def __lt__(self, other: Any) -> bool:
        return self._values() < other._values() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


@total_ordering
class Duration(_Unit):
    """A length of time in seconds; `never` is endless."""

    __slots__ = ("seconds",)
    expected = "a duration such as 90s, 2h30m or 1d, or never"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `90s`, `2h30m`, `1d` or `never`; raises ValueError for anything else."""
        if text == "never":
            return cls(math.inf)
        parts = _DURATION_PART.findall(text)
        units = [unit for _, unit in parts]
        whole = "".join(number + unit for number, unit in parts) == text
        falling = units == sorted(set(units), key=lambda unit: -_SECONDS[unit])
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        if not parts or not whole or not falling or seconds > LONGEST_SECONDS:
            raise ValueError(cls.expected)
        return cls(seconds)

    def __str__(self) -> str:
        if math.isinf(self.seconds):
            return "never"
        rest, text = self.seconds, ""
        for unit in ("d", "h", "m"):
            count, rest = divmod(rest, _SECONDS[unit])
            text += f"{count:.0f}{unit}" if count else ""
        return text + f"{rest:g}s" if rest or not text else text


class FiniteDuration(Duration):
    """A length of time that has an end."""

    expected = "a duration such as 90s, 2h30m or 1d"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `90s`, `2h30m` or `1d`; raises ValueError for anything else, `never` too."""
        if text == "never":
            raise ValueError(cls.expected)
        return super().parse(text)


@total_ordering
class Size(_Unit):
    """An amount of bytes."""

    __slots__ = ("size_bytes",)
    expected = "a size such as 500MB, 5GB or 2GiB"

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read `500MB`, `2GiB`, `0B`; raises ValueError for anything else."""
        match = _SIZE.fullmatch(text)
        if not match or match[2] not in _BYTES:
            raise ValueError(cls.expected)
        return cls(int(Decimal(match[1]) * _BYTES[match[2]]))

    def __str__(self) -> str:
        for unit in ("TB", "GB", "MB", "kB"):
            if self.size_bytes >= _BYTES[unit]:
                return f"{self.size_bytes / _BYTES[unit]:.3g}{unit}"
        return f"{self.size_bytes}B"


class Money(_Unit):
    """An amount in one currency (ISO 4217 code); two currencies never add up."""

    __slots__ = ("amount", "currency")
    expected = "an amount and a currency such as 45 EUR"

    def __init__(self, amount: Decimal, currency: str) -> None:
        self.amount = amount
        self.currency = currency

    @classmethod
    def parse(cls, text: str) -> Money:
        """Read `45 EUR` or `12.50 USD`; raises ValueError for anything else."""
        match = _MONEY.fullmatch(text)
        if not match:
            raise ValueError(cls.expected)
        return cls(Decimal(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class Rate(_Unit):
    """What an hour of training costs."""

    __slots__ = ("hourly",)
    expected = "a price per hour such as 45 EUR/h"

    def __init__(self, hourly: Money) -> None:
        self.hourly = hourly

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read `45 EUR/h`; raises ValueError for anything else."""
        match = _RATE.fullmatch(text)
        try:
            return cls(Money.parse(match[1] if match else ""))
        except ValueError:
            raise ValueError(cls.expected) from None

    def cost(self, seconds: Decimal) -> Money:
        """Return the unrounded price of so many seconds."""
        return Money(self.hourly.amount * seconds / 3600, self.hourly.currency)

    def __str__(self) -> str:
        return f"{self.hourly}/h"


UNITS = (Duration, FiniteDuration, Size, Money, Rate)


def clock(seconds: float) -> str:
    """Show a length of time to a person: `0.4 s`, `23 s`, `2:05 min`, `3:20 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"
