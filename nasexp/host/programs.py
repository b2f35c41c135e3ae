"""The programs that change something on a host.

Every text here runs under the host's `/bin/sh` with its data as `$1`, `$2`, …; no data is ever
pasted into a text. With a claim, a program of a driver that was superseded changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from importlib.resources import files
from typing import TYPE_CHECKING

from nasexp.connections.protocol import set_words
from nasexp.errors import StageError
from nasexp.host.claims import FENCE, NOBODY, refuse_superseded, run_fenced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nasexp.connections.protocol import Answer, Connection
    from nasexp.host.claims import Claim

PROTOCOL_VERSION = 2
DIGEST_SECONDS = 3600.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_EXPAND_HOME = """
case $1 in '~') set -- "$HOME" ;; '~/'*) set -- "$HOME/${1#'~/'}" ;; esac
mkdir -p "$1/runs" && chmod 700 "$1" && cd "$1" && pwd -P
"""

# Each writer has a part of its own: two drivers may bring the same agent at the same moment. Who
# was superseded meanwhile puts nothing in place.
_PUT = (
    FENCE
    + """
umask 077
cat >"$4.part.$$" || { rm -f "$4.part.$$"; exit 7; }
superseded "$1" "$2" "$3" && { rm -f "$4.part.$$"; exit 79; }
mv -f "$4.part.$$" "$4" || { rm -f "$4.part.$$"; exit 7; }
"""
)

# Small texts, by pairs of name and text, in one round trip; each takes its place whole.
_PUT_TEXTS = """
cd "$1" && shift || exit 9
umask 077
while [ $# -ge 2 ]; do
  printf '%s' "$2" >"$1.part" && mv -f "$1.part" "$1" || { rm -f "$1.part"; exit 7; }
  shift 2
done
"""

_HAS_FILE = 'test -f "$1"'

_AGENT = '/bin/sh "$1" "$2" "$3" "$4"'

# An empty file fits on a full disk too.
_CANCEL = """
umask 077
{ printf '%s\\n' "$2" >"$1/cancel.part" && mv -f "$1/cancel.part" "$1/cancel"; } 2>/dev/null ||
  : >"$1/cancel"
"""

# Both the warden and the runner's deputy read it anew in each round.
_SET_DEADLINE = """
cd "$1" && [ -e "segments/$2/start" ] || exit 8
umask 077
printf '%s\\n' "$3" | dd of="deadline.$$" conv=fsync 2>/dev/null && mv -f "deadline.$$" deadline ||
  { rm -f "deadline.$$"; exit 7; }
"""

_DIGEST = """
log=$1/segments/$2/log
[ -r "$log" ] || log=/dev/null
if command -v sha256sum >/dev/null; then sha256sum <"$log"
elif command -v openssl >/dev/null; then openssl dgst -sha256 -r <"$log"; fi
"""


def prepare_host(connection: Connection, workdir: str) -> str:
    """Make the folder that holds all of nasexp's on the host; return its absolute path."""
    answer = connection.run(_EXPAND_HOME, workdir)
    if answer.status:
        raise StageError(
            f"the workdir {workdir} on host '{connection.name}' cannot be used: "
            f"{answer.complaint()}",
            hint="set `workdir:` of the host to a folder that your account can write",
        )
    return answer.text()


def put_file(connection: Connection, path: str, content: bytes, claim: Claim | None = None) -> None:
    """Write a small private file on the host, whole.

    Raises:
        StageError: the host cannot write it.
        Superseded: the run is no longer ours; the file is as it was.
    """
    words = set_words([*(claim.words if claim else NOBODY), path])
    answer = connection.send(words.decode(errors="surrogateescape") + _PUT, [content])
    refuse_superseded(connection.name, answer.status)
    if answer.status:
        complaint = answer.errors.decode(errors="replace").strip()
        raise StageError(f"cannot write {path} on host '{connection.name}': {complaint}")


def put_texts(
    connection: Connection, folder: str, texts: Mapping[str, str], claim: Claim | None = None
) -> None:
    """Write small private files into a run's folder, each whole, in one round trip.

    Args:
        connection: the host.
        folder: of the run there.
        texts: path below the folder → content.
        claim: on the run.

    Raises:
        StageError: the host cannot write them.
        Superseded: the run is no longer ours.
    """
    words = [word for pair in texts.items() for word in pair]
    answer = run_fenced(connection, claim, _PUT_TEXTS, folder, *words)
    _refuse(answer, f"cannot write into {folder} on host '{connection.name}'")


def put_secrets(
    connection: Connection, folder: str, secrets: Mapping[str, str], claim: Claim | None = None
) -> None:
    """Hand the job its secrets: a private file that is read and removed before it starts.

    Args:
        connection: the host.
        folder: of the run there.
        secrets: name of a variable → its value.
        claim: on the run.

    Raises:
        StageError: a name or a value cannot be a variable's, or the host cannot write.
        Superseded: the run is no longer ours.
    """
    for name, value in secrets.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise StageError(f"secret {name!r} cannot be a variable of the environment")
    lines = [f"{name}={shlex.quote(value)}; export {name}\n" for name, value in secrets.items()]
    put_texts(connection, folder, {"secrets": "".join(lines)}, claim)


def install_agent(connection: Connection, home: str) -> str:
    """Make sure that this version's agent lies on the host; return its path."""
    content = files("nasexp.host").joinpath("agent.sh").read_bytes()
    path = f"{home}/agent-{hashlib.sha256(content).hexdigest()[:16]}.sh"
    if connection.run(_HAS_FILE, path).status:
        put_file(connection, path, content)
    return path


def launch(
    connection: Connection,
    agent: str,
    folder: str,
    claim: Claim | None = None,
    *,
    segment: int = 1,
) -> None:
    """Ask the agent to start the run's job; the host sees to it that it starts once."""
    answer = run_fenced(connection, claim, _AGENT, agent, "launch", folder, str(segment))
    _refuse(answer, f"host '{connection.name}' cannot start the job")


def adopt(
    connection: Connection,
    agent: str,
    folder: str,
    claim: Claim | None = None,
    *,
    segment: int = 1,
) -> None:
    """Ask the agent for a new warden where the job has lost its own; of several one comes."""
    answer = run_fenced(connection, claim, _AGENT, agent, "adopt", folder, str(segment))
    _refuse(answer, f"host '{connection.name}' cannot watch the job")


def cancel(
    connection: Connection, folder: str, claim: Claim | None = None, *, now: bool = False
) -> None:
    """Ask the agent to end the job; `now` leaves it no time to end by itself."""
    answer = run_fenced(connection, claim, _CANCEL, folder, "now" if now else "")
    _refuse(answer, f"host '{connection.name}' cannot be told to end the job")


def set_deadline(
    connection: Connection,
    folder: str,
    deadline: int | None,
    claim: Claim | None = None,
    *,
    segment: int = 1,
) -> None:
    """Move the end of a job that has started; asked again it is the same.

    Args:
        connection: the host.
        folder: of the run there.
        deadline: an uptime of the host in hundredths of a second; None for never.
        claim: on the run.
        segment: that runs.

    Raises:
        StageError: it has not started, or the host cannot write.
        Superseded: the run is no longer ours.
    """
    text = "never" if deadline is None else str(deadline)
    answer = run_fenced(connection, claim, _SET_DEADLINE, folder, str(segment), text)
    _refuse(answer, f"host '{connection.name}' cannot move the deadline")


def console_digest(connection: Connection, folder: str, segment: int = 1) -> str | None:
    """Return the sha256 of the console on the host; None where it has no program for that."""
    answer = connection.run(_DIGEST, folder, str(segment), deadline_seconds=DIGEST_SECONDS)
    words = answer.text().split()
    return words[0] if words and re.fullmatch("[0-9a-f]{64}", words[0]) else None


def _refuse(answer: Answer, what: str) -> None:
    if answer.status:
        raise StageError(f"{what}: {answer.complaint()}")
