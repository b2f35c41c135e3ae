"""Reads a secret from where the settings say that it is: a variable, or a command."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from nasexp.errors import ConfigError

if TYPE_CHECKING:
    from nasexp.config.settings import SecretSource

COMMAND_SECONDS = 120.0


def read_secret(source: SecretSource, what: str) -> str:
    """Return the secret.

    Args:
        source: where it is.
        what: it is, for messages: `the password of host 'gpu'`.

    Raises:
        ConfigError: it is not there; nothing of it is told.
    """
    if bool(source.env) == bool(source.command):
        raise ConfigError(
            f"{what}: found {'both' if source.env else 'neither'} `env` and `command`",
            hint="write `{env: VARIABLE}` or `{command: pass show name}`",
        )
    if source.command:
        return _by_command(source.command, what)
    if source.env not in os.environ:
        raise ConfigError(f"{what}: the variable {source.env} is not set")
    return os.environ[source.env]


def _by_command(command: str, what: str) -> str:
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        # What the command printed may hold a part of the secret; so may the exception.
        raise ConfigError(
            f"{what}: its command failed", hint=f"try it by itself: {command}"
        ) from None
    return done.stdout.decode(errors="surrogateescape").removesuffix("\n")
