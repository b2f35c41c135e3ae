"""What can be known to be wrong before a run is made: nothing half-made is left behind."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from nasexp.config.schema import nearest
from nasexp.config.secret import read_secret
from nasexp.connections.settings import check_address
from nasexp.errors import UsageError
from nasexp.stages.train import first_word, placeholders

if TYPE_CHECKING:
    from pathlib import Path

    from nasexp.config.settings import Settings
    from nasexp.config.workspace import Project, Workspace

_SCRIPT_HEAD_BYTES = 64 << 10


def check_project(workspace: Workspace, project: Project, settings: Settings) -> list[str]:
    """Return what a person should know before the start.

    Raises:
        UsageError: this project cannot be run; says what to do.
    """
    if not project.code.is_dir():
        raise UsageError(
            f"{workspace.shown(project.code)} is missing",
            hint="put the training's code there: all of it goes to the host",
        )
    _check_output(settings)
    _check_secrets(settings)
    check_address(settings.host)
    _check_parameters(settings)
    return _check_script(workspace, project, settings)


def _check_output(settings: Settings) -> None:
    output = settings.core.output
    parts = output.split("/")
    if not output or output.startswith(("/", "~")) or ".." in parts or "\0" in output:
        raise UsageError(
            f"output: found {output!r}, expected a folder below bin/, such as `output`"
        )


def _check_secrets(settings: Settings) -> None:
    """Refuse a run whose secrets cannot be there; commands are asked when they are needed."""
    for name, source in settings.core.secrets.items():
        if not source.command or source.env:
            read_secret(source, f"secrets.{name}")


def _check_parameters(settings: Settings) -> None:
    for name in placeholders(settings.core.run):
        close = nearest(name, settings.core.params)
        if name not in settings.core.params and close:
            raise UsageError(f"run: {{{name}}} is no parameter{close}")


def _check_script(workspace: Workspace, project: Project, settings: Settings) -> list[str]:
    command = settings.core.run
    word = first_word(command)
    if not word:
        place = workspace.shown(project.config_file)
        raise UsageError(f"{place}: run: is missing or empty", hint="write `run: ./run.sh`")
    script = project.code / word
    if "/" not in word:
        return _check_program(word, script, settings)
    if word.startswith("/"):
        return []
    if not script.is_file():
        raise UsageError(
            f"run: {workspace.shown(script)} is missing{nearest(word, _scripts(project.code))}"
        )
    return _check_head(workspace.shown(script), word, script)


def _check_program(word: str, script: Path, settings: Settings) -> list[str]:
    # Only the host knows its programs; a script that lies there by that name is a sure slip.
    if script.is_file() and not shutil.which(word):
        raise UsageError(
            f"run: {settings.core.run!r} names no program",
            hint=f"to run the script in bin/ write ./{word}",
        )
    return []


def _check_head(shown: str, word: str, script: Path) -> list[str]:
    with script.open("rb") as file:
        head = file.read(_SCRIPT_HEAD_BYTES)
    if b"\r\n" in head:
        raise UsageError(
            f"{shown} has Windows line ends (CRLF), sh cannot run it",
            hint=f"change them: sed -i 's/\\r$//' {shown}",
        )
    if head.startswith((b"#!", b"\x7fELF")):
        return []
    if script.suffix == ".py":
        raise UsageError(
            f"{shown} has no #! line, sh would run it", hint=f"write `run: python {word}`"
        )
    return [f"{shown} has no #! line: it is run by sh"]


def _scripts(code: Path) -> list[str]:
    return [f"./{entry.name}" for entry in os.scandir(code) if entry.is_file()]
