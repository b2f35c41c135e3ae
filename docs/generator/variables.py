"""variables.md: environment variables, those that a job gets and those that are read."""

from __future__ import annotations

from docs.generator.markdown import code, page, table

JOB = {
    "NASEXP_RUN": "The run's address, as `example_proj/run_3`.",
    "NASEXP_RUN_ID": "The run's identity, 32 hex digits; its processes are known by it. "
    "Leave it as it is.",
    "NASEXP_SEED": "`seed:`, where it is set.",
    "NASEXP_PARAM_LR": "The parameter `lr`; one such variable for each of `params:`, its name in "
    "capitals. Numbers as JSON writes them, `true` or `false`, texts as they are.",
    "PYTHONHASHSEED": "`seed:`, where it is set: sets of texts are then walked in one order.",
    "PYTHONUNBUFFERED": "`1`: what Python prints is in the log at once.",
    "VIRTUAL_ENV": "The environment's folder, where `environment: {venv: …}` is set; its `bin/` "
    "is the first of `PATH`.",
}

READ = {
    "NASEXP_WORKSPACE": "The workspace to use; `--workspace DIR` is stronger, the folder that you "
    "are in is weaker.",
    "NASEXP__BACKUP__EVERY": "The setting `backup.every`; likewise for every other setting, see "
    "[Settings](settings.md).",
    "NASEXP_DISABLE_PLUGIN_AUTOLOAD": "Set to anything, installed plugins are loaded only where "
    "`plugins:` names them.",
    "NO_COLOR": "Set to anything, there are no colours and no live view.",
    "TERM": "`dumb`, or none at all, means plain lines.",
}

INV = {
    "NASEXP_INV": "Set by it: the path that it tells you to call it by.",
    "NASEXP_PYTHON": "The Python to make the environment from, 3.11 or newer.",
    "NASEXP_VENV": "Another folder to make the environment in.",
}

PLACES = """\
A parameter reaches the training in three ways: as its variable, as a member of `params.json` in
the current folder, and in place of `{lr}` in `run:`, quoted for the shell.

Each entry of `secrets:` is a variable too, of the very name that it has there; see
[Give the training a secret](../how-to/secrets.md).

The training runs in the folder that holds the contents of `bin/`, by `/bin/sh`, with stdin empty.
On `local` it gets the rest of the environment that `nasexp` was started with, less every
`NASEXP_…` variable and nasexp's own virtual environment."""


def page_text() -> str:
    """Return the page."""
    return page(
        "Variables",
        "## What a training gets",
        _rows(JOB),
        PLACES,
        "## What nasexp reads",
        _rows(READ),
        "## What `./inv` reads besides",
        _rows(INV),
    )


def _rows(texts: dict[str, str]) -> str:
    return table(["variable", "meaning"], [[code(name), text] for name, text in texts.items()])
