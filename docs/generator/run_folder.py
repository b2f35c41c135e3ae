"""run-folder.md: the files of a run, the keys of run.info, the events of its journal."""

from __future__ import annotations

from pathlib import Path

from docs.generator.markdown import code, first_sentence, page, table
from nasexp.runs.paths import RunPaths

PASSING = {"incoming", "copied", "driver", "driver_log", "progress", "requests"}
"""What is there only while a run is driven."""

INTRO = """\
`projects/NAME/results/run_N/` holds all that went into a run and all that came out. N begins at 0
and is never used twice, not even after you deleted a folder; gaps are harmless.

The journal is the truth about a run; run.info is made from it."""

INFO = {
    "start_time": "start of the training, as `date` prints it",
    "start_epoch": "the same in seconds since 1970",
    "end_time": "its end, as `date` prints it",
    "end_epoch": "the same in seconds since 1970",
    "run": "address",
    "id": "identity, 32 hex digits",
    "status": "`running`, `ok`, `failed` or `stopped`",
    "ending": "how the training ended, as `exit code 0` or `ran into its timeout`",
    "exit_code": "of the training",
    "seconds": "how long the training took, by the host's uptime: what is billed",
    "host": "where it was trained",
    "client": "who pays",
    "rate": "price of an hour",
    "warnings": "number of warnings",
    "error": "the run's error in one line",
    "column.NAME": "what a plugin gave as the column NAME",
}

EVENTS = {
    "run.created": (
        (
            "id, run, command, machine, nonce, host, training, timeout, timeout_seconds, "
            "backup_every_seconds"
        ),
        "the run has its number and identity; command is what a person typed, less secrets",
    ),
    "stage.started": ("stage", "a stage begins; `backup` at each pass"),
    "stage.finished": (
        "stage, seconds, error",
        "a stage is over; error is empty when it went well",
    ),
    "power_off.cancelled": (
        "when, ok",
        "the host was going to switch off; ok when it no longer is",
    ),
    "archive.packed": (
        "sha256, size_bytes, packed_bytes, left_out",
        "the code is packed; digest and size of the tar stream, and what stayed out",
    ),
    "environment.ready": ("name", "what makes the command runnable is there"),
    "training.started": (
        "at, clock_ahead_seconds, clock_error_seconds",
        "the host has started the job, at this time here; how far its clock is ahead of ours",
    ),
    "transfer.done": ("path", "the code lies ready on the host, in that folder"),
    "training.intent": ("", "from here on the training may have started; only the host can tell"),
    "run.resumed": ("machine, by, epoch, nonce", "another driver drives it on"),
    "training.seen": (
        "alive_seconds",
        "the training lives; so long it has run at least, should its host be lost",
    ),
    "console.gap": (
        "offset, host_offset, host_bytes",
        "the console on the host was cut or replaced: where in log.log, and where there it goes on",
    ),
    "backup.made": (
        "files, size_bytes, new_bytes, unstable",
        "a pass is done; unstable names what was being written and keeps its last whole copy",
    ),
    "link.lost": (
        "error, alive_seconds",
        "the host does not answer; that says nothing of the job, which had run so long at least",
    ),
    "link.back": (
        "clock_ahead_seconds, clock_error_seconds",
        "the host answers again; how far its clock is ahead of ours",
    ),
    "stop.asked": ("by, now", "a person wants the training to end; `now`: without time for it"),
    "timeout.extended": ("by, seconds, left", "a person moved the timeout; left: of it, then"),
    "request.met": ("id, wish, by", "what a person asked of the driver was done"),
    "request.refused": ("id, wish, by, why", "what a person asked was not done, and why"),
    "run.closed": ("by, why, end", "a person ended the run, as its host never came back"),
    "training.ended": (
        "why, told, exit_code, seconds, latest_seconds, cause, survivors, log_complete, log_digest",
        (
            "the job's one end; why is `exit`, `signal`, `timeout`, `stopped`, `lost` or `reboot`; "
            "latest_seconds bounds a length that nobody saw; log_digest is the sha256 of log.log"
        ),
    ),
    "collect.done": ("files, size_bytes", "all is home and was compared"),
    "note": ("text", "a person was told this"),
    "warning": ("text", "a person was warned of this"),
    "run.finished": ("status, error, columns, code, power", "the run's one end"),
}

INFO_INTRO = """\
## run.info

One `key|value` in a line; a key that has no value has no line. The first four are those of the
old scripts, in their form. A folder that holds only those four is a run too: `runs`, `show` and
`report` read it."""

EVENTS_INTRO = """\
## events.jsonl

One JSON object in a line, only ever appended, on the disk before anything acts on it. Each line
has `event` and `time`; last come `prev`, the sha256 of the line before, so that an edit shows,
and `crc`, so that a torn line shows. Between them stand the facts."""


def page_text() -> str:
    """Return the page."""
    return page(
        "A run's folder",
        INTRO,
        table(["name", "holds"], _files(passing=False)),
        "While the run is driven there are also:",
        table(["name", "holds"], _files(passing=True)),
        "`results/.next` is the number that the next run gets.",
        "To check a folder without nasexp: `sha256sum -c manifest.sha256` in it.",
        INFO_INTRO,
        table(["key", "value"], [[code(key), text] for key, text in INFO.items()]),
        EVENTS_INTRO,
        table(["event", "facts", "says"], [[code(n), f, t] for n, (f, t) in EVENTS.items()]),
    )


def _files(*, passing: bool) -> list[list[str]]:
    rows = []
    for name, member in vars(RunPaths).items():
        if isinstance(member, property) and (name in PASSING) == passing:
            path = getattr(RunPaths(Path("run")), name)
            rows.append([code(path.name + "/" * (name in FOLDERS)), first_sentence(member.fget)])
    return rows


FOLDERS = {"output", "incoming", "requests"}
