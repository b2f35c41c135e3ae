"""Shows resolved settings to people and keeps them with a run; secrets are hidden."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nasexp.config.settings import Settings
    from nasexp.config.values import Value

HIDDEN = "***"
LONGEST_WORD = 500
_KEY = re.compile(r"[\w.-]+(?=\W?\s*[:=])")
_SECRET_WORDS = frozenset({"password", "passwd", "passphrase", "secret", "token", "credentials"})
_SECRET_PAIRS = frozenset(
    {("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key")}
)


def is_secret(path: str) -> bool:
    """Whether a key's name says that its value is nobody's business: `hf_token`, `api_key`."""
    words = path.lower().replace("-", "_").replace(".", "_").split("_")
    if words[-1] == "apikey" or words[-1].rstrip("s") in _SECRET_WORDS | {"credential"}:
        return True
    return (*words[-2:-1], words[-1].rstrip("s")) in _SECRET_PAIRS


def without_secrets(words: Iterable[str]) -> list[str]:
    """Return the words of a command line; from a secret's value on, as in `a.token=x`, hidden."""
    return [_cut(word) for word in words]


def _cut(word: str) -> str:
    word = word if len(word) <= LONGEST_WORD else word[:LONGEST_WORD] + "…"
    for key in _KEY.finditer(word):
        if is_secret(key[0]):
            return f"{word[: key.end()]}={HIDDEN}"
    return word


def shown_values(settings: Settings) -> list[tuple[str, Any, str]]:
    """Return (dotted key, plain value, origin) of every setting, secrets hidden."""
    return [
        (path, HIDDEN if _hidden(path, value) else value.plain(), str(value.origin))
        for path, value in settings.tree.leaves()
    ]


def config_yaml(settings: Settings) -> str:
    """Return the settings as YAML that can be read again, each line with its origin."""
    lines = ["# The settings of this run, and where each was set."]
    lines += _lines(settings.tree.data, "", "")
    return "\n".join(lines) + "\n"


def _lines(tree: dict[str, Value], path: str, indent: str) -> list[str]:
    lines = []
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value.data, dict) and value.data:
            lines.append(f"{indent}{json.dumps(key) if not key.isidentifier() else key}:")
            lines += _lines(value.data, here, indent + "  ")
            continue
        plain = HIDDEN if _hidden(here, value) else value.plain()
        # JSON is YAML, and leaves no doubt about what is text.
        text = json.dumps(plain).replace("\x7f", "\\u007f")
        lines.append(
            f"{indent}{key if key.isidentifier() else json.dumps(key)}: {text}  # {value.origin}"
        )
    return lines


def _hidden(path: str, value: Value) -> bool:
    return is_secret(path) and value.data not in ("", None) and not isinstance(value.data, dict)
