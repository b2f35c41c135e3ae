"""json.md: the keys of every document that `--json` prints.

The texts stand here; tests hold them against what the commands really print.
"""

from __future__ import annotations

from docs.generator.markdown import code, page, table

RECORD = {
    "run": "address, as `example_proj/run_3`",
    "id": "identity, 32 hex digits; empty in results of the old scripts",
    "project": "name of the project",
    "client": "who pays; empty for nobody",
    "host": "where it was trained",
    "status": "`running`, `interrupted` (its driver is gone), `ok`, `failed`, `stopped`; empty "
    "when run.info tells none",
    "ending": "how the training ended, as `exit code 0`; empty before that",
    "exit_code": "of the training; null when there is none",
    "started": "start of the training, ISO 8601 in UTC; null before it",
    "ended": "its end; null before it",
    "seconds": "how long the training took; null before its end",
    "rate": "price of an hour, as `45 EUR/h`; empty for none",
    "error": "the run's error in one line; empty when it is ok",
    "warnings": "number of warnings",
    "columns": 'object: the names and texts that plugins gave, as `{"accuracy": "0.9849"}`',
}

SHOW = RECORD | {
    "folder": "the run's folder, absolute",
    "stages": "list of `{stage, seconds, error}`, in the order in which they finished",
    "notes": "list of texts told on the way",
    "warning_texts": "list of texts",
    "archive": "`{sha256, size_bytes, left_out}` of the code: digest and size of the tar stream, "
    "and a list of what stayed out and why; null when nothing was packed",
    "files": "list of `{name, size_bytes}`, names relative to the folder",
}

STATUS = {
    "run": "address",
    "status": "`running`, or `interrupted` when its driver is gone",
    "stage": "the stage that it is in; `train` again after each backup pass",
    "host": "where it is trained",
    "elapsed_seconds": "since the start of the training; null before it",
    "timeout_left_seconds": "until the timeout; null before the start, and where there is none",
    "backup_age_seconds": "since the last backup; null before the first",
    "link_lost_since": "when the host was last heard of, while it cannot be reached; else null",
    "asked": "list of what people have asked of it and was not met yet: `stop`, `extend`, `close`",
}

CONFIG = {
    "key": "the setting, dotted: `backup.every`",
    "value": "its value; `***` when the key's name says that it is secret",
    "origin": "where it was set: `default`, file and line, `$VARIABLE`, or a flag",
}

REPORT = {
    "rows": "list of objects, see below",
    "totals": "list of `{currency, amount, hours, runs}`, one for each currency",
    "open_runs": "list of `{run, client, project, month, status, started}`: not billed yet",
    "notes": "list of texts: what is not billed, and why",
}

REPORT_ROWS = {
    "client": "who pays; empty for nobody",
    "project": "name of the project",
    "month": "as `2026-10`, in the zone of `timezone:`",
    "runs": "number of runs",
    "seconds": "their training time, exact to three decimals",
    "hours": "the same in hours, rounded half up to two decimals",
    "amount": 'a text such as `"135.00"`; null for runs without a rate',
    "currency": "as `EUR`; null for runs without a rate",
    "unpriced_runs": "number of runs without a rate",
}

CHECK = {
    "host": "name of the host that was looked at",
    "checks": "list of `{check, state, text, hint}` in the order of the looks: `state` is `ok`, "
    "`warning` or `fault`, `hint` what to do, empty when there is nothing to do",
}

HOSTS = {
    "host": "name",
    "address": "as nasexp.yaml has it; empty for this machine",
    "state": "`free`, `busy`, or `unreachable`, which is any reason not to be used now",
    "since": "the first time in a row that it was seen to answer, or not to",
    "trouble": "why it cannot be used; empty when it can",
    "uptime_seconds": "since it was switched on; null when it is unreachable or does not tell",
    "free_bytes": "room for runs in its `workdir`; null likewise",
    "live_runs": "number of trainings of nasexp that run there; null when it is unreachable",
    "gpus": "list of `{name, memory_used_mib, memory_total_mib, utilization_percent, driver}`",
}

DOCUMENTS = {
    "runs --json": ("A list with an object for each run, oldest first:", RECORD),
    "status --json": ("A list with an object for each live run:", STATUS),
    "show --json": ("One object: the keys of `runs --json`, and more:", SHOW),
    "report --json": ("One object:", REPORT),
    "check --json": ("One object; the exit code is 7 when a check found a fault:", CHECK),
    "hosts --json": ("A list with an object for each host, `local` first:", HOSTS),
    "config --json": ("A list with an object for each setting:", CONFIG),
}

INTRO = """\
`--json` prints one document on stdout; what concerns people goes to stderr. Times are ISO 8601 in
UTC, units stand in the names of keys. Keys are never renamed or dropped without a word in the
change log; new ones may come, so ignore what you do not know."""


def page_text() -> str:
    """Return the page."""
    parts = [INTRO]
    for title, (text, keys) in DOCUMENTS.items():
        parts.append(f"## {title}\n\n{text}\n\n{_rows(keys)}")
        if title.startswith("report"):
            parts.append(f"### Rows of a report\n\n{_rows(REPORT_ROWS)}")
    return page("JSON documents", *parts)


def _rows(keys: dict[str, str]) -> str:
    return table(["key", "value"], [[code(key), text] for key, text in keys.items()])
