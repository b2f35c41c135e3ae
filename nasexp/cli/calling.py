"""Calls a command and tells its errors: what, what to do, where the log is; then the exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from nasexp.errors import ExitCode, NasexpError

if TYPE_CHECKING:
    from nasexp.cli.context import CommandContext
    from nasexp.cli.definition import Command


def call(command: Command, context: CommandContext, values: dict[str, Any]) -> int:
    """Run a command and return its exit code; an unexpected exception is our bug and flies."""
    try:
        return int(command.function(context, **values) or ExitCode.OK)
    except NasexpError as error:
        tell(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # `nasexp logs | head`: the reader has enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    except OSError as error:
        tell(NasexpError(f"{error.filename or 'the system'}: {error.strerror}"))
        return int(ExitCode.STAGE)


def tell(error: NasexpError) -> None:
    """Print an error on stderr, in red where that can be seen."""
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    red, plain = ("\033[31m", "\033[0m") if colour else ("", "")
    lines = error.message.split("\n")
    print(f"{red}error:{plain} {lines[0]}", file=sys.stderr)
    for line in lines[1:]:
        print(f"       {line}", file=sys.stderr)
    if error.hint:
        print(f"hint:  {error.hint}", file=sys.stderr)
    if error.log:
        print(f"log:   {error.log}", file=sys.stderr)
