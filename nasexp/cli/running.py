"""The command `run`: the whole pipeline."""

from __future__ import annotations

from typing import Annotated

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command


@command
def run(
    context: CommandContext,
    project: Annotated[str, Arg("the project to train; else `project:` of nasexp.yaml")] = "",
    host: Annotated[str, Arg("the host to train on, as `host:`")] = "",
    timeout: Annotated[str, Arg("how long the training may take, as 2h30m")] = "",
    backup_every: Annotated[str, Arg("how often the output comes home, as 10m")] = "",
    profile: Annotated[str, Arg("a named set of settings under `profiles:`")] = "",
    set_: Annotated[list[str], Arg("any setting, as params.lr=0.1; may be repeated")] = (),  # type: ignore[assignment] # never changed
    foreground: Annotated[
        bool, Arg("drive the run in this very process, for cron; Ctrl-C stops the training")
    ] = False,
    dry_run: Annotated[bool, Arg("say all that would be done and change nothing")] = False,
) -> int:
    """Take a project through all seven stages.

    connect, archive, transfer, train, backup, collect, shutdown. A driver in the background owns
    the run; this terminal only follows it. Ctrl-C, or a terminal that goes away, leaves the run
    alone: `attach` follows it again, `stop` stops it.
    """
    from nasexp.cli import driving  # noqa: PLC0415 - `--list` should not pay for the pipeline

    request = driving.Request(project, host, timeout, backup_every, profile, tuple(set_))
    if dry_run:
        return int(driving.plan(context, request))
    return driving.train(context, request) if foreground else driving.start(context, request)
