"""Builds the plugin manager of one command: core < installed < workspace < project.

The last registered is asked first. Plugin files are loaded from their path under a name of their
own; nothing goes on `sys.path`, and there is no global manager, so two projects never meet.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pluggy

from nasexp import hookspecs
from nasexp.config.schema import nearest
from nasexp.dispatch import CORE_PREFIX, Hooks
from nasexp.errors import PluginError, UsageError
from nasexp.loader_scan import ENTRY_POINT_GROUP, any_installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.metadata import EntryPoint
    from pathlib import Path
    from types import ModuleType

    from nasexp.config.workspace import Project, Workspace

NO_AUTOLOAD = "NASEXP_DISABLE_PLUGIN_AUTOLOAD"
CORE_PLUGINS = (
    "nasexp.stages.connect",
    "nasexp.stages.archive",
    "nasexp.stages.transfer",
    "nasexp.environments.venv",
    "nasexp.environments.system",  # among `trylast`, the first registered is asked first
    "nasexp.stages.train",
    "nasexp.stages.backup",
    "nasexp.stages.collect",
    "nasexp.stages.shutdown",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `plugins:` asks for, in order: names to load, and names switched off by `no:`."""

    names: tuple[str, ...]
    blocked: frozenset[str]

    @classmethod
    def of(cls, written: Iterable[str]) -> Wanted:
        """Read the list as written; a later word about a name takes back an earlier one."""
        on: dict[str, bool] = {}
        for word in written:
            name = word.removeprefix("no:")
            on.pop(name, None)
            on[name] = not word.startswith("no:")
        return cls(
            tuple(name for name, wanted in on.items() if wanted),
            frozenset(name for name, wanted in on.items() if not wanted),
        )


def load_hooks(
    workspace: Workspace,
    project: Project | None,
    written: Iterable[str],
    extra: Sequence[object] = (),
) -> Hooks:
    """Return the hooks of one command.

    Args:
        workspace: whose `plugins/` files may be named.
        project: whose plugin.py is loaded; None for commands that concern no project.
        written: the merged `plugins:` list.
        extra: plugins of the caller itself, such as the view; registered with the core.

    Raises:
        PluginError: a plugin cannot be loaded or has a hook that does not fit.
        UsageError: a name is neither a file of `plugins/` nor installed.
    """
    wanted = Wanted.of(written)
    manager = pluggy.PluginManager("nasexp")
    manager.add_hookspecs(hookspecs)
    for name in CORE_PLUGINS:
        _register(manager, importlib.import_module(name), CORE_PREFIX + name.rpartition(".")[2])
    for plugin in extra:
        _register(manager, plugin, CORE_PREFIX + type(plugin).__name__)
    installed = {point.name: point for point in installed_plugins()}
    autoload = [] if os.environ.get(NO_AUTOLOAD) else list(installed)
    for name in autoload:
        if name not in wanted.blocked:
            _register(manager, _load_installed(installed[name]), name)
    for name in wanted.names:
        _load_named(manager, workspace, name, installed)
    if project and project.plugin_file.is_file():
        file = project.plugin_file
        _register(manager, load_file(file, workspace.shown(file)), workspace.shown(file))
    return Hooks(manager)


def installed_plugins() -> list[EntryPoint]:
    """Return the entry points of group `nasexp`.

    importlib.metadata takes longer than many commands do, so it is asked only when some
    installed distribution names the group at all.
    """
    if not any_installed():
        return []
    from importlib.metadata import entry_points  # noqa: PLC0415 - see above

    return sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)


def load_file(path: Path, shown: str) -> ModuleType:
    """Load a plugin file under a module name of its own. Raises PluginError."""
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(f"nasexp_plugin_{digest}", path)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin {shown} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        place = f"{shown}:{error.lineno}" if error.filename == str(path) else shown
        raise PluginError(f"plugin {place}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise _import_failure(path, shown, error) from error
    return module


def _load_named(
    manager: pluggy.PluginManager,
    workspace: Workspace,
    name: str,
    installed: dict[str, EntryPoint],
) -> None:
    file = workspace.plugins / f"{name}.py"
    if file.is_file():
        _register(manager, load_file(file, workspace.shown(file)), name)
    elif name in installed:
        if not manager.has_plugin(name):
            _register(manager, _load_installed(installed[name]), name)
    else:
        files = [path.stem for path in workspace.plugins.glob("*.py")]
        known = sorted({*files, *installed})
        raise UsageError(
            f"there is no plugin '{name}'{nearest(name, known)}",
            hint=f"known here: {', '.join(known) or 'none'}; a file {workspace.shown(file)} or an "
            "installed package can provide it",
        )


def _load_installed(point: EntryPoint) -> Any:
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"installed plugin '{point.name}' ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}",
            hint=f"repair or remove the package, or switch it off: `plugins: [no:{point.name}]`",
        ) from error


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    if plugin in manager.get_plugins():
        return
    _refuse_unmarked(plugin, name)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise _misfit(plugin, name, error) from error


def _refuse_unmarked(plugin: object, name: str) -> None:
    """A function named like a hook but not marked would be silently ignored."""
    hooks = [hook for hook in vars(hookspecs) if hook.startswith("nasexp_")]
    for attribute, function in vars(plugin).items() if inspect.ismodule(plugin) else ():
        is_hook = attribute.startswith("nasexp_") and inspect.isfunction(function)
        if is_hook and not hasattr(function, "nasexp_impl"):
            close = "" if attribute in hooks else nearest(attribute, hooks)
            raise PluginError(
                f"plugin '{name}' ({_place(function)}): {attribute} is not marked as a hook{close}",
                hint="put `@hookimpl` above it: from nasexp import hookimpl",
            )


def _misfit(plugin: object, name: str, error: pluggy.PluginValidationError) -> PluginError:
    for attribute in dir(plugin):
        function = getattr(plugin, attribute, None)
        if not hasattr(function, "nasexp_impl"):
            continue
        spec = getattr(hookspecs, attribute, None)
        if spec is None:
            hooks = [hook for hook in vars(hookspecs) if hook.startswith("nasexp_")]
            return PluginError(
                f"plugin '{name}' ({_place(function)}): there is no hook "
                f"{attribute}{nearest(attribute, hooks)}"
            )
        allowed = list(inspect.signature(spec).parameters)
        own = list(inspect.signature(cast("Any", function)).parameters)
        for wrong in (word for word in own if word not in allowed):
            return PluginError(
                f"plugin '{name}' ({_place(function)}): {attribute} has no argument "
                f"'{wrong}'{nearest(wrong, allowed)}",
                hint=f"it may take any of: {', '.join(allowed) or 'none'}",
            )
    return PluginError(f"plugin '{name}' does not fit: {error}")


def _place(function: Any) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else "no file"


def _import_failure(path: Path, shown: str, error: BaseException) -> PluginError:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    place = f"{shown}:{frames[-1].lineno}" if frames else shown
    return PluginError(f"plugin {place}: {type(error).__name__}: {error}")
