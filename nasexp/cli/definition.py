"""Reads a command out of a plain typed function; both fronts are made from what it finds.

@command
def logs(
    context: CommandContext,
    run: Annotated[str, Arg("the run", positional=True)] = "",
    follow: Annotated[bool, Arg("go on as it grows", short="f")] = False,
) -> None:
    \"\"\"Print the console of a run.\"\"\"
"""

from __future__ import annotations

import importlib
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from nasexp.cli import COMMANDS
from nasexp.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

F = TypeVar("F", bound="Callable[..., Any]")
WORKSPACE_HELP = "the workspace to use; else $NASEXP_WORKSPACE, else found upwards from here"


@dataclass(frozen=True, slots=True)
class Arg:
    """What the command line says of a parameter.

    Attributes:
        help: one line.
        flag: the flag's name where it is not the parameter's.
        short: a one-letter flag.
        positional: given without a flag. One that has no default is required; one that has is a
            positional on `nasexp`, and a flag on `invoke`, which knows no optional positionals.
    """

    help: str
    flag: str = ""
    short: str = ""
    positional: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """One flag or positional of a command; `kind` is bool, int, str or list (of str)."""

    name: str
    flag: str
    help: str
    kind: type
    default: Any
    short: str
    positional: bool
    required: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its function, its help, its parameters; and the plugin that it comes from."""

    name: str
    function: Callable[..., Any]
    help: str
    parameters: tuple[Parameter, ...]
    plugin: str = ""

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return self.help.partition("\n")[0]


def command(function: F) -> F:
    """Mark a function as a command; it gets a `CommandContext` first, may return an exit code."""
    function.__nasexp_command__ = True  # type: ignore[attr-defined]
    return function


def read_command(function: Callable[..., Any], plugin: str = "") -> Command:
    """Return the command that a function defines, in the core or in a plugin.

    Raises:
        PluginError: it is no command: not marked, or a parameter has no `Annotated[…, Arg(…)]`.
    """
    name = function.__name__.rstrip("_").replace("_", "-")
    if not hasattr(function, "__nasexp_command__"):
        raise PluginError(f"{name} is no command", hint="put `@command` above the function")
    help_text = "\n".join(line.strip() for line in (function.__doc__ or name).strip().splitlines())
    return Command(name, function, help_text, tuple(_parameters(function)), plugin)


def load_command(name: str) -> Command:
    """Return a command of the core."""
    module = importlib.import_module(COMMANDS[name])
    function = getattr(module, name.replace("-", "_"))
    return read_command(function)


def load_commands() -> list[Command]:
    """Return every command of the core, in the order of the help."""
    return [load_command(name) for name in COMMANDS]


def _parameters(function: Callable[..., Any]) -> Iterator[Parameter]:
    hints = typing.get_type_hints(function, include_extras=True)
    code = function.__code__
    names = code.co_varnames[1 : code.co_argcount]
    defaults = function.__defaults__ or ()
    given = dict(zip(reversed(names), reversed(defaults), strict=False))
    for name in names:
        hint = hints.get(name)
        arg = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Arg)), None)
        if arg is None:
            raise PluginError(
                f"{function.__name__}: parameter '{name}' has no Annotated[…, Arg(…)]"
            )
        base = typing.get_args(hint)[0]
        yield Parameter(
            name=name,
            flag=arg.flag or name.rstrip("_").replace("_", "-"),
            help=arg.help,
            kind=list if typing.get_origin(base) is list else base,
            default=given.get(name),
            short=arg.short,
            positional=arg.positional,
            required=name not in given,
        )
