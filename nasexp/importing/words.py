"""Splits sh text into statements and words, as far as that goes without running any of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<joined>\\\n)
    | (?P<blank>[ \t]+)
    | (?P<end>[\n;])
    | (?P<single>'[^']*')
    | (?P<double>"(?:[^"\\]|\\.)*")
    | (?P<escaped>\\.)
    | (?P<changing>\$\{[^}]*\} | `[^`]*` | [$`])
    | (?P<operator>[&|<>()])
    | (?P<hash>\#)
    | (?P<unclosed>['"\\].*)
    | (?P<plain>[^ \t\n;'"\\$`&|<>()\#]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED_IN_QUOTES = re.compile(r'\\([$`"\\])|\\\n')
_CHANGING_IN_QUOTES = re.compile(r"(?<!\\)(?:\\\\)*[$`]")
_HERE_DOCUMENT = re.compile(r"(?<!<)<<-?[ \t]*\\?(['\"]?)(\w+)\1")


@dataclass(frozen=True, slots=True)
class Word:
    """One word.

    Attributes:
        text: without its quotes.
        source: as it was written.
        literal: whether sh would take the text as it stands; a `$` or a backquote changes it.
    """

    text: str
    source: str
    literal: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """What stands between two line ends or semicolons.

    Attributes:
        line: where it begins, from 1.
        source: as it was written.
        words: its words; operators among them are words too.
        simple: whether it is free of pipes, redirections, lists, subshells and open quotes.
    """

    line: int
    source: str
    words: tuple[Word, ...]
    simple: bool


def statements(text: str) -> list[Statement]:
    """Return the statements of a sh text; comments and empty lines are no statements."""
    return _Scanner(text).scan()


@dataclass
class _Part:
    """A word that is being read."""

    start: int
    text: str = ""
    literal: bool = True


@dataclass
class _Scanner:
    """One pass over a text."""

    text: str
    found: list[Statement] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    word: _Part | None = None
    start: int = 0
    position: int = 0
    parentheses: int = 0
    simple: bool = True

    def scan(self) -> list[Statement]:
        while match := _TOKEN.match(self.text, self.position):
            self.position = match.end()
            getattr(self, f"_{match.lastgroup}")(match[0], match.start())
        self._close_statement(self.position)
        return self.found

    def _joined(self, _token: str, _start: int) -> None:
        """A line that goes on in the next one: nothing lies between."""

    def _blank(self, _token: str, start: int) -> None:
        self._close_word(start)

    def _end(self, piece: str, start: int) -> None:
        if self.parentheses:
            self._close_word(start)  # what a subshell does is one statement of ours
            return
        self._close_statement(start)
        if piece == "\n":
            self._skip_here_document()
        self.start = self.position

    def _single(self, piece: str, start: int) -> None:
        self._add(piece[1:-1], start)

    def _double(self, piece: str, start: int) -> None:
        literal = not _CHANGING_IN_QUOTES.search(piece)
        self._add(_ESCAPED_IN_QUOTES.sub(r"\1", piece[1:-1]), start, literal=literal)

    def _escaped(self, piece: str, start: int) -> None:
        self._add(piece[1], start)

    def _changing(self, piece: str, start: int) -> None:
        self._add(piece, start, literal=False)

    def _operator(self, piece: str, start: int) -> None:
        self._close_word(start)
        self._add(piece, start)
        self._close_word(self.position)
        self.simple = False
        self.parentheses = max(0, self.parentheses + {"(": 1, ")": -1}.get(piece, 0))

    def _hash(self, piece: str, start: int) -> None:
        if self.word:
            self._add(piece, start)
            return
        end = self.text.find("\n", start)
        self.position = len(self.text) if end == -1 else end

    def _unclosed(self, piece: str, start: int) -> None:
        self.simple = False
        self._add(piece, start, literal=False)

    def _plain(self, piece: str, start: int) -> None:
        self._add(piece, start)

    def _add(self, text: str, start: int, *, literal: bool = True) -> None:
        self.word = self.word or _Part(start)
        self.word.text += text
        self.word.literal &= literal

    def _close_word(self, end: int) -> None:
        if word := self.word:
            self.words.append(Word(word.text, self.text[word.start : end], word.literal))
        self.word = None

    def _close_statement(self, end: int) -> None:
        self._close_word(end)
        if self.words:
            source = self.text[self.start : end]
            begin = self.start + len(source) - len(source.lstrip())
            line = self.text.count("\n", 0, begin) + 1
            self.found.append(Statement(line, source.strip(), tuple(self.words), self.simple))
        self.words, self.simple, self.parentheses = [], True, 0

    def _skip_here_document(self) -> None:
        """Go behind the text that was handed to a command: its lines are nobody's settings."""
        last = self.found[-1].source if self.found else ""
        if match := _HERE_DOCUMENT.search(last):
            ending = re.compile(rf"^\t*{match[2]}$\n?", re.MULTILINE)
            found = ending.search(self.text, self.position)
            self.position = found.end() if found else len(self.text)
