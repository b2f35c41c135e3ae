"""shutdown: cleans up on the host and decides about its power. Always called, last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.config.schema import Schema
from nasexp.config.settings import ConfigSection
from nasexp.config.units import Duration
from nasexp.host.claims import claim_for, run_fenced
from nasexp.host.programs import prepare_host
from nasexp.values import PowerDecision

if TYPE_CHECKING:
    from nasexp.connections.protocol import Connection
    from nasexp.values import Run

_CLEAN = 'cd "$1" && rm -rf "runs/$2" && rm -f "by-name/$3"'

# Whoever makes `start` decides: when we do, the training never ran and never will.
_CLOSE_GATE = """
cd "$1/runs/$2" 2>/dev/null || exit 0
mkdir -p segments/1 && (set -C && echo '- -' >segments/1/start) 2>/dev/null
"""


class ShutdownSettings(Schema, frozen=True):
    """The section `shutdown`."""

    after: Duration = Duration.parse("1h")
    """How long a host is to stay on after its last run; `never` leaves it on. The key is read and
    checked, but has no effect yet: this version switches no host off."""


@hookimpl
def nasexp_config_section() -> ConfigSection:
    """Own `shutdown`."""
    return ConfigSection("shutdown", ShutdownSettings)


@hookimpl(trylast=True)
def nasexp_shutdown(run: Run, connection: Connection | None) -> PowerDecision:
    """Remove the run's folder from the host once all is home; leave this machine on."""
    if connection is None:
        return PowerDecision(stays_on=True, reason="no connection was made")
    _clean_up(run, connection)
    if not run.settings.host.settings.address:
        return PowerDecision(stays_on=True, reason="this machine stays on")
    run.monitor.note(f"host '{connection.name}' stays on: this version switches no host off")
    return PowerDecision(stays_on=True, reason="this version switches no host off")


def _clean_up(run: Run, connection: Connection) -> None:
    home = prepare_host(connection, run.settings.host.settings.workdir)
    ended = run.journal.last("training.ended") or {}
    all_home = ended.get("log_complete") and run.journal.last("collect.done")
    folder = f"{home}/runs/{run.id}"
    ours = claim_for(connection, run, folder)
    if not all_home and run_fenced(connection, ours, _CLOSE_GATE, home, run.id).status:
        run.monitor.warn(f"kept on host '{connection.name}', as not all came home: {folder}")
        return
    answer = run_fenced(connection, ours, _CLEAN, home, run.id, run.address.replace("/", "-"))
    if answer.status:
        run.monitor.warn(f"could not clean up on host '{connection.name}': {answer.complaint()}")
