"""The carrier that is the system's `ssh` program: the user's own configuration, agent and keys.

The first stream is also the control master of the others (one login for all), where the file
system allows its socket; elsewhere, and where the host allows one session only, each stream logs
in for itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nasexp.connections.hostkeys import read_known_hosts
from nasexp.connections.process import ProcessStream
from nasexp.connections.refusals import (
    Trouble,
    changed_key,
    no_shell,
    refused_login,
    unknown_key,
    unreachable,
)
from nasexp.errors import ConnectionLost, NasexpError

if TYPE_CHECKING:
    from nasexp.connections.hostkeys import Entry
    from nasexp.connections.settings import Login

LOGIN_SHELL_READS = "exec /bin/sh -s"
LINK_FAILED = 255
CONNECT_SECONDS = 10
FAST_CIPHER = "aes128-gcm@openssh.com"
END_SECONDS = 2.0

# First word wins in ssh's configuration, so nothing behind these lines can weaken them. A jump's
# own ssh is started with this file too, and with nothing else of ours.
_CONFIG = """\
Host *
  BatchMode yes
  StrictHostKeyChecking yes
  UserKnownHostsFile {known_hosts}
  UpdateHostKeys no
  ConnectTimeout {connect_seconds}
  TCPKeepAlive yes
  ServerAliveInterval 5
  ServerAliveCountMax 3
  ForwardAgent no
  ForwardX11 no
  ClearAllForwardings yes
  PermitLocalCommand no
  RemoteCommand none
  RequestTTY no
  LogLevel INFO
Include ~/.ssh/config
Include /etc/ssh/ssh_config
"""


class OpensshCarrier:
    """Starts `ssh` for each stream, all over one link where that can be.

    Args:
        name: the host's name in the configuration.
        login: where it is.
    """

    via = "openssh"

    def __init__(self, name: str, login: Login) -> None:
        self._name = name
        self._login = login
        self._folder: Path | None = None
        self._master: ProcessStream | None = None

    def open(self) -> ProcessStream:
        """See `Carrier.open`."""
        folder = self._folder or self._make_folder()
        alone = self._master is None or self._master.process.poll() is not None
        sharing = _sharing(folder, "yes" if alone else "no")
        command = ["ssh", "-F", str(folder / "config"), *sharing, *self._options()]
        command += ["--", self._login.target, LOGIN_SHELL_READS]
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            stream = ProcessStream(command, environment, "/", self._name)
        except OSError as error:
            raise ConnectionLost(f"`ssh` cannot be started: {error.strerror}") from error
        if alone:
            self._master = stream
        return stream

    def explain(self, stream: ProcessStream, said: bytes) -> NasexpError:
        """See `Carrier.explain`."""
        try:
            linked = stream.wait(time.monotonic() + END_SECONDS) != LINK_FAILED
        except ConnectionLost:
            linked = True
        if linked:
            return no_shell(self._name, said + stream.complaints().encode())
        return diagnose(self._name, self._login, stream.complaints())

    def close(self) -> None:
        """See `Carrier.close`."""
        self._master = None
        folder, self._folder = self._folder, None
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    def _make_folder(self) -> Path:
        self._folder = folder = private_folder()
        write_config(folder, self._login)
        return folder

    def _options(self) -> list[str]:
        login = self._login
        options = ["-T", "-p", str(login.port), "-l", login.user]
        if login.jumps:
            # It waits for the jump as well, which must be the first to say what is wrong.
            options += ["-o", f"ConnectTimeout={CONNECT_SECONDS * (1 + len(login.jumps))}"]
        if login.identities_only:
            options += ["-o", "IdentitiesOnly=yes"]
            options += [word for key in login.identities for word in ("-i", key.replace("%", "%%"))]
        if FAST_CIPHER in login.ciphers and has_aes_instructions():
            rest = [cipher for cipher in login.ciphers if cipher != FAST_CIPHER]
            options += ["-o", f"Ciphers={','.join([FAST_CIPHER, *rest])}"]
        return options


def private_folder() -> Path:
    """Make a folder that is nobody else's, with a path short enough for a socket."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    parent = runtime if runtime and os.access(runtime, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="nasexp-", dir=parent))


def write_config(folder: Path, login: Login, known_hosts: str = "") -> None:
    """Write `folder/config`, which no setting of the user can weaken.

    Args:
        folder: a private one.
        login: whose known_hosts files are used.
        known_hosts: the one file that is used instead.
    """
    names = []
    for number, file in enumerate([known_hosts] if known_hosts else login.known_hosts):
        # By links of our own: no name of a user needs quoting in ssh's grammar.
        link = folder / f"known_hosts_{number}"
        link.unlink(missing_ok=True)
        link.symlink_to(file)
        names.append(str(link))
    text = _CONFIG.format(known_hosts=" ".join(names) or "none", connect_seconds=CONNECT_SECONDS)
    (folder / "config").write_text(text)


def has_aes_instructions() -> bool:
    """Whether this machine's CPU has them: with them AES is the fastest cipher by far."""
    with contextlib.suppress(OSError):
        return re.search(r"^(?:flags|Features)\s*:.*\baes\b", _cpu_info(), re.MULTILINE) is not None
    return False


def _cpu_info() -> str:
    with Path("/proc/cpuinfo").open() as file:
        return file.read(16 << 10)


def _sharing(folder: Path, master: str) -> list[str]:
    path = str(folder / "s")
    if master == "yes" and not _can_hold_socket(folder):
        return ["-S", "none"]
    return ["-o", f"ControlMaster={master}", "-o", "ControlPersist=no", "-S", path]


def _can_hold_socket(folder: Path) -> bool:
    probe = folder / "p.0123456789abcdef"  # ssh binds a longer name first, as this one is
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(probe))
    except OSError:
        return False
    probe.unlink()
    return True


_SIGNS = (
    ("open failed: connect failed", Trouble.BEHIND),
    ("Could not resolve hostname", Trouble.NAME),
    ("Connection refused", Trouble.REFUSED),
    ("No route to host", Trouble.ROUTE),
    ("Network is unreachable", Trouble.ROUTE),
    ("timed out during banner exchange", Trouble.FROZEN),
    ("timed out", Trouble.SILENT),
    ("not responding", Trouble.SILENT),
    ("kex_exchange_identification", Trouble.HANGS_UP),
    ("Connection closed", Trouble.HANGS_UP),
    ("Connection reset", Trouble.HANGS_UP),
)


def diagnose(name: str, login: Login, said: str) -> ConnectionLost:
    """Turn what `ssh` complained of into an error that says what to do."""
    login = _complained_of(login, said)
    if "IDENTIFICATION HAS CHANGED" in said or "REVOKED HOST KEY" in said:
        return changed_key(name, login, _sent_key(said), _trusted_entry(said))
    if "Host key verification failed" in said or "host key is known for" in said:
        return unknown_key(name, login)
    if "Permission denied" in said or "Too many authentication failures" in said:
        methods = re.search(r"Permission denied \(([^)]*)\)", said)
        return refused_login(name, login, methods[1].split(",") if methods else [])
    for text, trouble in _SIGNS:
        if text in said:
            return unreachable(name, login, trouble)
    lines = [line for line in said.splitlines() if line.strip()]
    return ConnectionLost(f"host '{name}': {lines[-1] if lines else 'ssh ended without a word'}")


_NAMES_A_MACHINE = re.compile(
    r"host key is known for (\S+) and|Host key for (\S+) has changed|@(\S+): Permission denied"
    r"|connect to host (\S+) port|Could not resolve hostname (\S+?):"
)


def _complained_of(login: Login, said: str) -> Login:
    """Return the machine that the complaint is about: a jump on the way, or the host itself."""
    match = _NAMES_A_MACHINE.search(said)
    told = next(filter(None, match.groups()), "") if match else ""
    for hop in login.jumps:
        if told in (hop.name_in_known_hosts, hop.hostname, hop.target):
            return hop
    return login


def _sent_key(said: str) -> str:
    match = re.search(
        r"fingerprint for the (\S+) key sent by the remote host is\s+(\S+?)\.?\s", said
    )
    kinds = {"ED25519": "ssh-ed25519", "RSA": "ssh-rsa", "ECDSA": "ecdsa-sha2-nistp256"}
    return f"{kinds.get(match[1], match[1])} {match[2]}" if match else "another"


def _trusted_entry(said: str) -> Entry | None:
    match = re.search(r"Offending .*key in (.+):([0-9]+)", said)
    if not match:
        return None
    file = os.path.realpath(match[1])
    place = f"{file}:{match[2]}"
    return next((entry for entry in read_known_hosts([file]) if entry.place == place), None)
