"""transfer: brings the code to the host. Takes connection and archive, gives a Workdir."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.archives.pack import open_packed, open_tar
from nasexp.connections.bulk.link import Link
from nasexp.connections.bulk.packed import upload_either
from nasexp.connections.bulk.upload import Source
from nasexp.errors import StageError
from nasexp.host.programs import prepare_host
from nasexp.values import Workdir

if TYPE_CHECKING:
    from nasexp.connections.protocol import Answer, Connection
    from nasexp.values import Archive, Run

UNPACK_SECONDS = 3600.0

_READY = 'read -r digest <"$1/ready" && printf "%s" "$digest"'

# What arrived has the right digest; `ready` is made last of all. Of a full disk tar says only that
# it wrote less than it wanted: dd gives that its name.
_UNPACK = """
cd "$1" || exit 9
LC_ALL=C; export LC_ALL
umask 022
rm -rf unpack work && mkdir unpack || exit 7
case $4 in
  *.gz) gzip -dc <"$4" | tar -xf - -C unpack ;;
  *) tar -xf "$4" -C unpack ;;
esac || {
  dd if=/dev/zero of=unpack/full bs=65536 count=1
  rm -rf unpack
  exit 7
}
mv unpack/bin work && rmdir unpack && rm -f "$4" || exit 7
umask 077
mkdir -p ../../by-name && ln -sfn "../runs/${1##*/}" "../../by-name/$3" 2>/dev/null
printf '%s\\n' "$2" >ready.part && mv -f ready.part ready
"""


@hookimpl(trylast=True)
def nasexp_transfer(run: Run, connection: Connection, archive: Archive) -> Workdir:
    """Send the archive, or adopt what lies there ready; a cut upload goes on where it was."""
    if run.journal.last("training.intent"):
        # It may have started, ended, and be cleaned away: nothing is ever sent there again.
        return Workdir((run.journal.last("transfer.done") or {})["path"])
    home = prepare_host(connection, run.settings.host.settings.workdir)
    workdir = Workdir(f"{home}/runs/{run.id}")
    if connection.run(_READY, workdir.path).text() == archive.sha256:
        return _noted(run, workdir)
    link = Link(connection, run.monitor)
    code = _send(link, archive, f"{workdir.path}/code.tar", run)
    words = (workdir.path, archive.sha256, run.address.replace("/", "-"), code)
    answer = link.keep_trying(
        lambda: connection.run(_UNPACK, *words, deadline_seconds=UNPACK_SECONDS)
    )
    if answer.status:
        raise StageError(
            f"host '{connection.name}' cannot unpack: {_reason(answer)}",
            hint=f"the code needs twice its {archive.size_bytes} bytes in {workdir.path}",
        )
    return _noted(run, workdir)


def _noted(run: Run, workdir: Workdir) -> Workdir:
    run.journal.write("transfer.done", path=workdir.path)
    return workdir


def _reason(answer: Answer) -> str:
    """Return what tar said of a full disk, else the first that it said: the rest follows of it."""
    lines = answer.errors.decode(errors="replace").splitlines()
    full = (line for line in lines if "No space" in line or "quota" in line)
    return next(full, lines[0] if lines else answer.complaint())


def _send(link: Link, archive: Archive, path: str, run: Run) -> str:
    """Send the code in the form that arrives first; return the path of what arrived."""
    plain = Source(partial(open_tar, archive.path), archive.size_bytes, archive.sha256)
    packed = Source(partial(open_packed, archive.path), archive.path.stat().st_size)
    arrived, uploaded = upload_either(link, plain, packed, path)
    if not uploaded.checked:
        run.monitor.note("the host has no sha256sum and no openssl: the copy was not checked")
    return arrived
