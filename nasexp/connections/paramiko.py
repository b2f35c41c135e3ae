"""The carrier that is the library paramiko: where there is no `ssh` program, or a secret is needed.

With `paramiko_login` the only module that knows it.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, cast

import paramiko

from nasexp.connections.paramiko_login import (
    CHANNEL_SECONDS,
    close_all,
    log_in_over_jumps,
    translated,
)
from nasexp.connections.refusals import Trouble, no_shell, unreachable
from nasexp.errors import ConnectionLost, NasexpError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nasexp.connections.secret import Secrets
    from nasexp.connections.settings import Login

LOGIN_SHELL_READS = "exec /bin/sh -s"
SESSION_REFUSED = 2
COMPLAINT_BYTES = 4096


class ParamikoCarrier:
    """Opens a channel for each stream, all over one transport where the host allows that.

    Args:
        name: the host's name in the configuration.
        login: where it is.
        secrets: passwords and passphrases.
    """

    via = "paramiko"

    def __init__(self, name: str, login: Login, secrets: Secrets) -> None:
        self._name = name
        self._login = login
        self._secrets = secrets
        self._chain: list[paramiko.Transport] = []

    def open(self) -> ParamikoStream:
        """See `Carrier.open`."""
        with translated(self._name, self._login):
            if not all(transport.is_active() for transport in self._chain):
                self.close()
            if not self._chain:
                self._chain = log_in_over_jumps(self._name, self._login, self._secrets)
            try:
                return ParamikoStream(_open_channel(self._chain[-1]), self._name)
            except paramiko.ChannelException as error:
                if error.code != SESSION_REFUSED:
                    raise
            return self._open_alone()

    def explain(self, stream: ParamikoStream, said: bytes) -> NasexpError:
        """See `Carrier.explain`."""
        transport = stream.channel.get_transport()
        if stream.channel.exit_status_ready() or transport.is_active():
            return no_shell(self._name, said + stream.complaints())
        return unreachable(self._name, self._login, Trouble.HANGS_UP)

    def close(self) -> None:
        """See `Carrier.close`."""
        chain, self._chain = self._chain, []
        close_all(chain)

    def _open_alone(self) -> ParamikoStream:
        """Log in once more for one stream: `MaxSessions` of the host allows no second one here."""
        chain = log_in_over_jumps(self._name, self._login, self._secrets)
        try:
            return ParamikoStream(_open_channel(chain[-1]), self._name, chain)
        except BaseException:
            close_all(chain)
            raise


class ParamikoStream:
    """A channel that runs a shell.

    Args:
        channel: open, its shell started.
        peer: the host's name, for messages.
        own: transports that serve this stream alone, and end with it.
    """

    def __init__(
        self, channel: paramiko.Channel, peer: str, own: Sequence[paramiko.Transport] = ()
    ) -> None:
        self.channel = channel
        self._peer = peer
        self._own = own

    def write(self, data: bytes, deadline: float) -> None:
        """See `Stream.write`."""
        view = memoryview(data)
        while view:
            self.channel.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                view = view[self.channel.send(cast("bytes", view)) :]
            except TimeoutError as error:
                raise ConnectionLost(f"host '{self._peer}' does not answer in time") from error
            except (OSError, EOFError, paramiko.SSHException) as error:
                is_there = self.channel.get_transport().is_active()
                what = f"the program on {self._peer} stopped reading"
                lost = f"the link to host '{self._peer}' was lost"
                raise ConnectionLost(what if is_there else lost) from error

    def read(self, limit_bytes: int, deadline: float) -> bytes:
        """See `Stream.read`."""
        self.channel.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            return bytes(self.channel.recv(limit_bytes))
        except TimeoutError as error:
            raise ConnectionLost(f"host '{self._peer}' does not answer in time") from error
        except (OSError, EOFError, paramiko.SSHException):
            return b""

    def complaints(self) -> bytes:
        """Return what came on stderr so far, a little of it."""
        ready = self.channel.recv_stderr_ready()
        return bytes(self.channel.recv_stderr(COMPLAINT_BYTES)) if ready else b""

    def close_input(self) -> None:
        """See `Stream.close_input`."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self.channel.shutdown_write()

    def wait(self, deadline: float) -> int:
        """See `Stream.wait`."""
        if not self.channel.status_event.wait(max(0.0, deadline - time.monotonic())):
            raise ConnectionLost(f"the program on {self._peer} does not end")
        status = int(self.channel.exit_status)
        if status < 0:  # paramiko's word for "nobody told me"
            raise ConnectionLost(f"the link to {self._peer} was lost")
        return status

    def close(self) -> None:
        """See `Stream.close`."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self.channel.close()
        close_all(self._own)


def _open_channel(transport: paramiko.Transport) -> paramiko.Channel:
    channel = transport.open_session(timeout=CHANNEL_SECONDS)
    try:
        # stderr stays apart: what start-up files say there may arrive in the middle of an answer.
        # Nobody reads it, and nobody has to: our programs write none, and the window is large.
        channel.exec_command(LOGIN_SHELL_READS)
    except BaseException:
        channel.close()
        raise
    return channel
