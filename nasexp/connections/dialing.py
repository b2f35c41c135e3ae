"""Opens a connection to a host: chooses what carries it, once."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from nasexp.connections.hostkeys import KNOWN_HOSTS_NAME
from nasexp.connections.local import connect_local
from nasexp.connections.openssh import OpensshCarrier
from nasexp.connections.secret import Secrets
from nasexp.connections.settings import resolve_login
from nasexp.connections.shell import ShellConnection
from nasexp.errors import ConfigError, LoginRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nasexp.config.settings import Host
    from nasexp.connections.settings import Login


def connect_host(
    host: Host, workspace_root: Path, ask: Callable[[str], str | None]
) -> ShellConnection:
    """Return an open connection to a host of the configuration; one without address is here.

    Args:
        host: the host.
        workspace_root: the folder whose `known_hosts` says which keys are trusted.
        ask: shows a text to a person and returns the secret; None where nobody answers.

    Raises:
        ConfigError: its address, or the user's ssh configuration, makes no sense.
        ConnectionLost: it cannot be reached, is not trusted, or does not let us in.
        StageError: it lets us in and gives no shell.
    """
    if not host.settings.address:
        return _opened(connect_local(host.name))
    login = resolve_login(host, workspace_root / KNOWN_HOSTS_NAME)
    secrets = Secrets(host, ask)
    if not _begins_with_ssh(host):
        return _by_paramiko(host, login, secrets)
    try:
        return _opened(ShellConnection(host.name, OpensshCarrier(host.name, login)))
    except LoginRefused as refused:
        if host.settings.via == "openssh" or not refused.asks:
            raise
        return _by_paramiko(host, login, secrets)


def why_via(host: Host, via: str) -> str:
    """Say why a connection to a host is carried by what carries it."""
    if host.settings.via != "auto":
        return f"`via: {host.settings.via}`"
    if via == "openssh":
        return "it is here and logs in without a question"
    if not shutil.which("ssh"):
        return "there is no ssh program here"
    return "ssh alone would need a secret"


def _begins_with_ssh(host: Host) -> bool:
    own, program = host.settings, shutil.which("ssh")
    if own.via == "openssh" and not program:
        raise ConfigError(
            f"hosts.{host.name}.via: openssh: there is no ssh program on this machine",
            hint="install openssh-client, or say `via: paramiko`",
        )
    secret = own.password or own.passphrase
    return bool(program) and (own.via == "openssh" or (own.via == "auto" and not secret))


def _by_paramiko(host: Host, login: Login, secrets: Secrets) -> ShellConnection:
    from nasexp.connections.paramiko import ParamikoCarrier  # noqa: PLC0415 - half a second

    return _opened(ShellConnection(host.name, ParamikoCarrier(host.name, login, secrets)))


def _opened(connection: ShellConnection) -> ShellConnection:
    connection.open()
    return connection
