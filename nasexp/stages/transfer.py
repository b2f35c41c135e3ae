"""transfer: brings the code to the host. Takes connection and archive, gives a Workdir."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.archives.pack import open_tar
from nasexp.connections.protocol import set_words
from nasexp.errors import StageError
from nasexp.host.programs import prepare_host
from nasexp.values import Workdir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nasexp.connections.protocol import Connection
    from nasexp.values import Archive, Run

UNPACK_SECONDS = 3600.0

_READY = 'read -r digest <"$1/ready" && printf "%s" "$digest"'

_RECEIVE = """
umask 077
mkdir -p "$1" && cat >"$1/code.tar.part"
"""

# The digest is checked by whatever the host has; `ready` is made last of all.
_UNPACK = """
umask 077
cd "$1" || exit 9
if command -v sha256sum >/dev/null 2>&1; then digest=$(sha256sum <code.tar.part)
elif command -v openssl >/dev/null 2>&1; then
  digest=$(openssl dgst -sha256 -r <code.tar.part)
else
  printf 'unchecked\\n'
  digest=$2
fi
[ "${digest%% *}" = "$2" ] || { echo 'the code arrived damaged' >&2; exit 8; }
umask 022
rm -rf unpack work && mkdir unpack && tar -xf code.tar.part -C unpack || exit 7
mv unpack/bin work && rmdir unpack && rm -f code.tar.part || exit 7
umask 077
mkdir -p ../../by-name && ln -sfn "../runs/${1##*/}" "../../by-name/$3" 2>/dev/null
printf '%s\\n' "$2" >ready.part && mv -f ready.part ready
"""


@hookimpl(trylast=True)
def nasexp_transfer(run: Run, connection: Connection, archive: Archive) -> Workdir:
    """Send the archive as a plain tar stream, or adopt what lies there ready."""
    home = prepare_host(connection, run.settings.host.settings.workdir)
    workdir = Workdir(f"{home}/runs/{run.id}")
    if connection.run(_READY, workdir.path).text() == archive.sha256:
        return workdir
    _send(run, connection, archive, workdir)
    name = run.address.replace("/", "-")
    answer = connection.run(
        _UNPACK, workdir.path, archive.sha256, name, deadline_seconds=UNPACK_SECONDS
    )
    if answer.status:
        raise StageError(f"host '{connection.name}' cannot unpack: {answer.complaint()}")
    if answer.output:
        run.monitor.note("the host has no sha256sum and no openssl: the copy was not checked")
    return workdir


def _send(run: Run, connection: Connection, archive: Archive, workdir: Workdir) -> None:
    words = set_words([workdir.path]).decode(errors="surrogateescape")
    with open_tar(archive.path) as chunks:
        answer = connection.send(words + _RECEIVE, _watched(run, chunks, archive.size_bytes))
    if answer.status:
        complaint = answer.errors.decode(errors="replace").strip()
        raise StageError(
            f"host '{connection.name}' could not take the code: {complaint}",
            hint=f"the code needs twice its {archive.size_bytes} bytes in {workdir.path}",
        )


def _watched(run: Run, chunks: Iterable[bytes], total_bytes: int) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        run.monitor.progress(done, total_bytes)
