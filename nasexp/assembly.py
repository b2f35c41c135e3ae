"""Puts together what a command about a project needs: its plugins and its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nasexp.config.layers import Overrides, read_layers
from nasexp.config.saved import saved_layers
from nasexp.config.settings import Settings, resolve
from nasexp.loader import load_hooks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nasexp.config.layers import Layers
    from nasexp.config.workspace import Project, Workspace
    from nasexp.dispatch import Hooks
    from nasexp.runs.paths import RunPaths

NO_OVERRIDES = Overrides()


class Assembly(NamedTuple):
    """The plugins of a project and its settings."""

    hooks: Hooks
    settings: Settings


def assemble(
    workspace: Workspace,
    project: Project | None,
    overrides: Overrides = NO_OVERRIDES,
    extra: Sequence[object] = (),
) -> Assembly:
    """Read the layers, load the plugins they name, then check and merge all of it.

    The plugins come first: they own sections of what is checked.

    Raises:
        ConfigError: every problem of every file at once.
        PluginError, UsageError: a plugin cannot be loaded.
    """
    return _assemble(workspace, project, read_layers(workspace, project, overrides), extra)


def assemble_saved(workspace: Workspace, project: Project, paths: RunPaths) -> Assembly:
    """Return what a run was begun with: its own settings, and the plugins that they name.

    Raises:
        ConfigError, PluginError, UsageError: as `assemble`.
    """
    return _assemble(workspace, project, saved_layers(workspace, project, paths), ())


def _assemble(
    workspace: Workspace, project: Project | None, layers: Layers, extra: Sequence[object]
) -> Assembly:
    hooks = load_hooks(workspace, project, layers.plugins(), extra)
    return Assembly(hooks, resolve(layers, hooks.config_sections()))
