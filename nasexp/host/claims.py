"""Who may change a run on its host: the newest driver that claimed it, and no other.

A driver that was frozen and thaws does not know that another took over. So each claims the run
under a number of its own, an epoch, and every program that changes something checks on the host
that no higher one was claimed since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasexp.connections.protocol import DEADLINE_SECONDS
from nasexp.errors import StageError, Superseded

if TYPE_CHECKING:
    from nasexp.connections.protocol import Answer, Connection
    from nasexp.values import Run

SUPERSEDED_STATUS = 79
NOBODY = ("", "0", "-")
"""The words of a driver that claims nothing: it is not checked."""

# superseded FOLDER EPOCH NONCE: whether another holds the highest epoch. No epoch: nobody does.
FENCE = """
superseded() {
  [ "$2" -gt 0 ] || return 1
  for owner in "$1"/owner/*; do
    number=${owner##*/}
    case $number in '' | *[!0-9]* | ??????????*) continue ;; esac
    [ "$number" -le "$2" ] || return 0
  done
  owner=
  { read -r owner <"$1/owner/$2/nonce"; } 2>/dev/null
  [ "$owner" != "$3" ]
}
"""
_FENCED = FENCE + 'superseded "$1" "$2" "$3" && exit 79\nshift 3\n'

# The folder may be made by two at once; whose nonce stands in it first has the epoch.
_CLAIM = (
    FENCE
    + """
umask 077
folder=$1/owner/$2
held=
{ read -r held <"$folder/nonce"; } 2>/dev/null
if [ "$held" != "$3" ]; then # else it needs no room: the disk may be full by now
  mkdir -p "$folder" || exit 7
  printf '%s\\n' "$3" >"$folder/nonce.$3" || exit 7
  ln "$folder/nonce.$3" "$folder/nonce" 2>/dev/null ||
    (set -C && cat "$folder/nonce.$3" >"$folder/nonce") 2>/dev/null
  rm -f "$folder/nonce.$3"
fi
dd if=/dev/null of="$folder/nonce" conv=notrunc,fsync 2>/dev/null || exit 7
superseded "$1" "$2" "$3" && exit 79
exit 0
"""
)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to change one run on its host.

    Attributes:
        folder: of the run on the host.
        epoch: from 1 on; each further driver claims a higher one.
        nonce: a random word, so that two drivers who chose the same epoch are told apart.
    """

    folder: str
    epoch: int
    nonce: str

    @property
    def words(self) -> tuple[str, str, str]:
        """The three words that a fenced program gets first."""
        return self.folder, str(self.epoch), self.nonce


def claim_for(connection: Connection, run: Run, folder: str) -> Claim | None:
    """Claim a run for the driver that drives it now, as its journal has it.

    Args:
        connection: the host.
        run: the run.
        folder: of the run on the host.

    Raises:
        Superseded: another driver has taken it over.
        StageError: the host cannot write it down.
    """
    created = run.journal.last("run.created") or {}
    driver = run.journal.last("run.resumed") or {"epoch": 1, "nonce": created.get("nonce")}
    if not driver.get("nonce"):
        return None  # begun by a version that knew no claims
    return claim(connection, folder, driver["epoch"], driver["nonce"])


def claim(connection: Connection, folder: str, epoch: int, nonce: str) -> Claim:
    """Claim a run on its host; asked again with the same words it is the same claim.

    Raises:
        Superseded: a higher epoch was claimed, or this one by another driver.
        StageError: the host cannot write it down.
        ValueError: an epoch below 1, or a nonce that is no word of letters and digits.
    """
    if epoch < 1 or not (nonce.isascii() and nonce.isalnum()):
        raise ValueError(f"no claim: epoch {epoch}, nonce {nonce!r}")
    wanted = Claim(folder, epoch, nonce)
    answer = connection.run(_CLAIM, *wanted.words)
    refuse_superseded(connection.name, answer.status)
    if answer.status:
        raise StageError(f"cannot claim the run on host '{connection.name}': {answer.complaint()}")
    return wanted


def run_fenced(
    connection: Connection,
    wanted: Claim | None,
    program: str,
    *words: str | bytes,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Answer:
    """Run a program that changes something, if the run is still ours; see `Connection.run`.

    Raises:
        Superseded: it is not; the program was not run.
    """
    answer = connection.run(
        _FENCED + program,
        *(wanted.words if wanted else NOBODY),
        *words,
        deadline_seconds=deadline_seconds,
    )
    refuse_superseded(connection.name, answer.status)
    return answer


def check_claim(connection: Connection, wanted: Claim | None) -> None:
    """Raise Superseded when the run is no longer ours."""
    if wanted:
        run_fenced(connection, wanted, ":")


def refuse_superseded(host: str, status: int) -> None:
    """Raise Superseded when a fenced program's status says so."""
    if status == SUPERSEDED_STATUS:
        raise Superseded(
            f"another driver has taken this run over on host '{host}'; this one changes nothing",
            hint="follow the run with `attach`",
        )
