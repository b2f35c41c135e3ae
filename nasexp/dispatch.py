"""Typed calls of the hooks; nobody else touches pluggy's relay.

An answer of the wrong type and an error inside a plugin are told with the plugin's name and its
own file and line.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nasexp.config.settings import ConfigSection
from nasexp.connections.protocol import Connection
from nasexp.errors import NasexpError, PluginError
from nasexp.values import (
    Archive,
    Collected,
    Environment,
    Job,
    PowerDecision,
    Snapshot,
    Workdir,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pluggy import HookCaller, HookImpl, PluginManager

    from nasexp.runs.record import Record
    from nasexp.values import Ending, Outcome, Run, Stage

T = TypeVar("T")
CORE_PREFIX = "core:"


@dataclass(frozen=True, slots=True)
class PluginAnswer(Generic[T]):
    """What one plugin answered to an *each* hook: a value, or the error it failed with."""

    plugin: str
    value: T | None = None
    error: PluginError | None = None


class Hooks:
    """One typed method for each hook, in pipeline order."""

    def __init__(self, manager: PluginManager) -> None:
        self.manager = manager

    def config_sections(self) -> list[ConfigSection]:
        """Return every plugin's sections. Raises PluginError."""
        found = []
        for answer in self.each("nasexp_config_section", (ConfigSection, Sequence)):
            if answer.error:
                raise answer.error
            value: Any = answer.value
            sections = [value] if isinstance(value, ConfigSection) else list(value)
            _expect_all(sections, ConfigSection, answer.plugin, "nasexp_config_section")
            found += sections
        return found

    def tasks(self) -> Iterator[PluginAnswer[Sequence[Callable[..., None]]]]:
        """Yield the commands of each plugin, or why it has none."""
        return self.each("nasexp_tasks", Sequence)

    def connect(self, run: Run) -> Connection:
        """Open a connection to the run's host."""
        return self.one("nasexp_connect", Connection, run=run)

    def archive(self, run: Run) -> Archive:
        """Pack the project's code."""
        return self.one("nasexp_archive", Archive, run=run)

    def transfer(self, run: Run, connection: Connection, archive: Archive) -> Workdir:
        """Bring the code to the host."""
        return self.one("nasexp_transfer", Workdir, run=run, connection=connection, archive=archive)

    def environment(self, run: Run, connection: Connection, workdir: Workdir) -> Environment:
        """Prepare the environment on the host."""
        return self.one(
            "nasexp_environment", Environment, run=run, connection=connection, workdir=workdir
        )

    def train(
        self, run: Run, connection: Connection, workdir: Workdir, environment: Environment
    ) -> Job:
        """Start the training, or find it."""
        return self.one(
            "nasexp_train",
            Job,
            run=run,
            connection=connection,
            workdir=workdir,
            environment=environment,
        )

    def training_started(self, run: Run, job: Job) -> None:
        """Tell that the training runs."""
        self.tell("nasexp_training_started", run=run, job=job)

    def backup(self, run: Run, connection: Connection, job: Job) -> Snapshot:
        """Copy home what there is."""
        return self.one("nasexp_backup", Snapshot, run=run, connection=connection, job=job)

    def training_ended(self, run: Run, job: Job, ending: Ending) -> None:
        """Tell how the training ended."""
        self.tell("nasexp_training_ended", run=run, job=job, ending=ending)

    def collect(self, run: Run, connection: Connection, job: Job) -> Collected:
        """Bring the rest home."""
        return self.one("nasexp_collect", Collected, run=run, connection=connection, job=job)

    def run_columns(
        self, run: Run, collected: Collected
    ) -> Iterator[PluginAnswer[Mapping[str, object]]]:
        """Yield each plugin's columns."""
        return self.each("nasexp_run_columns", Mapping, run=run, collected=collected)

    def shutdown(self, run: Run, connection: Connection | None) -> PowerDecision:
        """Clean up and decide about the power."""
        return self.one("nasexp_shutdown", PowerDecision, run=run, connection=connection)

    def stage_started(self, run: Run, stage: Stage) -> None:
        """Tell that a stage begins."""
        self.tell("nasexp_stage_started", run=run, stage=stage)

    def stage_finished(self, run: Run, stage: Stage, outcome: Outcome) -> None:
        """Tell how a stage went."""
        self.tell("nasexp_stage_finished", run=run, stage=stage, outcome=outcome)

    def run_finished(self, run: Run, record: Record) -> None:
        """Tell how the run ended."""
        self.tell("nasexp_run_finished", run=run, record=record)

    def one(self, hook: str, kind: type[T], **arguments: Any) -> T:
        """Call a provider. Raises PluginError when nobody or somebody wrong answers."""
        caller = self._caller(hook)
        try:
            value = caller(**arguments)
        except NasexpError:
            raise
        except (Exception, SystemExit) as error:
            blamed = blame(caller, error)
            if blamed is None:
                raise
            raise blamed from error
        if value is None:
            raise PluginError(f"no plugin answers {hook} for this run")
        if not isinstance(value, kind):
            raise PluginError(
                f"{_suspects(caller)} returned {type(value).__name__} from {hook}, "
                f"expected {_kind_name(kind)}"
            )
        return value

    def each(self, hook: str, kind: Any, **arguments: Any) -> Iterator[PluginAnswer[Any]]:
        """Ask every plugin by itself, in call order; None is no answer."""
        caller = self._caller(hook)
        for implementation in reversed(caller.get_hookimpls()):
            answer = self._ask(caller, implementation, kind, arguments)
            if answer.error or answer.value is not None:
                yield answer

    def tell(self, hook: str, **arguments: Any) -> None:
        """Tell every observer; what goes wrong there is said and the run goes on."""
        for answer in self.each(hook, object, **arguments):
            if answer.error:
                arguments["run"].monitor.warn(answer.error.message)

    def _ask(
        self, caller: HookCaller, implementation: HookImpl, kind: Any, arguments: dict[str, Any]
    ) -> PluginAnswer[Any]:
        others = [i.plugin for i in caller.get_hookimpls() if i is not implementation]
        alone = self.manager.subset_hook_caller(caller.name, others)
        name = implementation.plugin_name
        try:
            values = alone(**arguments)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what a plugin does stays its own
            return PluginAnswer(name, error=_plugin_error(name, error, implementation))
        value = values[0] if values else None
        if value is not None and not isinstance(value, kind):
            message = f"plugin '{name}' returned {type(value).__name__} from {caller.name}, "
            return PluginAnswer(name, error=PluginError(message + f"expected {_kind_name(kind)}"))
        return PluginAnswer(name, value)

    def _caller(self, hook: str) -> HookCaller:
        caller: HookCaller = getattr(self.manager.hook, hook)
        return caller


def blame(caller: HookCaller, error: BaseException) -> PluginError | None:
    """Return the error told as the plugin's in whose code it came up; None when it is the core's.

    The innermost frame that belongs to an implementation's file decides.
    """
    files = {_file(implementation): implementation for implementation in caller.get_hookimpls()}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        implementation = files.get(frame.filename)
        if implementation and not implementation.plugin_name.startswith(CORE_PREFIX):
            return _plugin_error(implementation.plugin_name, error, implementation)
    return None


def _plugin_error(name: str, error: BaseException, implementation: HookImpl) -> PluginError:
    file = _file(implementation)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    place = f" at {file}:{frames[-1].lineno}" if frames else ""
    detail = error.message if isinstance(error, NasexpError) else f"{type(error).__name__}: {error}"
    return PluginError(
        f"plugin '{name}' failed in {implementation.function.__name__}{place}: {detail}"
    )


def _file(implementation: HookImpl) -> str:
    return str(getattr(implementation.function, "__code__", _NO_CODE).co_filename)


class _NO_CODE:  # noqa: N801 - stands for a code object
    co_filename = ""


def _suspects(caller: HookCaller) -> str:
    # pluggy does not say who answered; only plugins beyond the core can be wrong.
    names = [i.plugin_name for i in reversed(caller.get_hookimpls())]
    own = [name for name in names if not name.startswith(CORE_PREFIX)] or names
    files = {i.plugin_name: _file(i) for i in caller.get_hookimpls()}
    return " or ".join(f"plugin '{name}' ({files[name]})" for name in own)


def _expect_all(items: Sequence[Any], kind: type, plugin: str, hook: str) -> None:
    for item in items:
        if not isinstance(item, kind):
            found = type(item).__name__
            raise PluginError(
                f"plugin '{plugin}' returned {found} from {hook}, expected {_kind_name(kind)}"
            )


def _kind_name(kind: Any) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(item.__name__ for item in kinds)
