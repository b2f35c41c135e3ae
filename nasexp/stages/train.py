"""train: starts the training on the host, once. Takes workdir and environment, gives a Job."""

from __future__ import annotations

import json
import math
import re
import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nasexp import hookimpl
from nasexp.config.schema import Schema
from nasexp.config.secret import read_secret
from nasexp.config.settings import ConfigSection, Scalar
from nasexp.config.units import FiniteDuration
from nasexp.errors import StageError
from nasexp.host.claims import claim_for
from nasexp.host.probe import probe
from nasexp.host.programs import (
    PROTOCOL_VERSION,
    install_agent,
    launch,
    put_secrets,
    put_texts,
)
from nasexp.launchers.agent import AgentJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nasexp.config.settings import SecretSource
    from nasexp.connections.protocol import Connection
    from nasexp.values import Environment, Job, Run, Workdir

_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][A-Za-z0-9_]*)\}")

# The first word of `run:` needs no execute bit: SMB drops it on the way to the NAS.
_PREPARE = """
cd "$1/work" || exit 9
[ ! -f "$2" ] || chmod u+x "$2" || exit 8
mkdir -p ../segments/1
"""


class TrainSettings(Schema, frozen=True):
    """The section `train`."""

    grace: FiniteDuration = FiniteDuration.parse("10s")
    """How long the training may take to end after TERM, before KILL."""


@hookimpl
def nasexp_config_section() -> ConfigSection:
    """Own `train`."""
    return ConfigSection("train", TrainSettings)


@hookimpl(trylast=True)
def nasexp_train(
    run: Run, connection: Connection, workdir: Workdir, environment: Environment
) -> Job:
    """Write what the agent needs, then have it start the job; it starts no second one."""
    home = workdir.path.rpartition("/runs/")[0]
    agent = install_agent(connection, home)
    ours = claim_for(connection, run, workdir.path)
    job = AgentJob(connection, workdir, agent, ours, **_known_of(run))
    found = probe(connection, workdir.path)
    if found.start or found.exit:
        return job
    command = run.settings.core.run
    answer = connection.run(_PREPARE, workdir.path, first_word(command))
    if answer.status:
        raise StageError(f"host '{connection.name}' lost the code: {answer.complaint()}")
    params = json.dumps(run.settings.core.params, indent=2) + "\n"
    texts = {"work/params.json": params, "command": command_file(run, environment)}
    put_texts(connection, workdir.path, {**texts, "spec": _spec(run)}, ours)
    if sources := run.settings.core.secrets:
        put_secrets(connection, workdir.path, _read_secrets(sources), ours)
    launch(connection, agent, workdir.path, ours)
    return job


def _read_secrets(sources: Mapping[str, SecretSource]) -> dict[str, str]:
    return {name: read_secret(source, f"secrets.{name}") for name, source in sources.items()}


def _known_of(run: Run) -> dict[str, Any]:
    """Return what an earlier driver of this run journalled of its job."""
    started = run.journal.last("training.started")
    seen = [run.journal.last(event) or {} for event in ("training.seen", "link.lost")]
    return {
        "started": datetime.fromisoformat(started["at"]) if started else None,
        "alive_seconds": max(facts.get("alive_seconds") or 0.0 for facts in seen),
    }


def first_word(command: str) -> str:
    """Return the program of a command line; empty when it cannot be told."""
    try:
        return next(iter(shlex.split(command)), "")
    except ValueError:
        return ""


def fill_in(command: str, params: Mapping[str, Scalar]) -> str:
    """Put the parameters into `{name}` of a command line, quoted; other braces are the shell's."""

    def value(match: re.Match[str]) -> str:
        return shlex.quote(as_text(params[match[1]])) if match[1] in params else match[0]

    return _PLACEHOLDER.sub(value, command)


def placeholders(command: str) -> list[str]:
    """Return the names that stand in braces in a command line."""
    return _PLACEHOLDER.findall(command)


def as_text(value: Scalar) -> str:
    """Write a parameter for a variable or a command line: `true`, `0.001`, `12`, text as it is."""
    return value if isinstance(value, str) else json.dumps(value)


def command_file(run: Run, environment: Environment) -> str:
    """Return the sh text that the runner executes in `work/`."""
    lines = [f"# {run.address}", *_exports(run, environment)]
    if environment.path:
        folders = ":".join(shlex.quote(folder) for folder in environment.path)
        lines.append(f'PATH={folders}:"$PATH"; export PATH')
    if environment.setup:
        lines.append(environment.setup)
    return "\n".join([*lines, fill_in(run.settings.core.run, run.settings.core.params), ""])


def _exports(run: Run, environment: Environment) -> Iterator[str]:
    for name, value in {**_variables(run), **environment.variables}.items():
        yield f"{name}={shlex.quote(value)}; export {name}"


def _variables(run: Run) -> dict[str, str]:
    core = run.settings.core
    variables = {"NASEXP_RUN": run.address, "PYTHONUNBUFFERED": "1"}
    if core.seed is not None:
        variables |= {"NASEXP_SEED": str(core.seed), "PYTHONHASHSEED": str(core.seed)}
    for name, value in core.params.items():
        variables[f"NASEXP_PARAM_{name.upper()}"] = as_text(value)
    return variables


def _spec(run: Run) -> str:
    timeout = run.settings.core.timeout.seconds
    limit = "never" if math.isinf(timeout) else str(round(timeout * 100))
    grace = round(run.settings.section("train", TrainSettings).grace.seconds)
    pairs = {"version": PROTOCOL_VERSION, "id": run.id, "timeout": limit, "grace": grace}
    return "".join(f"{key}={value}\n" for key, value in pairs.items())
