"""Calls a command and tells its errors: what, what to do, where the log is; then the exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from nasexp.cli.outlet import Outlet, silence
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
        print("interrupted", file=Outlet(sys.stderr), flush=True)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # `nasexp logs | head`: the reader has enough. Python would complain at exit.
        silence(sys.stdout)
        return int(ExitCode.OK)
    except OSError as error:
        tell(NasexpError(f"{error.filename or 'the system'}: {error.strerror}"))
        return int(ExitCode.STAGE)


def tell(error: NasexpError) -> None:
    """Print an error on stderr, in red where that can be seen."""
    out = Outlet(sys.stderr)  # a terminal that is gone must not change the exit code
    colour = out.isatty() and not os.environ.get("NO_COLOR")
    red, plain = ("\033[31m", "\033[0m") if colour else ("", "")
    first, *others = error.message.split("\n")
    lines = [f"{red}error:{plain} {first}", *(f"       {line}" for line in others)]
    lines += [f"hint:  {error.hint}"] if error.hint else []
    lines += [f"log:   {error.log}"] if error.log else []
    print("\n".join(lines), file=out, flush=True)
