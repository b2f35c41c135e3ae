"""What a run is on its host, and the one next step: pure functions over what a probe found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from nasexp.values import Ending, State, Why

if TYPE_CHECKING:
    from nasexp.host.found import Probe

DISK_FULL = "the disk of the host is full"


class Step(Enum):
    """What a driver does next; each may be done again without harm."""

    UPLOAD = "upload"
    LAUNCH = "launch"
    FOLLOW = "follow"
    ADOPT = "adopt"
    COLLECT = "collect"
    ALARM = "alarm"
    CLEAN_UP = "clean up"
    NOTHING = "nothing"


_STEPS = {
    State.STAGING: Step.UPLOAD,
    State.READY: Step.LAUNCH,
    State.RUNNING: Step.FOLLOW,
    State.UNWATCHED: Step.ADOPT,
    State.ENDING: Step.ADOPT,
    State.ENDED: Step.COLLECT,
    State.REBOOTED: Step.COLLECT,
    State.SURVIVORS: Step.ALARM,
    State.COLLECTED: Step.CLEAN_UP,
    State.GONE: Step.NOTHING,
}


def derive(found: Probe) -> State:
    """Return the state of a run; it is never stored, so nothing can disagree with the files."""
    if found.gone:
        return State.GONE
    if found.survivors:
        return State.SURVIVORS
    over = _over(found)
    if over:
        return State.COLLECTED if found.collected else over
    if found.start is None:
        return State.READY if found.ready else State.STAGING
    return _live(found)


def _over(found: Probe) -> State | None:
    """Return how it is over, if it is."""
    if found.exit or _runner_is_the_only_witness(found):
        return State.ENDED
    return State.REBOOTED if rebooted(found) else None


def _live(found: Probe) -> State:
    if found.ended or not found.runner_alive:
        return State.ENDING
    return State.RUNNING if found.warden_alive else State.UNWATCHED


def _runner_is_the_only_witness(found: Probe) -> bool:
    """Whether it ended and nobody will write `exit`: the host was booted since, or lost `start`."""
    if not found.ended or found.runner_alive:
        return False
    return found.start is None or rebooted(found)


def next_step(state: State, found: Probe) -> Step:
    """Return what to do about a state. What a living warden or runner does anyway is left to it."""
    if state is State.ENDING and found.warden_alive:
        return Step.FOLLOW
    if state in {State.READY, State.STAGING} and (found.warden_alive or found.runner_alive):
        return Step.FOLLOW
    return _STEPS[state]


def rebooted(found: Probe) -> bool:
    """Whether the host booted since the start. A gate that was closed has no boot."""
    if not found.start or found.start.uptime is None:
        return False
    if found.runner_boot and found.boot:
        return found.runner_boot != found.boot
    return found.uptime < found.start.uptime


@dataclass(frozen=True, slots=True)
class Known:
    """What a driver knows of a job beyond what its host tells.

    Attributes:
        alive_seconds: how long it had surely run when it was last seen to live.
        started: the time of the start here, in seconds since the epoch.
        now: the time here.
    """

    alive_seconds: float = 0.0
    started: float | None = None
    now: float = 0.0


def ending_of(found: Probe, known: Known) -> Ending | None:
    """Return the end of the job, exact or with its bounds; None while none is sure."""
    if found.exit:
        return _told_by_warden(found)
    if _runner_is_the_only_witness(found):
        return _told_by_runner(found)
    if rebooted(found):
        return _cut_by_reboot(found, known)
    return None


def _told_by_warden(found: Probe) -> Ending:
    end = found.exit
    assert end is not None  # noqa: S101 - the caller looked
    seconds, latest = ran_seconds(found, end.uptime), ran_seconds(found, end.latest)
    return Ending(
        Why(end.why),
        end.code,
        seconds,
        latest if latest > seconds else None,
        DISK_FULL if end.disk_full else "",
        found.survivors,
    )


def _told_by_runner(found: Probe) -> Ending:
    ended = found.ended
    assert ended is not None  # noqa: S101 - the caller looked
    usual = Why.SIGNAL if ended.code > 128 else Why.EXIT
    why = Why(found.reason) if found.reason else usual
    cause = DISK_FULL if ended.disk_full else ""
    return Ending(why, ended.code, ran_seconds(found, ended.uptime), cause=cause)


def _cut_by_reboot(found: Probe, known: Known) -> Ending:
    """Return an end between the last sign of life and the boot that followed."""
    assert found.start is not None  # noqa: S101 - the caller looked
    beat = ran_seconds(found, found.beat) if found.beat is not None else 0.0
    seconds = max(beat, known.alive_seconds)
    return Ending(Why.REBOOT, None, seconds, max(seconds, _until_boot(found, known)))


def _until_boot(found: Probe, known: Known) -> float:
    """Return the seconds from the start to the boot: by the clock here, else by the host's."""
    up_seconds, gaps = found.uptime / 100, found.suspended / 100
    if known.started is not None:
        return known.now - up_seconds - known.started - gaps
    assert found.start is not None  # noqa: S101 - the caller looked
    # Both are whole or cut to seconds: the bound is rounded outwards.
    return found.wall_seconds + 1 - up_seconds - (found.start.wall_seconds or 0) - gaps


def ran_seconds(found: Probe, uptime: int) -> float:
    """Return how long the job had run at an uptime, without the time of suspension."""
    if found.start is None or found.start.uptime is None:
        return 0.0
    return max(0, uptime - found.start.uptime - found.suspended) / 100


def age_seconds(found: Probe) -> float | None:
    """Return how long ago the job started; None when it has not, or never will."""
    if found.start is None or found.start.uptime is None:
        return None
    if rebooted(found):
        return max(0.0, found.wall_seconds - (found.start.wall_seconds or 0))
    return max(0, found.uptime - found.start.uptime) / 100


def alive_seconds(found: Probe) -> float | None:
    """Return how long the job has surely run: until now if it lives, else until its last beat."""
    if found.start is None or found.start.uptime is None:
        return None
    if found.runner_alive and not rebooted(found):
        return ran_seconds(found, found.uptime)
    return ran_seconds(found, found.beat) if found.beat is not None else 0.0


def deadline_left_seconds(found: Probe) -> float | None:
    """Return how long the host lets it run on; None where nothing limits it or it has not begun."""
    if found.deadline is None or found.start is None or rebooted(found) or found.exit:
        return None
    return max(0, found.deadline + found.suspended - found.uptime) / 100


def beat_age_seconds(found: Probe) -> float | None:
    """Return how long ago the warden wrote that it lives; None when another boot did."""
    if found.beat is None or rebooted(found):
        return None
    return max(0, found.uptime - found.beat) / 100
