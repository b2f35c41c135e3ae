"""Where a host is and how to log in there: resolved once, for both carriers.

The system's `ssh -G` knows the user's whole configuration (`Include`, `Match`, aliases, jumps);
where there is no such program, paramiko reads ~/.ssh/config. What nasexp.yaml says of a host is
stronger than either.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nasexp.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nasexp.config.settings import Host, HostSettings

RESOLVE_SECONDS = 20.0
MOST_JUMPS = 8
SSH_PORT = 22
LOCAL_ADDRESS = "localhost"
USER_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")

# A leading dash would be an option of ssh; anything else that a shell could read is no address.
_ADDRESS = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.\\@+-]*)@)?"
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]"
    r"|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?)"
)


@dataclass(frozen=True, slots=True)
class Login:
    """Where one machine is and who logs in there.

    Attributes:
        target: what `ssh` is asked for: an alias, a name or an address.
        hostname: what the alias stands for.
        identities: private key files, in the order they are tried; they need not exist.
        identities_only: whether keys of the agent that are none of those are left out.
        key_name: the name that its key has in known_hosts, where that is another than hostname.
        known_hosts: files of trusted keys, the workspace's first.
        jumps: the machines that the way leads over, the nearest first.
        proxy_command: a program that makes the link instead, in ssh's own form.
        ciphers: as the user's configuration orders them; empty for the carrier's own.
    """

    target: str
    hostname: str
    port: int
    user: str
    identities: tuple[str, ...] = ()
    identities_only: bool = False
    key_name: str = ""
    known_hosts: tuple[str, ...] = ()
    jumps: tuple[Login, ...] = ()
    proxy_command: str = ""
    ciphers: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        port = "" if self.port == SSH_PORT else f" port {self.port}"
        return f"{self.user}@{self.hostname}{port}"

    @property
    def name_in_known_hosts(self) -> str:
        """How known_hosts files name it: `host`, or `[host]:port` where the port is another."""
        if self.key_name:
            return self.key_name
        return self.hostname if self.port == SSH_PORT else f"[{self.hostname}]:{self.port}"


def resolve_login(host: Host, workspace_known_hosts: Path) -> Login:
    """Return where a host of the configuration is.

    Raises:
        ConfigError: its address is none, or the user's ssh configuration is broken.
    """
    own = host.settings
    match = check_address(host)
    _check_identity(host)
    target = match["host"].strip("[]")
    # The user of the address is what was written closest to it.
    return _resolve(target, match["user"] or own.user, own, workspace_known_hosts, MOST_JUMPS)


def _check_identity(host: Host) -> None:
    # ssh would only mumble, and log in with another key.
    named = host.settings.identity
    path = os.path.expanduser(named)  # noqa: PTH111 - text as all of them here
    if named and not (os.path.exists(path) or os.path.exists(f"{path}.pub")):  # noqa: PTH110
        raise ConfigError(f"hosts.{host.name}.identity: there is no file {named}")


def check_address(host: Host) -> re.Match[str]:
    """Return the parts of a host's address. Raises ConfigError where it is none."""
    match = _ADDRESS.fullmatch(host.settings.address or LOCAL_ADDRESS)
    if not match:
        raise ConfigError(
            f"hosts.{host.name}.address: found {host.settings.address!r}, expected user@server, "
            "an alias of ~/.ssh/config or an IP address",
            hint="a port has a key of its own: `port: 2222`",
        )
    return match


def _resolve(target: str, user: str, own: HostSettings | None, known: Path, hops: int) -> Login:
    port, identity = (own.port, own.identity) if own else (0, "")
    if not hops:
        raise ConfigError(f"ssh configuration: the jumps to {target} lead in a circle")
    options = _lookup(target, user, port)
    one = {key: values[0] for key, values in options.items() if values}
    identities = [identity] if identity else options.get("identityfile", [])
    trusted = [str(known), *_files(options, "userknownhostsfile", USER_KNOWN_HOSTS)]
    trusted += _files(options, "globalknownhostsfile", SYSTEM_KNOWN_HOSTS)
    return Login(
        target=target,
        hostname=one.get("hostname", target),
        port=port or int(one.get("port", SSH_PORT)),
        user=user or one.get("user") or _own_name(),
        identities=tuple(os.path.expanduser(name) for name in identities if name != "none"),  # noqa: PTH111
        identities_only=bool(identity) or one.get("identitiesonly") == "yes",
        key_name=_set(one.get("hostkeyalias")),
        known_hosts=tuple(dict.fromkeys(trusted)),
        jumps=tuple(_jumps(_set(one.get("proxyjump")), known, hops - 1)),
        proxy_command=_set(one.get("proxycommand")),
        ciphers=tuple(one.get("ciphers", "").split(",")) if one.get("ciphers") else (),
    )


def _jumps(written: str, known: Path, hops: int) -> Iterable[Login]:
    """Resolve `a,user@b:2222`; a jump's own jumps come before it."""
    for hop in filter(None, written.split(",")):
        match = re.fullmatch(r"(?:ssh://)?(?:(.+)@)?(\[.+\]|[^:]+|.*:.*:.*?)(?::([0-9]+))?/?", hop)
        if not match:
            raise ConfigError(f"ssh configuration: ProxyJump {hop!r} is no machine")
        user, target, port = match[1] or "", match[2].strip("[]"), int(match[3] or 0)
        from nasexp.config.settings import HostSettings  # noqa: PLC0415 - only jumps need it

        login = _resolve(target, user, HostSettings(port=port), known, hops)
        yield from login.jumps
        yield login


def _lookup(target: str, user: str, port: int) -> dict[str, list[str]]:
    if shutil.which("ssh"):
        return _ask_ssh(target, user, port)
    from nasexp.connections.paramiko_login import read_ssh_config  # noqa: PLC0415 - heavy, and seldom

    return read_ssh_config(target)


def _ask_ssh(target: str, user: str, port: int) -> dict[str, list[str]]:
    command = ["ssh", "-G", *(["-p", str(port)] if port else []), *(["-l", user] if user else [])]
    try:
        done = subprocess.run(
            [*command, "--", target],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=RESOLVE_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"`ssh -G {target}` does not end") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ConfigError(
            f"the ssh configuration cannot be read: {said[-1] if said else 'ssh -G failed'}"
        )
    found: dict[str, list[str]] = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def _files(options: dict[str, list[str]], key: str, usual: tuple[str, ...]) -> list[str]:
    written = options.get(key)
    names = written[0].split() if written else list(usual)
    return [os.path.expanduser(name) for name in names if name not in ("none", "/dev/null")]  # noqa: PTH111


def _set(value: str | None) -> str:
    return "" if value in (None, "none") else str(value)


def _own_name() -> str:
    import getpass  # noqa: PLC0415 - only without any other word on it

    return getpass.getuser()
