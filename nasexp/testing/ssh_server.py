"""A real OpenSSH server on loopback for tests and benchmarks: own keys, own home, own port.

with Sshd(folder) as sshd:
    subprocess.run(sshd.ssh_command("echo hi"), check=True)

It serves the account that runs it, by key alone. Commands start in the account's home folder, as
sshd decides, but `$HOME` is an empty folder of the server's own: the account's start-up files
play no part, and what a test leaves in `$HOME` goes with the folder.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nasexp.testing.processes import (
    MissingError,
    children_of,
    die_with_parent,
    find_program,
    kill_marked,
)

if TYPE_CHECKING:
    from types import TracebackType

READY_SECONDS = 20.0
_MARK = "SSHD_UNDER_TEST"
_OPTIONS = """\
Port {port}
ListenAddress {host}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
SetEnv HOME={folder}/home {mark}={token}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PermitUserRC no
PrintMotd no
PrintLastLog no
LogLevel VERBOSE
MaxStartups 100:30:200
MaxSessions 100
Subsystem sftp internal-sftp
"""
# From version 9.8 on, sshd shuts out for a while who failed to log in, which tests do on purpose.
_NEW_OPTIONS = "PerSourcePenalties no\n"


class Sshd:
    """An SSH server that is started at once and ended by `close()`.

    Args:
        folder: where its files are kept; made when missing.
        host: the loopback address that it listens on, `127.0.0.1` or `::1`.

    Attributes:
        host: that address.
        port: its port; it stays the same over restarts.
        user: the account that one logs in to.
        home: what `$HOME` is after a login; empty at first.
        identity: the private key that opens it.
        authorized_keys: the file of the keys that it lets in; read at each login.
        known_hosts: a file that trusts the host key as it was at the start.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self._program = find_program("sshd")
        self._keygen = find_program("ssh-keygen")
        self._folder = folder.resolve()
        self._token = secrets.token_hex(8)
        self._extra: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self.host = host
        self.port = free_port(host)
        self.user = getpass.getuser()
        self.home = self._folder / "home"
        self.home.mkdir(parents=True)
        self.authorized_keys = self._folder / "authorized_keys"
        self.known_hosts = self._folder / "known_hosts"
        self._options_file = self._folder / "sshd_config"
        self._make_key("host_key", "")
        self.identity = self.add_key("identity")
        self.known_hosts.write_text(self.host_key_line + "\n")
        self.start()

    @property
    def address(self) -> str:
        """`USER@HOST`, as `ssh` takes it."""
        return f"{self.user}@{self.host}"

    @property
    def host_key_line(self) -> str:
        """The line of a known_hosts file that trusts the server as it is now."""
        kind, key = (self._folder / "host_key.pub").read_text().split()[:2]
        return f"[{self.host}]:{self.port} {kind} {key}"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the host key as it is now, `SHA256:…`."""
        public = self._folder / "host_key.pub"
        asked = [self._keygen, "-l", "-E", "sha256", "-f", str(public)]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()[1]

    def ssh_command(self, *words: str) -> list[str]:
        """Return the command that logs in with the system's `ssh` and runs `words`.

        It reads nobody's configuration and asks nothing.
        """
        options = {
            "BatchMode": "yes",
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
        }
        command = ["ssh", "-F", "none", "-p", str(self.port), "-i", str(self.identity)]
        for name, value in options.items():
            command += ["-o", f"{name}={value}"]
        return [*command, self.address, *words]

    def add_key(self, name: str, passphrase: str = "", *, authorized: bool = True) -> Path:
        """Make a further key pair and return the private key's path.

        Args:
            name: the file's name, in the server's folder.
            passphrase: what locks it; empty for none.
            authorized: whether the server lets it in.
        """
        path = self._make_key(name, passphrase)
        if authorized:
            with self.authorized_keys.open("a") as file:
                file.write(path.with_name(f"{name}.pub").read_text())
        return path

    def log(self) -> str:
        """Return all that the server said since it was made."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logins(self) -> int:
        """Return how many logins were accepted so far."""
        return len(re.findall(r"^Accepted \S+ for ", self.log(), re.MULTILINE))

    def sessions(self) -> list[int]:
        """Return the pids of the server's processes that serve one client each."""
        return children_of(self._process.pid) if self._process else []

    def kill_sessions(self) -> None:
        """Cut every client off, as a crash of its server process would."""
        for pid in self.sessions():
            # After the login of a plain user a second process serves it, below the first.
            for each in (pid, *children_of(pid, name="sshd")):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)

    def configure(self, *lines: str) -> None:
        """Restart with these lines in force; none: as at first. Open sessions go on.

        Args:
            lines: as in sshd_config; they win over the server's own.

        Raises:
            ValueError: sshd refuses them; the server goes on as it was.
        """
        before, self._extra = self._extra, lines
        try:
            self._write_configuration()
        except ValueError:
            self._extra = before
            self._write_configuration()
            raise
        self._reload()

    def rekey(self) -> None:
        """Restart with another host key, as a wrong host would have. Open sessions go on."""
        for name in ("host_key", "host_key.pub"):
            (self._folder / name).unlink()
        self._make_key("host_key", "")
        self._reload()

    def start(self) -> None:
        """Start the server; returns when it accepts connections."""
        if self._process is not None:
            raise RuntimeError("the server runs already")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it
        self._write_configuration()
        started = self._count_starts()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*die_with_parent(), self._program, "-D", "-e", "-f", str(self._options_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_for_start(started)

    def stop(self) -> None:
        """Stop the server and cut its clients off; nothing happens if it does not run."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGSTOP)  # so that no new client gets in
        self.kill_sessions()
        self._process.kill()
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """Stop the server and kill what is left of all that was started over it."""
        self.stop()
        kill_marked(f"{_MARK}={self._token}".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write_configuration(self) -> None:
        own = _OPTIONS.format(
            port=self.port, host=self.host, folder=self._folder, mark=_MARK, token=self._token
        )
        extra = "".join(f"{line}\n" for line in self._extra)
        # Of two lines for one option the first counts.
        self._options_file.write_text(extra + _NEW_OPTIONS + own)
        if not self._refusal():
            return
        self._options_file.write_text(extra + own)
        if refusal := self._refusal():
            raise ValueError(refusal)

    def _refusal(self) -> str:
        """Return what sshd has against its configuration; empty if nothing."""
        asked = [self._program, "-t", "-f", str(self._options_file)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        return done.stderr.strip() if done.returncode else ""

    def _make_key(self, name: str, passphrase: str) -> Path:
        path = self._folder / name
        # One round is enough for a passphrase that guards nothing.
        made = [self._keygen, "-q", "-t", "ed25519", "-a", "1", "-N", passphrase, "-C", name]
        subprocess.run([*made, "-f", str(path)], check=True, stdin=subprocess.DEVNULL)
        return path

    def _count_starts(self) -> int:
        return self.log().count("Server listening on")

    def _reload(self) -> None:
        if self._process is None:
            return
        started = self._count_starts()
        self._process.send_signal(signal.SIGHUP)
        self._wait_for_start(started)

    def _wait_for_start(self, before: int) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while self._count_starts() == before:
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"sshd does not start: {self.log()[-2000:]}")
            time.sleep(0.005)


def free_port(host: str) -> int:
    """Return a port of a loopback address that nobody listens on.

    Raises:
        MissingError: this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as listener:
            listener.bind((host, 0))
            port: int = listener.getsockname()[1]
    except OSError as error:
        raise MissingError(f"the address {host} is missing") from error
    return port
