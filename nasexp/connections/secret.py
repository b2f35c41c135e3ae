"""Passwords and passphrases: from a variable, a command, or a person; never from a file of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasexp.config.secret import read_secret
from nasexp.errors import ConfigError, LoginRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from nasexp.config.settings import Host, SecretSource


@dataclass
class Secrets:
    """The secrets of one host, each asked for once and kept in memory for the next dial.

    Args:
        host: whose they are.
        ask: shows a text to a person and returns the answer; None where nobody is there.
    """

    host: Host
    ask: Callable[[str], str | None]
    _known: dict[str, str] = field(default_factory=dict, repr=False)

    def password(self, who: str) -> str | None:
        """Return the password of an account; None where there is none to be had."""
        return self._get(f"password of {who}", self.host.settings.password)

    def passphrase(self, key: str) -> str | None:
        """Return the passphrase of a key file; None where there is none to be had."""
        return self._get(f"passphrase of {key}", self.host.settings.passphrase)

    def forget(self) -> None:
        """Forget them all: one of them was wrong."""
        self._known.clear()

    def _get(self, what: str, source: SecretSource | None) -> str | None:
        if what not in self._known:
            found = self._read(what, source) if source else self.ask(f"{what}: ")
            if not found:
                return None
            self._known[what] = found
        return self._known[what]

    def _read(self, what: str, source: SecretSource) -> str:
        try:
            return read_secret(source, f"host '{self.host.name}', {what}")
        except ConfigError as error:
            raise LoginRefused(error.message, hint=error.hint) from error


def ask_nobody(_prompt: str) -> None:
    """Answer for a person where none is there."""
