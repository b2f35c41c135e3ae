"""exit-codes.md: what the exit code of a command says."""

from __future__ import annotations

import inspect
from itertools import combinations

from docs.generator.markdown import code, first_sentence, page, table
from nasexp import errors
from nasexp.errors import EXIT_CODE_MEANINGS, ExitCode, NasexpError

INTRO = """\
Every command ends with one of these, under `nasexp` and `invoke` alike. An error is told on
stderr in one line, with a line that says what to do and one that says where the log is, where
there are such."""

BUG = """\
A Python traceback is never the answer to something that you did: it is a fault in nasexp.
In a run it is shown only after the last backup, collect and shutdown."""


def page_text() -> str:
    """Return the page."""
    rows = [[code(int(kind)), EXIT_CODE_MEANINGS[kind]] for kind in ExitCode]
    order = " > ".join(str(int(kind)) for kind in worst_first())
    return page(
        "Exit codes",
        INTRO,
        table(["code", "says"], rows),
        f"Where several hold for one run, the first of these is told: {order}.",
        "## Errors\n\nWhat a plugin may raise (`from nasexp.errors import StageError`):",
        table(["error", "code", "means"], _errors()),
        BUG,
    )


def worst_first() -> list[ExitCode]:
    """Return the codes in the order in which they win over each other."""
    beaten = dict.fromkeys(ExitCode, 0)
    for pair in combinations(ExitCode, 2):
        beaten[ExitCode.worst(pair)] += 1
    kinds = [kind for kind in ExitCode if kind is not ExitCode.OK]
    return sorted(kinds, key=lambda kind: -beaten[kind])


def _errors() -> list[list[str]]:
    kinds = [
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, NasexpError)
    ]
    return [[code(k.__name__), code(int(k.exit_code)), first_sentence(k)] for k in kinds]
