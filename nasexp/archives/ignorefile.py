"""`.nasexpignore`: lines as in .gitignore, the last line that matches decides."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasexp.archives.names import shown
from nasexp.errors import ConfigError, StageError

if TYPE_CHECKING:
    from pathlib import Path

    from pathspec.pattern import RegexPattern

IGNORE_FILE = ".nasexpignore"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that says something: `pattern.include` True leaves out, False takes back in."""

    number: int
    text: str
    folders_only: bool
    pattern: RegexPattern

    def matches(self, path: str, *, is_folder: bool) -> bool:
        """Whether the line means this very path, not merely a folder above it."""
        if self.folders_only and not is_folder:
            return False
        # The expressions of pathspec mean lines of text: a newline in a name would end the
        # match. No name holds a NUL, so it can stand in.
        result = self.pattern.match_file(path.replace("\n", "\0"))
        # Their only named group takes part when what matched is a folder above the path.
        return result is not None and result.match.lastgroup is None

    @property
    def reason(self) -> str:
        """How the line is told to people."""
        return f"{IGNORE_FILE} line {self.number}: {shown(self.text)}"


class IgnoreFile:
    """The lines of one file, asked path by path from the top of the tree down.

    Whoever asks does not descend into a folder that is left out; so, as in git, nothing below
    it can be taken back in.
    """

    def __init__(self, lines: tuple[Line, ...] = ()) -> None:
        self._last_first = lines[::-1]

    def decision(self, path: str, *, is_folder: bool) -> Line | None:
        """Return the line that decides about a path, None when no line speaks of it."""
        matching = (x for x in self._last_first if x.matches(path, is_folder=is_folder))
        return next(matching, None)


def read_ignore_file(root: Path) -> IgnoreFile:
    """Read `.nasexpignore` of a folder; without the file nothing is decided.

    Raises:
        ConfigError: a line is no pattern.
        StageError: the file cannot be read.
    """
    try:
        content = (root / IGNORE_FILE).read_bytes()
    except FileNotFoundError:
        return IgnoreFile()
    except OSError as error:
        raise StageError(f"{root / IGNORE_FILE} cannot be read: {error.strerror}") from error
    texts = os.fsdecode(content.removeprefix(b"\xef\xbb\xbf")).split("\n")
    lines = (_line(number, text.rstrip("\r")) for number, text in enumerate(texts, 1))
    return IgnoreFile(tuple(line for line in lines if line))


def _line(number: int, text: str) -> Line | None:
    # Imported here: most projects have no such file, and pathspec takes 30 ms.
    from pathspec import GitIgnoreSpec  # noqa: PLC0415

    folders_only = text.rstrip().endswith("/")
    plain = text.rstrip().removesuffix("/") if folders_only else text
    if plain.strip() in {"", "!"}:
        return None
    try:
        pattern = GitIgnoreSpec.from_lines([plain]).patterns[0]
    except (ValueError, re.error) as error:
        message = f"{IGNORE_FILE} line {number}: {shown(text)!r} is no pattern"
        raise ConfigError(message, hint="the lines are those of a .gitignore") from error
    return None if pattern.include is None else Line(number, text.strip(), folders_only, pattern)
