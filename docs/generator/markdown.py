"""Pieces of Markdown that every page is made of."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEAD = "<!-- Made from the code by `./inv dev.docs`: change the code, not this page. -->"


def page(title: str, *parts: str) -> str:
    """Return a whole page: the mark that it is made, its title, its parts."""
    return "\n\n".join([HEAD, f"# {title}", *(part.strip("\n") for part in parts if part)]) + "\n"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a `|` within a cell is escaped."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def code(text: object) -> str:
    """Return a piece of code within a line; empty for nothing."""
    return f"`{text}`" if str(text) else ""


def fence(text: str, language: str = "") -> str:
    """Return a block of code."""
    return f"```{language}\n{text}\n```"


def doc_of(thing: Any) -> str:
    """Return a docstring as one paragraph."""
    return " ".join((inspect.getdoc(thing) or "").split())


def first_sentence(thing: Any) -> str:
    """Return the first paragraph of a docstring, in one line."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
