"""What a probe found, parsed with limits: the host is half trusted.

Times are uptimes of the host in hundredths of a second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from nasexp.errors import StageError

HEAD_LIMIT_BYTES = 16 << 10
MOST_SURVIVORS = 1000


@dataclass(frozen=True, slots=True)
class Start:
    """The gate: when the command was started; both None when it was closed instead."""

    uptime: int | None
    wall_seconds: int | None
    boot: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The runner's word: the exit code and when."""

    code: int
    uptime: int
    disk_full: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """The one end, as the warden wrote it; `latest` is an upper bound of `uptime`."""

    why: str
    code: int | None
    uptime: int
    latest: int
    disk_full: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """What one probe found. None where a file is missing.

    Attributes:
        gone: the folder is not there; nothing else is known then.
        uptime: of the host, now.
        wall_seconds: the host's clock, now.
        wall_exact: whether that has fractions.
        boot: the id of the host's boot.
        version: of the agent's protocol that made the folder.
        ready: the digest of the code, once it is whole.
        start, ended, exit: see there.
        reason: why the job is being ended: `timeout` or `stopped`.
        runner_boot: the boot of the runner.
        runner_alive, warden_alive: by pid, start ticks and boot id.
        survivors: processes in `exit` that still live.
        beat: the newest beat.
        deadline: when it will be ended; None for never or not yet known.
        suspended: how long the host was suspended while it ran.
        cancelled: whether it was asked to end.
        owner: the highest epoch that was claimed and its nonce.
        collected: our digest of what came home.
        segments: the numbers of the run's segments.
        log_bytes: the length of the console.
        before: console bytes right before the offset.
        console: console bytes from the offset.
    """

    gone: bool = False
    uptime: int = 0
    wall_seconds: float = 0.0
    wall_exact: bool = False
    boot: str = ""
    version: int | None = None
    ready: str | None = None
    start: Start | None = None
    ended: Ended | None = None
    exit: Exit | None = None
    reason: str | None = None
    runner_boot: str | None = None
    runner_alive: bool = False
    warden_alive: bool = False
    survivors: tuple[int, ...] = ()
    beat: int | None = None
    deadline: int | None = None
    suspended: int = 0
    cancelled: bool = False
    owner: tuple[int, str] | None = None
    collected: str | None = None
    segments: tuple[int, ...] = ()
    log_bytes: int | None = None
    before: bytes = field(default=b"", repr=False)
    console: bytes = field(default=b"", repr=False)


def parse_probe(head: bytes, before: bytes = b"", console: bytes = b"") -> Probe:
    """Turn the lines of an answer into a probe.

    Raises:
        StageError: they make no sense.
    """
    try:
        if len(head) > HEAD_LIMIT_BYTES:
            raise ValueError
        return _Lines(head.decode("ascii")).probe(before, console)
    except (ValueError, IndexError, KeyError) as error:
        shown = head[:200].decode(errors="replace")
        raise StageError(f"the host's answer makes no sense: {shown!r}") from error


_NUMBER = re.compile(r"[0-9]{1,15}")
_WORD = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_REASONS = ("timeout", "stopped")
_WHYS = ("exit", "signal", "lost", *_REASONS)


class _Lines:
    """The lines `key words` of an answer; every value is checked as it is asked for."""

    def __init__(self, text: str) -> None:
        self.lines: dict[str, list[str]] = {}
        for line in text.splitlines():
            key, _, value = line.partition(" ")
            self.lines.setdefault(key, []).append(value)

    def words(self, key: str) -> list[str] | None:
        """Return the words of a key; None when it or they are missing."""
        found = self.lines.get(key, [""])
        if len(found) > 1:
            raise ValueError(key)
        return found[0].split() or None

    def number(self, key: str) -> int | None:
        words = self.words(key)
        return _number(words[0]) if words else None

    def word(self, key: str) -> str | None:
        words = self.words(key)
        return _word(words[0]) if words else None

    def probe(self, before: bytes, console: bytes) -> Probe:
        seconds, _, fraction = self.lines.get("wall", [""])[0].partition(".")
        start = self.start()
        ours = start and start.boot
        return Probe(
            uptime=_number(self.lines["uptime"][0]),
            wall_seconds=float(f"{_number(seconds)}.{fraction if fraction.isdigit() else 5}"),
            wall_exact=fraction.isdigit(),
            boot=self.word("boot") or "",
            version=self.number("version"),
            ready=self.word("ready"),
            start=start,
            ended=self.ended(),
            exit=self.exit(),
            reason=self.reason(),
            runner_boot=(start and start.boot) or self.runner_boot(),
            runner_alive=("starter_alive" if ours else "runner_alive") in self.lines,
            warden_alive="warden_alive" in self.lines,
            survivors=self.survivors(),
            beat=self.beat(),
            deadline=self.deadline(start),
            suspended=self.number("suspended") or 0,
            cancelled="cancel" in self.lines,
            owner=self.owner(),
            collected=self.word("collected"),
            segments=tuple(sorted(map(_number, self.lines.get("segment", [])))),
            log_bytes=self.number("log"),
            before=before,
            console=console,
        )

    def start(self) -> Start | None:
        words = self.words("start")
        if words is None:
            return None
        if words[0] == "-":
            return Start(None, None)
        return Start(_number(words[0]), _number(words[1]), _word(words[4]) if words[4:] else None)

    def runner_boot(self) -> str | None:
        words = self.words("runner")
        return _word(words[2]) if words else None

    def ended(self) -> Ended | None:
        words = self.words("ended")
        if words is None:
            return None
        return Ended(_code(words[0]), _number(words[1]), words[2:] == ["disk-full"])

    def exit(self) -> Exit | None:
        words = self.words("exit")
        if words is None:
            return None
        code = None if words[1] == "none" else _code(words[1])
        end = _number(words[2])
        latest = _number(words[5]) if words[5:] else end
        return Exit(_one_of(_WHYS, words[0]), code, end, latest, words[4:5] == ["disk-full"])

    def reason(self) -> str | None:
        word = self.word("reason")
        return word and _one_of(_REASONS, word)

    def survivors(self) -> tuple[int, ...]:
        return tuple(map(_number, self.lines.get("survivor", [])[:MOST_SURVIVORS]))

    def beat(self) -> int | None:
        beats = [self.words(key) for key in ("beat.a", "beat.b", "beat")]
        return max((_number(words[1]) for words in beats if words), default=None)

    def deadline(self, start: Start | None) -> int | None:
        """Return what the host goes by: the file, else the start and the specified timeout."""
        for key, base in (("deadline", 0), ("timeout", start.uptime if start else None)):
            word = self.word(key)
            if word == "never":
                return None
            if word and base is not None:
                return base + _number(word)
        return None

    def owner(self) -> tuple[int, str] | None:
        owners = [line.split() for line in self.lines.get("owner", [])]
        return max(((_number(epoch), _word(nonce)) for epoch, nonce in owners), default=None)


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _code(text: str) -> int:
    if (number := _number(text)) > 255:
        raise ValueError(text)
    return number


def _word(text: str) -> str:
    return _one_of([text] if _WORD.fullmatch(text) else [], text)


def _one_of(allowed: list[str] | tuple[str, ...], text: str) -> str:
    if text not in allowed:
        raise ValueError(text)
    return text
