"""backup: copies the output folder home while it trains. Takes a Job, gives a Snapshot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.backup.copying import copy_home
from nasexp.config.schema import Schema
from nasexp.config.settings import ConfigSection
from nasexp.config.units import Duration
from nasexp.values import Snapshot

if TYPE_CHECKING:
    from nasexp.connections.protocol import Connection
    from nasexp.values import Job, Run


class BackupSettings(Schema, frozen=True):
    """The section `backup`."""

    every: Duration = Duration.parse("30m")
    """How often the output comes home while it trains; `never`: only at the end."""


@hookimpl
def nasexp_config_section() -> ConfigSection:
    """Own `backup`."""
    return ConfigSection("backup", BackupSettings)


@hookimpl(trylast=True)
def nasexp_backup(run: Run, connection: Connection, job: Job) -> Snapshot:
    """Copy what is new; a file that is being written keeps its last whole copy here."""
    done = copy_home(run, connection, job.workdir)
    if done is None:
        return Snapshot(datetime.now(UTC), 0, 0, 0)
    snapshot = done.snapshot
    run.journal.write(
        "backup.made",
        files=snapshot.files,
        size_bytes=snapshot.size_bytes,
        new_bytes=snapshot.new_bytes,
        unstable=list(snapshot.unstable),
    )
    for name in snapshot.unstable[:3]:
        run.monitor.note(f"{name} is being written: its last whole copy is kept")
    return snapshot
