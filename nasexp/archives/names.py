"""File names are bytes; here they become text that any console and any log can take."""

from __future__ import annotations


def shown(path: str) -> str:
    """Return a file name for people: bytes that are no UTF-8 and control characters escaped."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(map(_printable, text))


def listed(paths: list[str], most: int = 50) -> str:
    """Return the names in one line; of a very long list the first ones and a count."""
    named = ", ".join(shown(path) for path in paths[:most])
    more = len(paths) - most
    return f"{named} and {more} more" if more > 0 else named


def _printable(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
