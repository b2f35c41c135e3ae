"""A lab of hosts on one machine: netlab.sh, for Python.

with Lab(folder, "nas", "gpu") as lab:
    lab.cut("gpu")
    assert lab.run("nas", ["ssh", "gpu", "true"]).returncode == 255

A lab takes about a third of a second to start, so each test can have its own. It ends with this
process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from faults import COMMAND_SECONDS, NETLAB, UID, USER, Faults, fail

from nasexp.testing.processes import children_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a stand-in for `shutdown`, `systemctl`, … was asked: when, by whom, in which words."""

    time: float
    user: str
    words: tuple[str, ...]


class HostProcess(subprocess.Popen[Any]):
    """A command on a host. A signal sent to it reaches the command, and so does `kill()`."""

    def send_signal(self, sig: int) -> None:
        """Send a signal to the command, not to the `nsenter` that waits for it.

        That one ends as the command does. It must not end first: then the machine's first
        process would inherit the dead command, and some never bury what they inherit.
        """
        inside = children_of(self.pid) if self.poll() is None else []
        for pid in inside:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
        if not inside:
            super().send_signal(sig)

    def wake(self) -> None:
        """Let the `nsenter` go on, which stops itself when the command is stopped."""
        if self.poll() is None:
            super().send_signal(signal.SIGCONT)


class Lab(Faults):
    """A few hosts on a switch of their own, each with an SSH server that lets user `lab` in.

    The first host holds the key that opens all of them. A host's name is also its address, and
    `NAME-v6` its address over IPv6 alone.

    Args:
        folder: where its files are kept; made when missing, removed by `close()`.
        hosts: names.
        disk_mb: hosts whose home folder is a small ext4 file system, and its size.
        disk_options: how those are mounted, such as `noauto_da_alloc`.

    Raises:
        MissingError: this machine cannot have a lab.
    """

    def __init__(
        self,
        folder: Path,
        *hosts: str,
        disk_mb: Mapping[str, int] | None = None,
        disk_options: str = "",
    ) -> None:
        self.hosts = hosts or ("nas", "gpu")
        self._folder = folder
        self._started: list[HostProcess] = []
        self._environment = os.environ | {
            "NETLAB": str(folder),
            "DISKS": " ".join(f"{host}={size}" for host, size in (disk_mb or {}).items()),
            "DISK_OPTIONS": disk_options,
            "KEEP": ":".join(str(path) for path in kept_folders()),
        }
        folder.mkdir(parents=True, exist_ok=True)
        self._process = self._start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "errors").open("wb") as errors:
            return subprocess.Popen(
                ["bash", str(NETLAB), "up", *self.hosts],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        """Wait for the lab's word, or for its end."""
        assert self._process.stdout is not None
        if self._process.stdout.read(6) != b"ready\n":
            code = self._process.wait(COMMAND_SECONDS)
            fail(code, (self._folder / "errors").read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all hosts, and what was started on them, and remove the folder."""
        if self._process.poll() is None:
            # The one that is waited for ends after the lab's first process, and that after all
            # others; itself it would not wait for them if it was killed.
            pid = self._folder / "pid"
            first = int(pid.read_text()) if pid.exists() else self._process.pid
            os.kill(first, signal.SIGKILL)
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        for process in self._started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                close_quietly(pipe)
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- commands on a host ---

    def run(
        self,
        host: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = COMMAND_SECONDS,
        user: str = USER,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host and return how it ended and what it printed.

        It starts in the user's home, with the repository and this Python in view. After
        `timeout` seconds it is killed.
        """
        process = self.start(
            host,
            argv,
            env=env,
            user=user,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        with process:
            try:
                told = process.communicate(input, timeout=timeout)
            except BaseException:
                process.kill()
                raise
        self._started.remove(process)
        return subprocess.CompletedProcess(process.args, process.returncode, *told)

    def start(
        self,
        host: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        user: str = USER,
        **options: Any,
    ) -> HostProcess:
        """Start a command on a host; `options` are those of `Popen`."""
        options = {"stdin": subprocess.DEVNULL} | options
        process = HostProcess(self._words(host, argv, env, user), **options)
        self._started.append(process)
        return process

    def thaw(self, host: str) -> None:
        """Let the processes of a frozen host go on."""
        super().thaw(host)
        for process in self._started:
            process.wake()

    def nasexp(self, host: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run this repository's `nasexp WORDS` on a host; `options` are those of `run`."""
        return self.run(host, [sys.executable, "-m", "nasexp", *words], **options)

    def ssh(
        self, host: str, program: str, *options: str, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Log in from the first host to `host` with plain `ssh` and run a program text there."""
        words = ["ssh", *options, "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", host, program]
        return self.run(self.hosts[0], words, **more)

    def _words(
        self, host: str, argv: Sequence[str | Path], env: Mapping[str, str] | None, user: str
    ) -> list[str]:
        words = ["nsenter", "-t", str(self.pid(host)), "-a"]
        home = "/root"
        if user == USER:
            home = f"/home/{USER}"
            words += ["-S", str(UID), "-G", str(UID)]
        variables = {
            "HOME": home,
            "LANG": "C.UTF-8",
            "LOGNAME": user,
            "PATH": "/usr/local/bin:/usr/bin:/bin" + (":/usr/sbin:/sbin" if user == "root" else ""),
            "USER": user,
        } | dict(env or {})
        words += [f"--wdns={home}", "env", "-i"]
        return [*words, *(f"{name}={value}" for name, value in variables.items()), *map(str, argv)]

    # --- what a host is and has ---

    def address(self, host: str) -> str:
        """Return a host's IPv4 address."""
        return self._netlab("ip", host).strip()

    def files(self) -> Path:
        """Return the lab's own folder, which no host sees."""
        return self._folder

    def home(self, host: str) -> Path:
        """Return the path, from outside, of the home folder of user `lab`."""
        if (self._folder / host / "disk").exists():
            return self.root(host) / "home" / USER
        return self._folder / host / "home"

    def write(self, host: str, files: Mapping[str, str | bytes], mode: int = 0o644) -> None:
        """Write files into the home of user `lab`, by their path below it, as its own."""
        home = self.home(host)
        for name, content in files.items():
            path = home / name
            for folder in reversed(path.relative_to(home).parents):
                if not (home / folder).exists():
                    (home / folder).mkdir()
                    os.chown(home / folder, UID, UID)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            path.chmod(mode)
            os.chown(path, UID, UID)

    def log(self, host: str) -> str:
        """Return what a host's SSH server said."""
        return (self._folder / host / "console").read_text(errors="replace")

    def host_key_line(self, host: str) -> str:
        """Return the known_hosts line of a host's key as it is now, for its name alone."""
        kind, key = (self._folder / host / "hostkey.pub").read_text().split()[:2]
        return f"{host} {kind} {key}"

    def asked(self, host: str) -> list[Asked]:
        """Return what a host's stand-ins were asked, in order: `shutdown`, `systemctl`, …"""
        lines = (self._folder / host / "asked").read_text().splitlines()
        fields = [line.split("\t") for line in lines]
        return [Asked(float(time), user, tuple(words)) for time, user, *words in fields]


def kept_folders() -> list[Path]:
    """Return the folders that a host must see even where its root hides them."""
    prefixes = {Path(sys.prefix), Path(sys.base_prefix)}
    hidden = [folder for folder in prefixes if not folder.is_relative_to("/usr")]
    return [REPOSITORY, *(folder for folder in hidden if not folder.is_relative_to(REPOSITORY))]


def close_quietly(pipe: IO[Any] | None) -> None:
    """Close a pipe whose reader may be gone."""
    if pipe is not None:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
