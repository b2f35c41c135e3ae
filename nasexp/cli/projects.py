"""Finds the project, or the host, that a command means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp.errors import UsageError

if TYPE_CHECKING:
    from nasexp.cli.context import CommandContext
    from nasexp.config.settings import Host, Settings
    from nasexp.config.workspace import Project, Workspace


def chosen_project(context: CommandContext, name: str) -> Project:
    """Return the named project, else `project:` of nasexp.yaml, else the only one there is.

    Raises:
        UsageError: none is named and several are there, or there is no such project.
    """
    workspace = context.workspace
    projects = workspace.projects()
    name = name or default_project(workspace)
    if name:
        return workspace.project(name)
    if len(projects) == 1:
        return projects[0]
    names = ", ".join(project.name for project in projects)
    raise UsageError(
        "which project? name one with --project",
        hint=f"the projects here are {names}" if names else "make one with `nasexp new NAME`",
    )


def default_project(workspace: Workspace) -> str:
    """Return `project:` of nasexp.yaml; empty when it is not set."""
    if b"project" not in workspace.config_file.read_bytes():
        return ""  # saves the import of yaml for most
    from nasexp.config.yamlfile import read_yaml  # noqa: PLC0415 - see above

    value = read_yaml(workspace.config_file, workspace.config_file.name).data.get("project")
    return value.data if value and isinstance(value.data, str) else ""


def host_of(workspace: Workspace, name: str) -> Host:
    """Return a host of the configuration. Raises ConfigError with the nearest name."""
    return assemble_host(workspace, None, name).host


def assemble_host(workspace: Workspace, project: Project | None, host: str) -> Settings:
    """Return the settings of a command about a host; an empty name is the configured one."""
    from nasexp.assembly import assemble  # noqa: PLC0415 - heavy
    from nasexp.config.layers import Overrides  # noqa: PLC0415

    flags = (("host", host, "--host"),) if host else ()
    return assemble(workspace, project, Overrides(flags=flags)).settings


def host_names(workspace: Workspace) -> list[str]:
    """Return every host of the configuration, `local` first."""
    from nasexp.config.layers import Overrides, read_layers  # noqa: PLC0415 - heavy
    from nasexp.config.settings import LOCAL  # noqa: PLC0415

    written = read_layers(workspace, None, Overrides()).workspace.child("hosts")
    names = written.data if written and isinstance(written.data, dict) else {}
    return list(dict.fromkeys([LOCAL, *names]))
