"""Fetches the keys that a host shows, trusted or not; nobody logs in for that."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from nasexp.connections.hostkeys import HostKey, read_known_hosts
from nasexp.connections.openssh import diagnose, private_folder, write_config
from nasexp.errors import ConnectionLost, HostUnreachable

if TYPE_CHECKING:
    from pathlib import Path

    from nasexp.connections.secret import Secrets
    from nasexp.connections.settings import Login

FETCH_SECONDS = 40.0
KINDS = {
    "ssh-ed25519": "ssh-ed25519",
    "ecdsa": "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    "ssh-rsa": "rsa-sha2-512,rsa-sha2-256",
}


def fetch_keys(name: str, login: Login, secrets: Secrets) -> list[HostKey]:
    """Return every key that a machine shows, the best kind first.

    The jumps on the way have to be trusted already: they are logged in to.

    Raises:
        ConnectionLost: it cannot be reached, or shows no key.
    """
    found = _fetch_each(name, login, secrets)
    if not found:
        raise ConnectionLost(f"host '{name}' ({login}) shows no key of a kind that is known here")
    return found


def _fetch_each(name: str, login: Login, secrets: Secrets) -> list[HostKey]:
    if shutil.which("ssh"):
        folder = private_folder()
        try:
            write_config(folder, login)
            shown = [_by_ssh(name, login, folder, kinds) for kinds in KINDS.values()]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return [key for key in shown if key]
    from nasexp.connections.paramiko_login import fetch_key  # noqa: PLC0415 - heavy, and seldom

    keys = []
    for kinds in KINDS.values():
        with contextlib.suppress(ConnectionLost):
            keys.append(fetch_key(name, login, kinds.split(","), secrets))
    return keys or [fetch_key(name, login, [], secrets)]


def _by_ssh(name: str, login: Login, folder: Path, kinds: str) -> HostKey | None:
    """Return the host's key of some kinds; None where it has none. Raises ConnectionLost."""
    shown = folder / "shown"
    shown.unlink(missing_ok=True)
    options = {
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": str(shown),
        "GlobalKnownHostsFile": "none",
        "HashKnownHosts": "no",
        "HostKeyAlgorithms": kinds,
        "PreferredAuthentications": "none",
    }
    command = ["ssh", "-F", str(folder / "config"), "-p", str(login.port), "-l", login.user]
    command += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    try:
        done = subprocess.run(
            [*command, "--", login.target, "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FETCH_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HostUnreachable(f"host '{name}' ({login}) does not answer in time") from error
    entries = read_known_hosts([shown])
    if entries:
        return entries[-1].key
    said = done.stderr.decode(errors="replace")
    if "no matching host key type" in said:
        return None
    raise diagnose(name, login, said)
