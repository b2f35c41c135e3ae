"""Commands that plugins add; asked only where a workspace or an installed package has plugins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nasexp.cli import COMMANDS
from nasexp.cli.definition import read_command
from nasexp.config.workspace import find_workspace
from nasexp.errors import NasexpError, UsageError

if TYPE_CHECKING:
    from nasexp.cli.definition import Command
    from nasexp.config.workspace import Workspace


def plugin_commands(given_workspace: str = "") -> list[Command]:
    """Return the commands of the workspace's plugins; what is wrong with one is said on stderr."""
    try:
        workspace = find_workspace(given_workspace)
        if not _has_plugins(workspace):
            return []
        return list(_collect(workspace))
    except UsageError:
        return []  # no workspace: the command itself says so, where it needs one
    except NasexpError as error:
        _complain(error)
        return []


def _has_plugins(workspace: Workspace) -> bool:
    # A look at the text saves the import of yaml and pluggy where nothing is named.
    from nasexp.loader_scan import any_installed  # noqa: PLC0415 - as light as this module

    return b"plugins" in workspace.config_file.read_bytes() or any_installed()


def _collect(workspace: Workspace) -> list[Command]:
    from nasexp.config.layers import Overrides, read_layers  # noqa: PLC0415 - heavy
    from nasexp.loader import load_hooks  # noqa: PLC0415 - heavy

    layers = read_layers(workspace, None, Overrides())
    found: dict[str, Command] = {}
    for answer in load_hooks(workspace, None, layers.plugins()).tasks():
        try:
            if answer.error:
                raise answer.error
            commands = [read_command(f, answer.plugin) for f in answer.value or ()]
        except NasexpError as error:
            _complain(error)
            continue
        # A plugin cannot take the name of a command of the core.
        found |= {command.name: command for command in commands if command.name not in COMMANDS}
    return list(found.values())


def _complain(error: NasexpError) -> None:
    print(f"warning: commands of plugins are missing: {error.message}", file=sys.stderr)
