"""hooks.md: every hook with its signature, from the contract itself."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from docs.generator.markdown import code, doc_of, fence, first_sentence, page, table
from nasexp import hookspecs, values
from nasexp.connections.protocol import Answer, Connection
from nasexp.runs.record import Record

PARTS = ("Kind", "When", "Arguments", "Returns", "Errors", "A project's plugin.py")
_PART = re.compile(rf"({'|'.join(map(re.escape, PARTS))}): ")
PASSED_ON = (
    values.Run, Connection, Answer, values.Archive, values.Workdir, values.Environment, values.Job,
    values.Observation, values.Ending, values.Snapshot, values.Collected, values.PowerDecision,
    values.Outcome, values.Recorder, values.Monitor, Record,
)  # fmt: skip

INTRO = """\
A plugin implements a hook by a function of the same name, marked with `@hookimpl`
(`from nasexp import hookimpl`), that takes any of the arguments, by their names. How to write
one: [Write a plugin](../how-to/write-a-plugin.md).

There are three kinds.

- A **provider** answers for a stage: the first plugin that does not return `None` wins. The
  project's `plugin.py` is asked first, then the workspace's plugins, the installed ones, the core.
  Called again it adopts what it finds and returns the same value.
- An **each** hook asks every plugin by itself; one that fails never silences the others.
- An **observer** is told what happened; its errors become warnings and the run goes on.

Values are frozen: nobody changes an argument. To run around a stage, use
`@hookimpl(wrapper=True)`."""


def hooks() -> dict[str, Any]:
    """Return every hook of the contract, in its order."""
    return {name: spec for name, spec in vars(hookspecs).items() if name.startswith("nasexp_")}


def page_text() -> str:
    """Return the page."""
    rows = [
        [f"[`{name}`](#{name})", _parts(spec)["Kind"].rstrip("."), first_sentence(spec)]
        for name, spec in hooks().items()
    ]
    return page(
        "Hooks",
        INTRO,
        table(["hook", "kind", "asked to"], rows),
        *[_section(name, spec) for name, spec in hooks().items()],
        "## Values\n\nWhat hooks get and give; all of it is frozen.",
        *[_value(kind) for kind in PASSED_ON],
    )


def signature(name: str, spec: Any) -> str:
    """Return a hook's signature, one argument in a line when it is long."""
    line = f"def {name}{inspect.signature(spec)}".replace("'", "")
    if len(line) <= 88:
        return line
    head, _, rest = line.partition("(")
    arguments, _, answer = rest.rpartition(")")
    return f"{head}(\n    " + arguments.replace(", ", ",\n    ") + f",\n){answer}"


def _section(name: str, spec: Any) -> str:
    lines = [f"- **{part}:** {text}" for part, text in _parts(spec).items()]
    return "\n\n".join(
        [f"## {name}", first_sentence(spec), fence(signature(name, spec), "text"), "\n".join(lines)]
    )


def _parts(spec: Any) -> dict[str, str]:
    pieces = _PART.split(doc_of(spec))
    return {name: text.strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def _value(kind: type) -> str:
    module = f"`from {kind.__module__} import {kind.__name__}`"
    members = _fields(kind) if dataclasses.is_dataclass(kind) else []
    rows = table(["has", "what"], [*members, *_members(kind)])
    return f"### {kind.__name__}\n\n{first_sentence(kind)} {module}\n\n{rows}"


def _fields(kind: Any) -> list[list[str]]:
    fields = dataclasses.fields(kind)
    return [[code(field.name), code(field.type)] for field in fields]


def _members(kind: type) -> list[list[str]]:
    found = []
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            found.append([code(name), first_sentence(member.fget)])
        elif inspect.isfunction(member):
            words = [word for word in inspect.signature(member).parameters if word != "self"]
            found.append([code(f"{name}({', '.join(words)})"), first_sentence(member)])
    return found
