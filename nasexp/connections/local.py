"""The machine that nasexp runs on, as a host: the carrier is a child process."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from nasexp.connections.process import ProcessStream
from nasexp.connections.shell import ShellConnection
from nasexp.errors import ConnectionLost

_OURS = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__", "PYTHONSAFEPATH")


def connect_local(name: str) -> ShellConnection:
    """Return a connection to this machine."""
    return ShellConnection(name, LocalCarrier())


def job_environment() -> dict[str, str]:
    """Return this process's environment as a job may see it.

    nasexp's own virtual environment and variables are left out: `python` in a job is the
    machine's, as it would be after a login.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _OURS and not name.startswith("NASEXP_")
    }
    if not os.path.isabs(kept.get("HOME", "")):  # noqa: PTH117 - as some task schedulers do it
        kept["HOME"] = pwd.getpwuid(os.getuid()).pw_dir
    own = str(Path(os.environ.get("VIRTUAL_ENV") or os.devnull) / "bin")
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    kept["PATH"] = os.pathsep.join(folder for folder in folders if folder != own)
    return kept


class LocalCarrier:
    """Starts `/bin/sh -s` as a child, in the user's home as sshd would."""

    via = "local"

    def open(self) -> ProcessStream:
        """Start a shell. Raises ConnectionLost when the machine cannot start one."""
        home = Path.home()
        folder = home if home.is_dir() else "/"
        try:
            return ProcessStream(["/bin/sh", "-s"], job_environment(), folder, "this machine")
        except OSError as error:
            raise ConnectionLost(f"this machine cannot start /bin/sh: {error.strerror}") from error

    def explain(self, stream: object, said: bytes) -> ConnectionLost:  # noqa: ARG002 - see Carrier
        """See `Carrier.explain`."""
        return ConnectionLost("the shell on this machine ended at once")

    def close(self) -> None:
        """Nothing is shared by the streams."""
