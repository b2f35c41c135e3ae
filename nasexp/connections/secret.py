"""Passwords and passphrases: from a variable, a command, or a person; never from a file of ours."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasexp.errors import LoginRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from nasexp.config.settings import Host, SecretSource

COMMAND_SECONDS = 120.0

Ask = "Callable[[str], str | None]"


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
        return self._get("password", self.host.settings.password, f"password of {who}: ")

    def passphrase(self, key: str) -> str | None:
        """Return the passphrase of a key file; None where there is none to be had."""
        return self._get(key, self.host.settings.passphrase, f"passphrase of {key}: ")

    def forget(self) -> None:
        """Forget them all: one of them was wrong."""
        self._known.clear()

    def _get(self, name: str, source: SecretSource | None, prompt: str) -> str | None:
        if name not in self._known:
            found = self._fetch(name, source) if source else self.ask(prompt)
            if not found:
                return None
            self._known[name] = found
        return self._known[name]

    def _fetch(self, name: str, source: SecretSource) -> str:
        if source.env:
            if source.env not in os.environ:
                raise LoginRefused(
                    f"host '{self.host.name}': the variable {source.env} is not set",
                    hint=f"the configuration says that it holds the {self._kind(name)}",
                )
            return os.environ[source.env]
        return self._run(name, source.command)

    def _run(self, name: str, command: str) -> str:
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_SECONDS,
                check=True,
            )
        except (subprocess.SubprocessError, OSError) as error:
            # What the command printed may hold a part of the secret.
            raise LoginRefused(
                f"host '{self.host.name}': the command for the {self._kind(name)} failed",
                hint=f"try it by itself: {command}",
            ) from error
        return done.stdout.decode(errors="surrogateescape").removesuffix("\n")

    def _kind(self, name: str) -> str:
        return "password" if name == "password" else "passphrase"


def ask_nobody(_prompt: str) -> None:
    """Answer for a person where none is there."""
