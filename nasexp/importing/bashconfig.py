"""Reads the assignments of a sh file without running it; what it cannot know, it names.

What counts is `NAME=value` at the top level, also behind `export` or `readonly`, the last one of
a name. A value that sh would work out (`$VAR`, `$(…)`, backquotes), and whatever stands in a
condition, a loop or a function, is not guessed: it is listed with its line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasexp.archives.names import shown as printable
from nasexp.config.showing import HIDDEN, is_secret
from nasexp.config.values import Origin
from nasexp.errors import StageError
from nasexp.importing.words import Statement, Word, statements

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE_LIMIT_BYTES = 1 << 20
LONGEST_SHOWN = 100

WORKED_OUT = "sh works this value out when it runs"
NO_TEXT = "the value holds characters that are no plain text"
INCLUDES = "it includes another file; only auto_runner.config and NAME/NAME.config are read"
INCLUDES_PROJECT = "not needed: the NAME.config of every project is read"
BLOCK = "it depends on a condition, a loop or a function"
COMMAND = "it is a command, no plain NAME=value"

_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_MENTIONED = re.compile(r"(?<![A-Za-z0-9_$])([A-Za-z_][A-Za-z0-9_]*)\+?=")
_TILDE = re.compile(r"(?:=|:)~")
_DECLARING = frozenset({"export", "readonly"})
_PROJECT_FILE = re.compile(r"/\$\{?target_proj\}?\.config['\"]?$")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BEFORE_A_COMMAND = frozenset({"then", "else", "do", "!"})
_OPENING = frozenset({"if", "case", "for", "while", "until", "select"})
_CLOSING = frozenset({"fi", "esac", "done"})
_CHANGING = frozenset({"unset", "read"})


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value that sh would take as it stands."""

    name: str
    value: str
    origin: Origin

    @property
    def text(self) -> str:
        """The assignment as people are shown it; secrets are hidden."""
        return shortened(f"{self.name}={HIDDEN if is_secret(self.name) else self.value}")


@dataclass(frozen=True, slots=True)
class Unread:
    """A statement that was not taken, and why; `name` where it is the assignment of one."""

    origin: Origin
    text: str
    reason: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class BashConfig:
    """What a sh file assigns, and what of it could not be read."""

    values: dict[str, Assignment] = field(default_factory=dict)
    unread: tuple[Unread, ...] = ()


def read_config(path: Path, shown: str) -> BashConfig:
    """Read a file; Windows line ends, a byte order mark and odd bytes in comments do no harm.

    Args:
        path: the file.
        shown: its name in messages and origins.

    Raises:
        StageError: it cannot be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise StageError(f"{shown} cannot be read: {error.strerror}") from error
    if b"\0" in raw or len(raw) > SIZE_LIMIT_BYTES:
        raise StageError(f"{shown} is no text that sh could read", hint="save it as UTF-8")
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return parse_config(text.replace("\r\n", "\n"), shown)


def parse_config(text: str, shown: str) -> BashConfig:
    """Read a text as `read_config` reads a file."""
    reader = _Reader(shown)
    for statement in statements(text):
        reader.take(statement)
    return BashConfig(reader.values, tuple(reader.unread))


def shortened(text: str) -> str:
    """Return a piece of a file in one safe line that is not too long."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 2] + " …"


class _Reader:
    """Takes statement by statement; knows how deep in blocks it is."""

    def __init__(self, shown: str) -> None:
        self.values: dict[str, Assignment] = {}
        self.unread: list[Unread] = []
        self._shown = shown
        self._depth = 0

    def take(self, statement: Statement) -> None:
        inside = self._depth > 0
        self._depth = max(0, self._depth + _nesting(statement))
        words = None if inside else _assigning(statement)
        if words is not None:
            for word in words:
                self._assign(word, Origin(self._shown, statement.line))
            return
        for name in _named(statement):
            self._doubt(name, statement.line)
        if not inside:
            goes_on = " …" if self._depth else ""
            text = shortened(_without_secrets(statement.source) + goes_on)
            origin = Origin(self._shown, statement.line)
            self.unread.append(Unread(origin, text, _reason(statement)))

    def _doubt(self, name: str, line: int) -> None:
        """Give up a value that a later line may have changed: nobody knows which one holds."""
        if known := self.values.pop(name, None):
            reason = f"line {line} may change it"
            self.unread.append(Unread(known.origin, known.text, reason, name))

    def _assign(self, word: Word, origin: Origin) -> None:
        name, _, value = word.text.partition("=")
        self.values.pop(name, None)
        if not word.literal or _TILDE.search(word.source):
            self._refuse(name, word, origin, WORKED_OUT)
        elif not value.isprintable():
            self._refuse(name, word, origin, NO_TEXT)
        else:
            self.values[name] = Assignment(name, value, origin)

    def _refuse(self, name: str, word: Word, origin: Origin, reason: str) -> None:
        text = shortened(_without_secrets(word.source))
        self.unread.append(Unread(origin, text, reason, name))


def _assigning(statement: Statement) -> list[Word] | None:
    """Return the assignments that a statement consists of; None when it does anything else."""
    words = list(statement.words)
    declared = words[0].source in _DECLARING
    found = [word for word in words[declared:] if _ASSIGNED.match(word.source)]
    others = [word for word in words[declared:] if not _ASSIGNED.match(word.source)]
    # `export NAME` alone gives no value, so it takes none away.
    harmless = declared and all(_NAME.fullmatch(word.source) for word in others)
    return found if statement.simple and (harmless or not others) else None


def _nesting(statement: Statement) -> int:
    """Return how many blocks a statement opens, less those that it closes."""
    sources = [word.source for word in statement.words]
    braces = sources.count("{") - sources.count("}")
    first = next((word for word in sources if word not in _BEFORE_A_COMMAND), "")
    return braces + (first in _OPENING) - (first in _CLOSING)


def _reason(statement: Statement) -> str:
    first = statement.words[0].source
    if first in {"source", "."}:
        return INCLUDES_PROJECT if _PROJECT_FILE.search(statement.source) else INCLUDES
    if _ASSIGNED.match(first):
        return WORKED_OUT
    return BLOCK if _nesting(statement) else COMMAND


def _without_secrets(source: str) -> str:
    """Return a statement without the value whose name says that it is nobody's business."""
    for match in _MENTIONED.finditer(source):
        if is_secret(match[1]):
            return source[: match.end()] + HIDDEN
    return source


def _named(statement: Statement) -> Iterator[str]:
    """Yield the names whose value a statement may change."""
    yield from _MENTIONED.findall(statement.source)
    if statement.words[0].source in _CHANGING:
        yield from (word.text for word in statement.words[1:])
