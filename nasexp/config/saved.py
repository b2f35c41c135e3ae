"""The settings of a run as they were when it began, read back from its config.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp.config.layers import Layers, Overrides, combine, read_layers
from nasexp.config.showing import HIDDEN, is_secret
from nasexp.config.values import EMPTY, Value, merge, nested
from nasexp.config.yamlfile import read_yaml
from nasexp.errors import ConfigError

if TYPE_CHECKING:
    from nasexp.config.workspace import Project, Workspace
    from nasexp.runs.paths import RunPaths


def saved_layers(workspace: Workspace, project: Project, paths: RunPaths) -> Layers:
    """Return the run's settings as one layer; what was hidden there is read anew.

    Raises:
        ConfigError: the file is gone or was broken, the present files are, or a secret is gone.
    """
    written = read_yaml(paths.config, workspace.shown(paths.config))
    hidden = [path for path, value in written.leaves() if _is_hidden(path, value)]
    present = _present(workspace, project) if hidden else EMPTY
    for path in hidden:
        value = present.child(path)
        if value is None:
            name = f"NASEXP__{path.upper().replace('.', '__')}"
            raise ConfigError(
                f"{path} is secret, so it was not kept with the run, and it is set nowhere now",
                hint=f"set it again for this command: {name}=…",
            )
        written = merge(written, nested(path, value))
    return Layers(workspace=written)


def _is_hidden(path: str, value: Value) -> bool:
    return value.data == HIDDEN and is_secret(path)


def _present(workspace: Workspace, project: Project) -> Value:
    layers = read_layers(workspace, project, Overrides())
    return combine([layers.workspace, *layers.strong()])
