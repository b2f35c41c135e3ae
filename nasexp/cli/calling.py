"""Calls a command and tells its errors: what, what to do, where the log is; then the exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

from nasexp.cli.outlet import Outlet, silence
from nasexp.errors import ExitCode, NasexpError, PluginError, UsageError

if TYPE_CHECKING:
    from nasexp.cli.context import CommandContext
    from nasexp.cli.definition import Command


def call(command: Command, context: CommandContext, values: dict[str, Any]) -> int:
    """Run a command and return its exit code; an unexpected exception is our bug and flies."""
    try:
        _refuse_missing(command, values)
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
    except Exception as bug:
        if not command.plugin:
            raise
        tell(_blame_plugin(command, bug))
        return int(ExitCode.PLUGIN)


def _refuse_missing(command: Command, values: dict[str, Any]) -> None:
    # Invoke knows no flags that have to be given.
    missing = [p.flag for p in command.parameters if p.required and values.get(p.name) is None]
    if missing:
        raise UsageError(f"{command.name} needs {' and '.join(f'--{flag}' for flag in missing)}")


def _blame_plugin(command: Command, bug: Exception) -> PluginError:
    frames = traceback.extract_tb(bug.__traceback__)
    own = command.function.__code__.co_filename
    line = next((f.lineno for f in reversed(frames) if f.filename == own), 0)
    return PluginError(
        f"the command '{command.name}' of plugin '{command.plugin}' failed at {own}:{line}: "
        f"{type(bug).__name__}: {bug}"
    )


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
