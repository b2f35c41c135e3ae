"""Links and logins by paramiko: host keys checked at each hop, every exception made one of ours."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.common import MSG_DISCONNECT, cMSG_GLOBAL_REQUEST
from paramiko.ssh_exception import IncompatiblePeer

from nasexp.connections.hostkeys import HostKey, trusted_keys
from nasexp.connections.refusals import Trouble, check_key, refused_login, unreachable
from nasexp.connections.sockets import dial
from nasexp.errors import ConfigError, ConnectionLost, LoginRefused, NasexpError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nasexp.connections.secret import Secrets
    from nasexp.connections.settings import Login

BANNER_SECONDS, LOGIN_SECONDS, CHANNEL_SECONDS = 15.0, 30.0, 15.0
KEEPALIVE_SECONDS, MOST_UNANSWERED = 5, 3
END_SECONDS = 5.0
WINDOW_BYTES, PACKET_BYTES = 8 << 20, 64 << 10
# A key exchange in the middle of a copy has ended connections with a slow reader; the limit that
# OpenSSH keeps for AES is 64 GiB.
REKEY_BYTES = 32 << 30
REKEY_PACKETS = 1 << 30
FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")


def log_in_over_jumps(name: str, login: Login, secrets: Secrets) -> list[paramiko.Transport]:
    """Dial, over the jumps, and log in at each; return the transports, the host's last."""
    chain: list[paramiko.Transport] = []
    try:
        for hop in (*login.jumps, login):
            with translated(name, hop):
                pulse = _start(name, hop, _link(hop, chain[-1] if chain else None))
                chain.append(pulse.transport)
                _log_in(name, hop, pulse, secrets)
    except BaseException:
        close_all(chain)
        raise
    return chain


def close_all(chain: Sequence[paramiko.Transport]) -> None:
    """Close transports, the last first, and see their threads end."""
    for transport in reversed(chain):
        transport.close()
        transport.join(END_SECONDS)


def read_ssh_config(target: str) -> dict[str, list[str]]:
    """Return what ~/.ssh/config says of a host, in the form of `ssh -G`; no `Include`."""
    path = Path("~/.ssh/config").expanduser()
    if not path.is_file():
        return {}
    try:
        found = paramiko.SSHConfig.from_path(str(path)).lookup(target)
    except paramiko.ConfigParseError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    values: dict[str, Any] = dict(found)
    return {key: item if isinstance(item, list) else [item] for key, item in values.items()}


def fetch_key(name: str, login: Login, kinds: list[str], secrets: Secrets) -> HostKey:
    """Return the host's key of one of these kinds (none: of any), trusted or not.

    Raises:
        ConnectionLost: it cannot be reached, or has no such key.
    """
    before = [replace(hop, jumps=()) for hop in login.jumps]
    chain = (
        log_in_over_jumps(name, replace(before[-1], jumps=tuple(before[:-1])), secrets)
        if before
        else []
    )
    with translated(name, login), contextlib.ExitStack() as stack:
        stack.callback(close_all, chain)
        transport = _transport(_link(login, chain[-1] if chain else None), login)
        stack.callback(transport.close)
        options = transport.get_security_options()
        options.key_types = [
            kind for kind in kinds if kind in options.key_types
        ] or options.key_types
        transport.start_client(timeout=BANNER_SECONDS)
        key = transport.get_remote_server_key()
        return HostKey(key.get_name(), key.asbytes())


@contextlib.contextmanager
def translated(name: str, login: Login) -> Iterator[None]:
    """Turn what paramiko and the system raise while dialling into our errors."""
    try:
        yield
    except NasexpError:
        raise
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise meaning(error, name, login) from error


def meaning(error: Exception, name: str, login: Login) -> ConnectionLost:
    """Return our error for one of paramiko's or the system's."""
    if isinstance(error, paramiko.AuthenticationException):
        return refused_login(name, login, getattr(error, "allowed_types", []))
    if isinstance(error, IncompatiblePeer):
        return ConnectionLost(f"host '{name}' and this machine share no way to talk: {error}")
    kinds = (kind for kind in _TROUBLES if isinstance(error, kind))
    return unreachable(name, login, _TROUBLES[next(kinds)])


# The first that fits: a class stands before those that it derives from.
_TROUBLES: dict[type[Exception], Trouble] = {
    paramiko.ChannelException: Trouble.BEHIND,
    paramiko.SSHException: Trouble.HANGS_UP,
    EOFError: Trouble.HANGS_UP,
    socket.gaierror: Trouble.NAME,
    ConnectionRefusedError: Trouble.REFUSED,
    TimeoutError: Trouble.SILENT,
    ConnectionError: Trouble.HANGS_UP,
    OSError: Trouble.ROUTE,
}


def _link(login: Login, under: paramiko.Transport | None) -> Any:
    """Return what a transport runs over: a channel of the jump before, a program, or a socket."""
    if under is not None:
        return under.open_channel(
            "direct-tcpip", (login.hostname, login.port), ("127.0.0.1", 0), timeout=CHANNEL_SECONDS
        )
    if login.proxy_command:
        command = login.proxy_command.replace("%h", login.hostname).replace("%p", str(login.port))
        return paramiko.ProxyCommand(command.replace("%r", login.user))
    return dial(login.hostname, login.port)


def _transport(link: Any, login: Login) -> paramiko.Transport:
    # What goes wrong is told by our errors; Python would print what nobody handles.
    log = logging.getLogger("paramiko")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    transport = paramiko.Transport(
        link, default_window_size=WINDOW_BYTES, default_max_packet_size=PACKET_BYTES
    )
    transport.banner_timeout = BANNER_SECONDS
    transport.auth_timeout = LOGIN_SECONDS
    transport.channel_timeout = CHANNEL_SECONDS
    transport.packetizer.REKEY_BYTES = REKEY_BYTES
    transport.packetizer.REKEY_PACKETS = REKEY_PACKETS
    options = transport.get_security_options()
    options.ciphers = _first(FAST_CIPHERS, options.ciphers)
    # As ssh does it: ask for a key of a kind that is known here.
    known = [name for entry in trusted_keys(login) for name in _algorithms(entry.key.kind)]
    options.key_types = _first(known, options.key_types)
    return transport


def _start(name: str, login: Login, link: Any) -> Pulse:
    transport, began = _transport(link, login), time.monotonic()
    pulse = Pulse(transport)
    try:
        transport.start_client(timeout=BANNER_SECONDS)
        key = transport.get_remote_server_key()
        check_key(name, login, HostKey(key.get_name(), key.asbytes()))
    except BaseException as error:
        transport.close()
        is_late = time.monotonic() >= began + BANNER_SECONDS - 1
        if is_late and isinstance(error, paramiko.SSHException | EOFError):
            raise unreachable(name, login, Trouble.FROZEN) from error
        raise
    return pulse


class Pulse:
    """Ends a transport whose peer is gone, frozen, or cut off behind a jump that answers still.

    paramiko's own keepalive wants no answer, and TCP hears only of the nearest machine. So a peer
    that is silent is asked for an answer, and given up when it owes too many.
    """

    def __init__(self, transport: paramiko.Transport) -> None:
        self.transport = transport
        self._unanswered = 0
        self._said_goodbye = False
        self._asking = threading.Thread()
        self._read: Callable[[], Any] = transport.packetizer.read_message
        setattr(transport.packetizer, "read_message", self._read_message)  # noqa: B010 - a method
        transport.packetizer.set_keepalive(KEEPALIVE_SECONDS, self._beat)

    def _read_message(self) -> Any:
        kind, message = self._read()
        self._unanswered = 0
        self._said_goodbye |= kind == MSG_DISCONNECT
        return kind, message

    def is_lost(self) -> bool:
        """Whether the link broke; a peer that does not want us any more says so."""
        return not (self.transport.is_active() or self._said_goodbye)

    def _beat(self) -> None:
        """Ask, in the transport's own thread; it ends the transport when this raises."""
        if self._unanswered >= MOST_UNANSWERED:
            raise EOFError
        self._unanswered += 1
        if not self._asking.is_alive():
            # Not here: who sends waits for others who do, and then nobody would count.
            self._asking = threading.Thread(target=self._ask, daemon=True)
            self._asking.start()

    def _ask(self) -> None:
        message = paramiko.Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(b=True)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self.transport._send_user_message(message)  # type: ignore[attr-defined]  # noqa: SLF001 - the public one waits


def _log_in(name: str, login: Login, pulse: Pulse, secrets: Secrets) -> None:
    try:
        _try_methods(name, login, pulse.transport, secrets)
    except (LoginRefused, paramiko.AuthenticationException) as error:
        # paramiko says the same of a link that broke while it waited for the answer.
        if pulse.is_lost():
            raise EOFError from error
        raise


def _try_methods(name: str, login: Login, transport: paramiko.Transport, secrets: Secrets) -> None:
    methods = _methods(transport, login)
    if not methods:
        return  # let in without a question
    if "publickey" in methods:
        for key in _keys(login, secrets):
            if _takes(lambda key=key: transport.auth_publickey(login.user, key)):  # type: ignore[misc]
                return
    if {"password", "keyboard-interactive"} & set(methods):
        password = secrets.password(str(login))
        if password and _takes(lambda: transport.auth_password(login.user, password)):
            return
        if password:
            secrets.forget()
            raise LoginRefused(f"host '{name}' does not take that password of {login}")
    raise refused_login(name, login, methods)


def _methods(transport: paramiko.Transport, login: Login) -> list[str]:
    try:
        transport.auth_none(login.user)
    except paramiko.BadAuthenticationType as error:
        return list(error.allowed_types)
    return []


def _takes(attempt: Callable[[], list[str]]) -> bool:
    try:
        return not attempt()
    except paramiko.AuthenticationException:
        return False


def _keys(login: Login, secrets: Secrets) -> Iterator[paramiko.PKey]:
    """Yield the agent's keys and those of the files; a passphrase is asked for last of all."""
    locked = []
    if not login.identities_only:
        with contextlib.suppress(paramiko.SSHException):
            yield from paramiko.Agent().get_keys()
    for path in login.identities:
        with contextlib.suppress(OSError, ValueError, paramiko.SSHException):
            try:
                yield paramiko.PKey.from_path(path)
            except (paramiko.PasswordRequiredException, TypeError):
                locked.append(path)
    for path in locked:
        passphrase = secrets.passphrase(path)
        if passphrase:
            try:
                yield paramiko.PKey.from_path(path, passphrase.encode())  # type: ignore[arg-type] # it wants bytes
            except (ValueError, paramiko.SSHException) as error:
                secrets.forget()
                raise LoginRefused(f"that is not the passphrase of {path}") from error


def _algorithms(kind: str) -> tuple[str, ...]:
    return ("rsa-sha2-512", "rsa-sha2-256", kind) if kind == "ssh-rsa" else (kind,)


def _first(wanted: Any, offered: Any) -> list[str]:
    front = [name for name in dict.fromkeys(wanted) if name in offered]
    return [*front, *(name for name in offered if name not in front)]
