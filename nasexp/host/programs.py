"""The programs that nasexp runs on a host, and what their answers mean.

Every text here runs under the host's `/bin/sh` with its data as `$1`, `$2`, …; no data is ever
pasted into a text.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from nasexp.connections.protocol import set_words
from nasexp.errors import StageError
from nasexp.values import Ending, Observation, Why

if TYPE_CHECKING:
    from nasexp.connections.protocol import Connection

PROTOCOL_VERSION = 1
CONSOLE_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 4096

_EXPAND_HOME = """
case $1 in '~') set -- "$HOME" ;; '~/'*) set -- "$HOME/${1#'~/'}" ;; esac
mkdir -p "$1/runs" && chmod 700 "$1" && cd "$1" && pwd -P
"""

# Each writer has a part of its own: two drivers may bring the same agent at the same moment.
_PUT = (
    'umask 077 && cat > "$1.part.$$" && mv -f "$1.part.$$" "$1" || { rm -f "$1.part.$$"; exit 7; }'
)

_HAS_FILE = 'test -f "$1"'

_LAUNCH = '/bin/sh "$1" launch "$2"'

_CANCEL = ': > "$1/cancel"'

# One look: uptime, the small files, then the console from the block that holds the offset.
_LOOK = """
cd "$1" || exit 9
read -r uptime _ </proc/uptime
printf 'uptime %s\\n' "${uptime%.*}${uptime#*.}"
for file in start ended exit; do
  if [ -r segments/1/$file ] && read -r line <segments/1/$file; then
    printf '%s %s\\n' $file "$line"
  fi
done
printf '\\n'
[ ! -r segments/1/log ] || dd if=segments/1/log bs=4096 skip="$2" count="$3" 2>/dev/null
exit 0
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


def put_file(connection: Connection, path: str, content: bytes) -> None:
    """Write a small private file on the host, whole."""
    words = set_words([path]).decode(errors="surrogateescape")
    answer = connection.send(words + _PUT, [content])
    if answer.status:
        complaint = answer.errors.decode(errors="replace").strip()
        raise StageError(f"cannot write {path} on host '{connection.name}': {complaint}")


def install_agent(connection: Connection, home: str) -> str:
    """Make sure that this version's agent lies on the host; return its path."""
    content = files("nasexp.host").joinpath("agent.sh").read_bytes()
    path = f"{home}/agent-{hashlib.sha256(content).hexdigest()[:16]}.sh"
    if connection.run(_HAS_FILE, path).status:
        put_file(connection, path, content)
    return path


def launch(connection: Connection, agent: str, folder: str) -> None:
    """Ask the agent to start the run's job; the host sees to it that it starts once."""
    answer = connection.run(_LAUNCH, agent, folder)
    if answer.status:
        raise StageError(f"host '{connection.name}' cannot start the job: {answer.complaint()}")


def cancel(connection: Connection, folder: str) -> None:
    """Ask the agent to end the job."""
    connection.run(_CANCEL, folder)


def look(connection: Connection, folder: str, console_offset: int) -> Observation:
    """Read a job's state and the next part of its console, in one round trip."""
    block, within = divmod(console_offset, _BLOCK_BYTES)
    count = CONSOLE_CHUNK_BYTES // _BLOCK_BYTES
    answer = connection.run(_LOOK, folder, str(block), str(count))
    if answer.status:
        raise StageError(f"the run's folder {folder} is gone from host '{connection.name}'")
    head, _, console = answer.output.partition(b"\n\n")
    return parse_look(head, console[within:])


@dataclass(frozen=True, slots=True)
class _Clock:
    """Uptimes of one host, in hundredths of a second."""

    now: int
    start: int | None

    def seconds(self, end: int) -> float:
        return max(0, end - (end if self.start is None else self.start)) / 100


def parse_look(head: bytes, console: bytes) -> Observation:
    """Turn the lines of a look into an observation. Raises StageError when they make no sense."""
    lines = dict(line.partition(" ")[::2] for line in head.decode("ascii", "replace").splitlines())
    try:
        start = lines.get("start", "-").split()[0]
        clock = _Clock(int(lines["uptime"]), None if start == "-" else int(start))
        age = None if clock.start is None else clock.seconds(clock.now)
        ending = _ending(lines["exit"], clock) if "exit" in lines else None
    except (KeyError, ValueError, IndexError) as error:
        shown = head[:200].decode(errors="replace")
        raise StageError(f"the host's answer makes no sense: {shown!r}") from error
    return Observation(age, ending, console)


def _ending(line: str, clock: _Clock) -> Ending:
    why, code, uptime, _survivors = line.split()
    return Ending(Why(why), None if code == "none" else int(code), clock.seconds(int(uptime)))
