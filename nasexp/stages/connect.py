"""connect: opens a connection to the run's host. Takes a run, gives a Connection.

A host that is off or booting is waited for; a pending power-off there is cancelled.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.config.schema import Schema
from nasexp.config.settings import ConfigSection
from nasexp.config.units import Duration, clock
from nasexp.connections.dialing import connect_host
from nasexp.errors import ConnectionLost, HostUnreachable
from nasexp.runs.wishes import sleep_watching

if TYPE_CHECKING:
    from nasexp.connections.protocol import Answer, Connection
    from nasexp.connections.shell import ShellConnection
    from nasexp.values import Run

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 60.0

# Prints when the machine was going to switch off; ends with 3 where nobody may prevent that.
_CANCEL_POWER_OFF = """
when=
if [ -r /run/systemd/shutdown/scheduled ]; then
  while IFS='=' read -r key value; do
    [ "$key" = USEC ] && when=${value%??????}
  done </run/systemd/shutdown/scheduled
elif { read -r pid _ </run/shutdown.pid; } 2>/dev/null && kill -0 "$pid" 2>/dev/null; then
  when=soon
fi
[ -n "$when" ] || exit 0
printf '%s\\n' "$when"
if [ "$(id -u)" = 0 ]; then /sbin/shutdown -c; else sudo -n /sbin/shutdown -c; fi || exit 3
"""


class ConnectSettings(Schema, frozen=True):
    """The section `connect`."""

    patience: Duration = Duration.parse("10m")
    """How long to wait for a host that is off or booting; `0s` gives up at once."""


@hookimpl
def nasexp_config_section() -> ConfigSection:
    """Own `connect`."""
    return ConfigSection("connect", ConnectSettings)


@hookimpl(trylast=True)
def nasexp_connect(run: Run) -> Connection:
    """Connect, wait where that can help, and keep the host from switching off."""
    patience = run.settings.section("connect", ConnectSettings).patience
    give_up, pause = time.monotonic() + patience.seconds, FIRST_PAUSE_SECONDS
    while True:
        try:
            return _connect(run)
        except HostUnreachable as error:
            left = give_up - time.monotonic()
            if left <= 0:
                raise _gave_up(error, patience) from error
            # Not all who wait should knock at the same moment.
            seconds = min(pause * random.uniform(0.8, 1.2), left)  # noqa: S311 - no secret
            run.monitor.note(f"{error.message}; next try in {clock(seconds)}")
            sleep_watching(run, seconds)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)


def _connect(run: Run) -> ShellConnection:
    host = run.settings.host
    connection = connect_host(host, run.workspace.root, run.monitor.ask)
    if not host.settings.address:
        return connection
    try:
        answer = connection.run(_CANCEL_POWER_OFF)
    except ConnectionLost as error:  # right behind the login: that is no better than before it
        connection.close()
        raise HostUnreachable(error.message, hint=error.hint) from error
    run.monitor.note(f"connected to {host.name} ({host.settings.address}) by {connection.via}")
    _tell_power_off(run, host.name, answer)
    return connection


def _gave_up(error: HostUnreachable, patience: Duration) -> HostUnreachable:
    if not patience.seconds:
        return error
    waited = f"{error.message} (connect.patience: {patience})"
    return HostUnreachable(waited, hint=error.hint)


def _tell_power_off(run: Run, host: str, answer: Answer) -> None:
    if not answer.output:
        return
    found = answer.text()
    when = time.strftime("at %H:%M", time.localtime(int(found))) if found.isdigit() else found
    run.journal.write("power_off.cancelled", when=found, ok=not answer.status)
    if answer.status:
        run.monitor.warn(
            f"host '{host}' is going to switch off ({when}) and this account may not "
            f"prevent it: {answer.complaint()}"
        )
    else:
        run.monitor.note(f"host '{host}' was going to switch off ({when}): cancelled")
