"""transfer: brings the code to the host. Takes connection and archive, gives a Workdir."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.connections.bulk.code import upload_code
from nasexp.connections.bulk.link import Link
from nasexp.host.programs import prepare_host
from nasexp.runs.wishes import may_have_started
from nasexp.values import Workdir

if TYPE_CHECKING:
    from nasexp.connections.protocol import Connection
    from nasexp.values import Archive, Run

_READY = 'read -r digest <"$1/ready" && printf "%s" "$digest"'


@hookimpl(trylast=True)
def nasexp_transfer(run: Run, connection: Connection, archive: Archive) -> Workdir:
    """Send the code, or adopt what lies there ready; a cut upload goes on where it was."""
    if may_have_started(run):
        # It may have started, ended, and be cleaned away: nothing is ever sent there again.
        return Workdir((run.journal.last("transfer.done") or {})["path"])
    home = prepare_host(connection, run.settings.host.settings.workdir)
    workdir = Workdir(f"{home}/runs/{run.id}")
    if connection.run(_READY, workdir.path).text() == archive.sha256:
        return _noted(run, workdir)
    name = run.address.replace("/", "-")
    if not upload_code(Link(connection, run.monitor), archive, workdir.path, name):
        run.monitor.note("the host has no sha256sum and no openssl: the copy was not checked")
    return _noted(run, workdir)


def _noted(run: Run, workdir: Workdir) -> Workdir:
    run.journal.write("transfer.done", path=workdir.path)
    return workdir
