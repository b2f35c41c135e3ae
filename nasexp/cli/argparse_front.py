"""The `nasexp` program: the commands behind argparse, which starts much faster than Invoke."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from nasexp import __version__
from nasexp.cli import COMMANDS
from nasexp.cli.calling import call
from nasexp.cli.context import CommandContext
from nasexp.cli.definition import WORKSPACE_HELP, Command, load_command, load_commands

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `nasexp ARGUMENTS` and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    typed = tuple(words)
    workspace, words = _leading_workspace(words)
    if words and words[0] in COMMANDS:
        # Only the command that was asked for is imported.
        return run_command(load_command(words[0]), words[1:], workspace, typed)
    commands = {command.name: command for command in [*load_commands(), *_extra(workspace)]}
    if words and words[0] in commands:
        return run_command(commands[words[0]], words[1:], workspace, typed)
    _overview(commands).parse_args(words or ["--help"])
    return 2


def run_command(
    command: Command, words: Sequence[str], workspace: str, typed: Sequence[str]
) -> int:
    """Parse the words of one command and call it; `typed` is all that stood behind `nasexp`."""
    values = vars(parser_of(command).parse_args(words))
    given = values.pop("workspace_given") or workspace
    return call(command, CommandContext(given, "nasexp", words=typed), values)


def parser_of(command: Command) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    parser = argparse.ArgumentParser(
        prog=f"nasexp {command.name}",
        description=command.help,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for parameter in command.parameters:
        help_text = parameter.help.replace("%", "%%")
        if parameter.positional:
            parser.add_argument(
                parameter.name,
                metavar=parameter.flag.upper(),
                nargs=None if parameter.required else "?",
                default=parameter.default,
                help=help_text,
            )
            continue
        names = [f"--{parameter.flag}", *([f"-{parameter.short}"] if parameter.short else [])]
        if parameter.kind is bool:
            parser.add_argument(*names, dest=parameter.name, action="store_true", help=help_text)
        elif parameter.kind is list:
            parser.add_argument(
                *names, dest=parameter.name, action="append", default=[], help=help_text,
                metavar="VALUE",
            )  # fmt: skip
        else:
            parser.add_argument(
                *names, dest=parameter.name, type=parameter.kind, default=parameter.default,
                required=parameter.required, help=help_text,
                metavar=parameter.name.rstrip("_").upper(),
            )  # fmt: skip
    parser.add_argument(
        "--workspace", dest="workspace_given", default="", metavar="DIR", help=WORKSPACE_HELP
    )
    return parser


def _leading_workspace(words: list[str]) -> tuple[str, list[str]]:
    """Take `--workspace DIR` in front of the command."""
    if words[:1] == ["--workspace"] and len(words) > 1:
        return words[1], words[2:]
    if words and words[0].startswith("--workspace="):
        return words[0].partition("=")[2], words[1:]
    return "", words


def _extra(workspace: str) -> list[Command]:
    from nasexp.cli.extra import plugin_commands  # noqa: PLC0415 - only for unknown words and help

    return plugin_commands(workspace)


def _overview(commands: dict[str, Command]) -> argparse.ArgumentParser:
    width = max(map(len, commands))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in commands.items()]
    parser = argparse.ArgumentParser(
        prog="nasexp",
        usage="nasexp [--workspace DIR] COMMAND …",
        description="Runs machine-learning experiments from a NAS on GPU servers that you own.",
        epilog="commands:\n" + "\n".join(lines) + "\n\n`nasexp COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nasexp {__version__}")
    parser.add_argument("command", choices=list(commands), metavar="COMMAND", help="see below")
    return parser
