"""THE CONTRACT: every hook, in pipeline order.

There are three kinds. A *provider* answers for a stage: the first plugin that does not return
None wins, the last registered is asked first (project before workspace before installed before
core). An *each* hook asks every plugin by itself: one that fails never silences the others. An
*observer* is told what happened; its errors are logged and the run goes on.

A plugin implements a hook by a function of the same name, marked with `@nasexp.hookimpl`, with
any of the arguments. Every provider has *ensure* semantics: called again after a crash it adopts
what it finds and returns the same value. Nobody changes an argument. To run around a stage, use
`@hookimpl(wrapper=True)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pluggy import HookspecMarker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nasexp.config.settings import ConfigSection
    from nasexp.connections.protocol import Connection
    from nasexp.runs.record import Record
    from nasexp.values import (
        Archive,
        Collected,
        Ending,
        Environment,
        Job,
        Outcome,
        PowerDecision,
        Run,
        Snapshot,
        Stage,
        Workdir,
    )

hookspec = HookspecMarker("nasexp")


# Before the pipeline: what plugins add to the tool.


@hookspec
def nasexp_config_section() -> ConfigSection | Sequence[ConfigSection]:
    """Give the configuration sections that this plugin owns.

    Kind: each. When: once per command, before the configuration is checked.
    Returns: a `ConfigSection`, or several. Errors: the command ends with exit code 3.
    A project's plugin.py: its sections are allowed in that project's project.yaml and profiles.
    """
    raise AssertionError


@hookspec
def nasexp_tasks() -> Sequence[Callable[..., None]]:
    """Give commands that this plugin adds to `invoke` and `nasexp`.

    Kind: each. When: the command line is built. Returns: plain typed functions, as in
    `nasexp/cli/`. Errors: the plugin's commands are missing, a line on stderr says why.
    A project's plugin.py: never asked, the command line is read before `--project` is.
    """
    raise AssertionError


# The pipeline, in order.


@hookspec(firstresult=True)
def nasexp_connect(run: Run) -> Connection | None:
    """Open a connection to the run's host.

    Kind: provider. When: first stage, and again after a lost link. Arguments: the run; its host
    is `run.settings.host`. Returns: a `Connection`, or None when this host is not yours.
    Errors: StageError or ConnectionLost; then nothing else happens but shutdown.
    A project's plugin.py: asked first, for its own runs.
    """


@hookspec(firstresult=True)
def nasexp_archive(run: Run) -> Archive | None:
    """Pack the project's `bin/` into the run's folder.

    Kind: provider. When: second stage. Returns: the `Archive`; a whole one that is already
    there is adopted. Errors: StageError; the host is shut down and nothing was started.
    A project's plugin.py: may leave out, add or make code before it is packed.
    """


@hookspec(firstresult=True)
def nasexp_transfer(run: Run, connection: Connection, archive: Archive) -> Workdir | None:
    """Bring the code to the host.

    Kind: provider. When: third stage. Returns: the `Workdir`; a ready one is adopted.
    Errors: StageError, ConnectionLost; the host is shut down and nothing was started.
    A project's plugin.py: may wrap it to bring data too.
    """


@hookspec(firstresult=True)
def nasexp_environment(run: Run, connection: Connection, workdir: Workdir) -> Environment | None:
    """Prepare what the command needs on the host, and tell how to use it.

    Kind: provider. When: before the training starts; the time is not billed. Returns: an
    `Environment`, or None when the settings name none of yours. Errors: StageError with the end
    of what the installer said; nothing was started.
    A project's plugin.py: for an environment that only this project has.
    """


@hookspec(firstresult=True)
def nasexp_train(
    run: Run, connection: Connection, workdir: Workdir, environment: Environment
) -> Job | None:
    """Start the training, at most once, or find the one that was started.

    Kind: provider. When: fourth stage; it returns as soon as the host has the job, the pipeline
    follows it. Returns: a `Job`. Errors: StageError, ConnectionLost: the host decides whether
    it runs. A project's plugin.py: may wrap the launch; to run around the training itself use
    `nasexp_training_started` and `nasexp_training_ended`.
    """


@hookspec
def nasexp_training_started(run: Run, job: Job) -> None:
    """Learn that the training runs on the host.

    Kind: observer. When: the host has confirmed the start; once per run. Errors: logged.
    A project's plugin.py: told for its own runs.
    """


@hookspec(firstresult=True)
def nasexp_backup(run: Run, connection: Connection, job: Job) -> Snapshot | None:
    """Copy home what the training has written so far.

    Kind: provider. When: each `backup.every` while it trains, and once after it ended, however
    it ended. Returns: a `Snapshot`. Errors: the run goes on with a warning, the next pass makes
    it good. A project's plugin.py: may wrap it, to prune on the host for instance.
    """


@hookspec
def nasexp_training_ended(run: Run, job: Job, ending: Ending) -> None:
    """Learn that the training has ended, and how.

    Kind: observer. When: the host has told the end; before the last backup. Errors: logged.
    A project's plugin.py: told for its own runs.
    """


@hookspec(firstresult=True)
def nasexp_collect(run: Run, connection: Connection, job: Job) -> Collected | None:
    """Bring the rest home and check it.

    Kind: provider. When: after the last backup, also when the training failed. Returns: a
    `Collected`. Errors: StageError; what is on the host stays there.
    A project's plugin.py: may wrap it, to convert results for instance.
    """


@hookspec
def nasexp_run_columns(run: Run, collected: Collected) -> Mapping[str, object]:
    """Give facts of a finished run that listings show as columns, such as its accuracy.

    Kind: each. When: after collect; kept in run.info, so later listings ask nobody. Returns:
    names and values; a value is shown as `str` gives it. Errors: a warning names the plugin.
    A project's plugin.py: the natural place, it knows the project's files.
    """
    raise AssertionError


@hookspec(firstresult=True)
def nasexp_shutdown(run: Run, connection: Connection | None) -> PowerDecision | None:
    """Clean up on the host and decide about its power.

    Kind: provider. When: last stage, always, even when nothing could be connected. Arguments:
    `connection` is None when there is none. Returns: a `PowerDecision`. Errors: exit code 5, a
    machine may still be on. A project's plugin.py: may keep a host on for its runs.
    """


# Around the pipeline.


@hookspec
def nasexp_stage_started(run: Run, stage: Stage) -> None:
    """Learn that a stage begins.

    Kind: observer. When: before each stage; `backup` begins at each pass. Errors: logged.
    A project's plugin.py: told for its own runs.
    """


@hookspec
def nasexp_stage_finished(run: Run, stage: Stage, outcome: Outcome) -> None:
    """Learn how a stage went.

    Kind: observer. When: after each stage, failed or not. Errors: logged.
    A project's plugin.py: told for its own runs.
    """


@hookspec
def nasexp_run_finished(run: Run, record: Record) -> None:
    """Learn how the run ended.

    Kind: observer. When: last of all, the record is on disk. Errors: logged.
    A project's plugin.py: told for its own runs.
    """
