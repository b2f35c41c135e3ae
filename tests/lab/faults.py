"""Every fault that can befall a lab's host, as a method."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from nasexp.testing import MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

NETLAB = Path(__file__).with_name("netlab.sh")
COMMAND_SECONDS = 60.0
LACKS = 77
USER, UID = "lab", 20001


class Faults:
    """The part of `Lab` that breaks things, and mends them."""

    _folder: Path
    _environment: Mapping[str, str]

    def root(self, host: str) -> Path:
        """Return the path, from outside, of a running host's root folder."""
        return Path(f"/proc/{self.pid(host)}/root")

    def pid(self, host: str) -> int:
        """Return the pid of a running host's first process, as this machine counts."""
        if not self.is_up(host):
            raise RuntimeError(f"host {host} is down")
        return int((self._folder / host / "pid").read_text().split()[0])

    # --- the net ---

    def cut(self, host: str) -> None:
        """Pull the cable at the host's own card."""
        self._netlab("cut", host)

    def heal(self, host: str) -> None:
        """Plug the cable in again."""
        self._netlab("heal", host)

    def hole(self, host: str) -> None:
        """Let all packets from and to the host vanish; nobody is told."""
        self._netlab("hole", host)

    def unhole(self, host: str) -> None:
        """Let its packets through again."""
        self._netlab("unhole", host)

    def part(self, *hosts: str) -> None:
        """Let these hosts see only the others, not one another."""
        self._netlab("part", *hosts)

    def unpart(self, *hosts: str) -> None:
        """Let them see one another again."""
        self._netlab("unpart", *hosts)

    def reset(self, host: str) -> None:
        """Let the host answer every TCP packet with a reset."""
        self._netlab("reset", host)

    def unreset(self, host: str) -> None:
        """Let TCP work again."""
        self._netlab("unreset", host)

    def drop_connections(self, host: str) -> None:
        """Reset the TCP connections that the host has now."""
        self._netlab("drop", host)

    def loss(self, host: str, percent: int) -> None:
        """Lose so many of a hundred packets, each way."""
        self._netlab("loss", host, str(percent))

    def rate(self, host: str, rate: str) -> None:
        """Limit the host's line, such as `1mbit`; `0` for no limit."""
        self._netlab("rate", host, rate)

    def delay(self, host: str, *words: str) -> None:
        """Delay packets to the host by netem's words, such as `80ms 20ms`; `0` for none."""
        self._netlab("delay", host, *words)

    def wan(self, rtt_ms: float, mbit: float, one: str = "nas", other: str = "gpu") -> str:
        """Make a second line of this round trip and rate; return the name of `other` on it."""
        self._netlab("wan", one, other, str(rtt_ms / 2), str(mbit))
        return f"{other}-wan"

    def unwan(self) -> None:
        """Take the second line away."""
        self._netlab("unwan")

    # --- power ---

    def poweroff(self, host: str) -> None:
        """End everything on the host at once, without a word to its peers."""
        self._netlab("poweroff", host)

    def poweron(self, host: str, uptime_seconds: int = 1) -> None:
        """Start the host; its clock of uptime begins here."""
        self._netlab("boot", host, str(uptime_seconds))

    def reboot(self, host: str, uptime_seconds: int = 1) -> None:
        """Power the host off and on."""
        self._netlab("reboot", host, str(uptime_seconds))

    def powercut(self, host: str) -> None:
        """Power a host with a disk off, and lose what it had not yet synced."""
        self._netlab("powercut", host)

    def is_up(self, host: str) -> bool:
        """Return whether the host runs."""
        try:
            pid, start = (self._folder / host / "pid").read_text().split()
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            return False
        return state != "Z" and fields[18] == start

    def obey(self, host: str) -> None:
        """Let the stand-ins for `shutdown now` and `poweroff` really power the host off."""
        (self.root(host) / "run/lab/obeys").touch()

    def freeze(self, host: str) -> None:
        """Stop every process of the host; its TCP goes on to answer."""
        self._netlab("freeze", host)

    def thaw(self, host: str) -> None:
        """Let them go on."""
        self._netlab("thaw", host)

    # --- the SSH server and the account ---

    def kill_sessions(self, host: str) -> None:
        """Kill the processes of the SSH server that serve a client each."""
        self._netlab("sessions", host)

    def configure_sshd(self, host: str, *lines: str) -> None:
        """Put sshd_config lines in force, before all others; none: as at first."""
        self._netlab("sshd", host, *lines)

    def rekey(self, host: str) -> None:
        """Give the SSH server another host key, as a wrong host would have."""
        self._netlab("rekey", host)

    def trust(self) -> None:
        """Let all hosts know the host keys as they are now."""
        self._netlab("trust")

    def login_shell(self, host: str, name: str) -> None:
        """Choose the login shell of user `lab`: `dash`, `fish`, …; `busybox` for busybox's sh."""
        path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
        if path is None:
            raise MissingError(f"{name} is missing")
        self._netlab("shell", host, "/etc/lab/ash" if name == "busybox" else path)

    def password(self, host: str, password: str) -> None:
        """Give user `lab` a password and let it log in by that."""
        self._netlab("sh", host, "chpasswd", told=f"{USER}:{password}\n")
        self.configure_sshd(host, "PasswordAuthentication yes")

    def sudo(self, host: str, rule: str | None) -> None:
        """Let user `lab` do as root what a rule says, such as `NOPASSWD: /sbin/shutdown`."""
        if shutil.which("sudo") is None:
            raise MissingError("sudo is missing")
        path = self.root(host) / "etc/sudoers.d/lab"
        path.unlink(missing_ok=True)
        if rule is not None:
            path.write_text(f"{USER} ALL=(root) {rule}\n")
            path.chmod(0o440)

    def hide(self, host: str, *programs: str) -> None:
        """Take programs away from the host: `rsync`, `python3`, `tar`, …"""
        self._netlab("hide", host, *programs)

    def unhide(self, host: str, *programs: str) -> None:
        """Put them back."""
        self._netlab("unhide", host, *programs)

    def _netlab(self, *words: str, told: str = "") -> str:
        done = subprocess.run(
            ["bash", str(NETLAB), *words],
            env=self._environment,
            input=told,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            fail(done.returncode, done.stderr)
        return done.stdout


def fail(code: int, told: str) -> None:
    """Raise what an exit code of netlab.sh means."""
    last = (told.strip().splitlines() or [f"exit code {code}"])[-1].removeprefix("netlab: ")
    if code == LACKS:
        raise MissingError(last)
    raise RuntimeError(f"the lab failed: {told.strip() or last}")
