"""The command `trust`: which key a host has, settled once by a person."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.errors import ExitCode, HostKeyRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nasexp.config.settings import Host
    from nasexp.connections.hostkeys import Entry, HostKey
    from nasexp.connections.settings import Login


@command
def trust(
    context: CommandContext,
    host: Annotated[str, Arg("the host, a name under `hosts:`", positional=True)],
    fingerprint: Annotated[
        list[str], Arg("trust only the key that has it, SHA256:…, and ask nobody; may be repeated")
    ] = (),  # type: ignore[assignment] # never changed
) -> ExitCode:
    """Show the keys of a host, ask, and trust them from now on.

    They are kept in known_hosts of the workspace. A key that was trusted before and is another
    now is told as such. The machines that the way leads over (ProxyJump) come first.
    """
    from nasexp.cli.projects import host_of  # noqa: PLC0415 - reads the configuration
    from nasexp.connections.settings import resolve_login  # noqa: PLC0415 - as above

    found = host_of(context.workspace, host)
    if not found.settings.address:
        raise UsageError(f"host '{host}' is this machine: there is no key to trust")
    login = resolve_login(found, known_hosts_of(context))
    *jumps, target = _hops(login)
    codes = [_trust_hop(context, found, hop, fingerprint) for hop in jumps]
    return ExitCode.worst([*codes, _trust_hop(context, found, target, fingerprint, strict=True)])


def known_hosts_of(context: CommandContext) -> Path:
    """Return the workspace's file of trusted keys."""
    from nasexp.connections.hostkeys import KNOWN_HOSTS_NAME  # noqa: PLC0415 - as above

    return context.workspace.root / KNOWN_HOSTS_NAME


def _hops(login: Login) -> Iterator[Login]:
    """Yield each machine of the way, with the jumps that lie before it."""
    for number, hop in enumerate(login.jumps):
        yield replace(hop, jumps=login.jumps[:number])
    yield login


def _trust_hop(
    context: CommandContext,
    host: Host,
    login: Login,
    fingerprints: Sequence[str],
    *,
    strict: bool = False,
) -> ExitCode:
    """Settle one machine; `strict`: a fingerprint has to fit even where all is trusted already."""
    from nasexp.cli.view import ask_on_terminal  # noqa: PLC0415 - as above
    from nasexp.connections.hostkeys import store_keys, trusted_keys  # noqa: PLC0415
    from nasexp.connections.keyscan import fetch_keys  # noqa: PLC0415
    from nasexp.connections.secret import Secrets  # noqa: PLC0415

    shown = fetch_keys(host.name, login, Secrets(host, ask_on_terminal))
    known = trusted_keys(login)
    _tell(context, login, shown, known)
    settled = all(_is_known(key, known) for key in shown)
    check = fingerprints and (strict or not settled)
    chosen = _fitting(host.name, shown, fingerprints) if check else shown
    if all(_is_known(key, known) for key in chosen):
        context.print("trusted already")
        return ExitCode.OK
    if not (fingerprints or _says_yes(host.name)):
        context.print("nothing was changed")
        return ExitCode.NO
    file = known_hosts_of(context)
    store_keys(file, login.name_in_known_hosts, chosen)
    context.print(f"{login} is trusted now ({context.workspace.shown(file)})")
    return ExitCode.OK


def _tell(
    context: CommandContext, login: Login, shown: Sequence[HostKey], known: Sequence[Entry]
) -> None:
    context.print(f"{login} shows")
    for key in shown:
        context.print(f"  {key.kind:20} {key.fingerprint}")
    kinds = {key.kind for key in shown if not _is_known(key, known)}
    changed = [entry for entry in known if entry.key.kind in kinds]
    if changed:
        context.print("CHANGED: until now it was trusted with")
        for entry in changed:
            context.print(f"  {entry.key.kind:20} {entry.key.fingerprint}  ({entry.place})")
        context.print("somebody may stand in between: compare with what the machine itself says")


def _is_known(key: HostKey, known: Sequence[Entry]) -> bool:
    return any(entry.key == key for entry in known)


def _fitting(name: str, shown: Sequence[HostKey], fingerprints: Sequence[str]) -> Sequence[HostKey]:
    """Return the keys with one of the fingerprints. Raises HostKeyRefused when there is none."""
    fitting = [key for key in shown if key.fingerprint in fingerprints]
    if not fitting:
        raise HostKeyRefused(
            f"host '{name}' shows no key with {' or '.join(fingerprints)}: nothing is trusted",
            hint="compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there",
        )
    return fitting


def _says_yes(name: str) -> bool:
    """Ask the person at the terminal. Raises UsageError where there is none."""
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageError(
            "nobody is here to compare the fingerprints",
            hint=f"nasexp trust {name} --fingerprint SHA256:… (as the machine itself tells it)",
        )
    answer = input("Is that what the machine itself says? Trust it? [y/N] ")
    return answer.strip().lower() in ("y", "yes")
