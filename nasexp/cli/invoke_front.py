"""The Invoke collection: the commands as tasks of `invoke`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task

from nasexp.cli.calling import call
from nasexp.cli.context import CommandContext
from nasexp.cli.definition import WORKSPACE_HELP, Command, Parameter, load_commands
from nasexp.cli.extra import plugin_commands

if TYPE_CHECKING:
    from collections.abc import Iterable

    from invoke.context import Context

HELP_WORDS = ("--help", "-h")


def collection() -> Collection:
    """Return an Invoke collection of all commands, for tasks.py."""
    made = Collection()
    for command in [*load_commands(), *plugin_commands()]:
        made.add_task(CommandTask(command))
    return made


class CommandTask(Task[Callable[..., None]]):
    """One command as an Invoke task; its flags come from the command, not from a signature."""

    def __init__(self, command: Command) -> None:
        self.command = command

        def body(_context: Context, **values: Any) -> None:
            run_command(command, values)

        body.__doc__ = command.help
        super().__init__(body, name=command.name, positional=[], auto_shortflags=False)

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:  # noqa: ARG002 - Invoke's signature
        """Return the arguments, positionals first as Invoke wants it."""
        parameters = sorted(self.command.parameters, key=lambda p: not _is_positional(p))
        workspace = Argument(names=("workspace",), kind=str, default="", help=WORKSPACE_HELP)
        return [*map(_argument, parameters), workspace]


def run_command(command: Command, values: dict[str, Any]) -> None:
    """Call a command for Invoke. Raises invoke.Exit with its exit code where that is not 0."""
    if any(value in HELP_WORDS for value in _texts(values.values())):
        # A required positional swallows `--help`.
        from nasexp.cli.argparse_front import parser_of  # noqa: PLC0415 - only for this

        print(parser_of(command).format_help())
        return
    workspace = values.pop("workspace", "")
    given = {p.name: _value(p, values.get(p.flag)) for p in command.parameters}
    context = CommandContext(workspace, "invoke", sys.stdout, typed_words(sys.argv[1:]))
    code = call(command, context, given)
    if code:
        raise Exit(code=code)


def typed_words(words: list[str]) -> list[str]:
    """Return what a person typed, without the words that ./inv puts in front."""
    added = words[:2] == ["--write-pyc", "--search-root"] and os.environ.get("NASEXP_INV")
    return words[3:] if added else words


def _argument(parameter: Parameter) -> Argument:
    names = (parameter.flag, *([parameter.short] if parameter.short else []))
    default = [] if parameter.kind is list else parameter.default
    return Argument(
        names=names,
        kind=parameter.kind,
        default=default,
        help=parameter.help,
        positional=_is_positional(parameter),
    )


def _is_positional(parameter: Parameter) -> bool:
    return parameter.positional and parameter.required


def _value(parameter: Parameter, value: Any) -> Any:
    return parameter.default if value is None and parameter.kind is not list else value


def _texts(values: Iterable[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
