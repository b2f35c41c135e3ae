"""Why a host cannot be used: the same words whatever carries the connection."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from nasexp.connections.hostkeys import trusted_keys
from nasexp.errors import HostKeyRefused, HostUnreachable, LoginRefused, StageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nasexp.connections.hostkeys import Entry, HostKey
    from nasexp.connections.settings import Login

SAID_CHARACTERS = 200
ASKING_METHODS = frozenset({"password", "keyboard-interactive"})


class Trouble(Enum):
    """What keeps a host from being reached; each may pass by itself while a machine boots."""

    NAME = "the name {login.hostname} is not known"
    REFUSED = "nothing listens at {login.hostname} port {login.port}"
    ROUTE = "there is no way to {login.hostname}: it may be off"
    SILENT = "{login.hostname} port {login.port} does not answer: it may be off"
    BEHIND = "the machine before it does not get to {login.hostname} port {login.port}"
    FROZEN = "{login.hostname} port {login.port} takes the call and says nothing: it may be frozen"
    HANGS_UP = "{login.hostname} hangs up at once: it may be busy or booting"


def unreachable(name: str, login: Login, trouble: Trouble) -> HostUnreachable:
    """Return the error for a host that may be there later."""
    hints = {
        Trouble.NAME: f"is `address:` right? try: ssh {login.target}",
        Trouble.REFUSED: "is its ssh server on, and is that its port (`port:`)?",
    }
    over = f" (over {login.jumps[-1].hostname})" if login.jumps else ""
    return HostUnreachable(
        f"host '{name}' cannot be reached: {trouble.value.format(login=login)}{over}",
        hint=hints.get(trouble, "is it on, and on this network?"),
    )


def check_key(name: str, login: Login, key: HostKey) -> None:
    """Raise HostKeyRefused unless the key is trusted for the host."""
    trusted = trusted_keys(login)
    if any(entry.key == key for entry in trusted):
        return
    if trusted:
        same = [entry for entry in trusted if entry.key.kind == key.kind]
        found = f"{key.kind} {key.fingerprint}"
        raise changed_key(name, login, found, (same or trusted)[0])
    raise unknown_key(name, login, key)


def unknown_key(name: str, login: Login, key: HostKey | None = None) -> HostKeyRefused:
    """Return the error for a host that nobody has trusted yet."""
    shown = f": {key.kind} {key.fingerprint}" if key else ""
    return HostKeyRefused(
        f"the key of host '{name}' ({login}) is not trusted yet{shown}",
        hint=f"look at it and trust it: nasexp trust {name}",
    )


def changed_key(name: str, login: Login, found: str, known: Entry | None) -> HostKeyRefused:
    """Return the error for a host that shows another key than it used to."""
    lines = [
        f"host '{name}' ({login}) shows another key than the one that was trusted: nothing was sent"
    ]
    if known:
        lines.append(f"trusted: {known.key.kind} {known.key.fingerprint}  ({known.place})")
    lines.append(f"found:   {found}")
    return HostKeyRefused(
        "\n".join(lines),
        hint="somebody may stand in between. Was the machine set up anew? Compare with "
        f"`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there, then: nasexp trust {name}",
    )


def refused_login(name: str, login: Login, methods: Sequence[str]) -> LoginRefused:
    """Return the error for an account that is not let in.

    Args:
        name: the host's name in the configuration.
        login: who wanted in.
        methods: what the host would have taken.
    """
    keys = [key for key in login.identities if Path(key).exists()]
    locked = [key for key in keys if is_locked_key(key)]
    tried = f"tried: {', '.join(keys)} and the agent's keys" if keys else "there is no key here"
    takes = f"; it takes {' or '.join(methods)}" if methods else ""
    if locked:
        hint = f"{locked[0]} needs its passphrase: ssh-add it to your agent, or set `passphrase:`"
    elif ASKING_METHODS & set(methods) and "publickey" not in methods:
        hint = "it takes passwords only: set `password: {env: VARIABLE}` or `{command: …}`"
    else:
        named = f"-i {login.identities[0]} " if login.identities_only and keys else ""
        to = f"{named}-p {login.port} {login.user}@{login.hostname}"
        hint = f"give it your key: ssh-copy-id {to}"
    asks = bool(locked or ASKING_METHODS & set(methods))
    return LoginRefused(
        f"host '{name}' does not let {login} in ({tried}{takes})", hint=hint, asks=asks
    )


def no_shell(name: str, said: bytes) -> StageError:
    """Return the error for an account that logs in and gets something else than a shell."""
    text = " ".join(said.decode(errors="replace").split())
    text = "".join(character for character in text if character.isprintable())
    shown = f": it says {text[:SAID_CHARACTERS]!r}" if text else ""
    return StageError(
        f"the account on host '{name}' logs in but gets no shell{shown}",
        hint="nasexp needs an account that can run /bin/sh; look for `exit` in ~/.bashrc, "
        "ForceCommand, internal-sftp or nologin on the host",
    )


def is_locked_key(path: str) -> bool:
    """Whether a private key file needs a passphrase, as far as its text tells."""
    try:
        text = Path(path).read_text(errors="replace")
    except OSError:
        return False
    if "ENCRYPTED" in text:
        return True
    # The newer format begins with the name of its cipher, in base64: this one is `none`.
    return "OPENSSH PRIVATE KEY" in text and "AAAABG5vbmU" not in text[:200]
