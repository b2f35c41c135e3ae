"""tasks.md: every command with its flags, as `nasexp` and `invoke` spell them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs.generator.markdown import code, page, table
from docs.generator.plugins import shipped_plugins
from nasexp.cli.definition import WORKSPACE_HELP, load_commands, read_command

if TYPE_CHECKING:
    from nasexp.cli.definition import Command, Parameter

INTRO = """\
A command has one meaning and three spellings:

- `nasexp COMMAND` works anywhere;
- `invoke COMMAND` works in a workspace, whose `tasks.py` makes it known;
- `./inv COMMAND` works in a clone of this repository and is `invoke` in an environment of its own.

Flags are the same everywhere. Invoke knows no optional positionals, so what `nasexp` takes as
`[RUN]` is `--run RUN` there. A flag that may be repeated is written once for each value."""

ALL_HELP = (
    f"Every command also takes `--workspace DIR`: {WORKSPACE_HELP}. `--help` tells its flags."
)

RUNS = """\
## Addresses of runs

| write | means |
|---|---|
| `example_proj/run_3`, `example_proj/3` | that run |
| `run_3`, `3` | that run of the default project (`project:` in nasexp.yaml) |
| `example_proj/latest` | the newest run of that project |
| `latest` | the newest run of the default project; without one, of all |"""


def page_text() -> str:
    """Return the page."""
    commands = load_commands()
    rows = [[f"[`{c.name}`](#{c.name})", c.summary] for c in commands]
    return page(
        "Commands",
        INTRO,
        table(["command", "does"], rows),
        ALL_HELP,
        *[_section(command) for command in commands],
        RUNS,
        "## Commands of plugins in this repository",
        *_plugin_sections(),
    )


def _section(command: Command, extra: str = "") -> str:
    parts = [f"## {command.name}", extra, command.help]
    if command.parameters:
        rows = [_row(parameter) for parameter in command.parameters]
        parts.append(table(["`nasexp`", "`invoke`", "default", "meaning"], rows))
    return "\n\n".join(part for part in parts if part)


def _row(parameter: Parameter) -> list[str]:
    own, theirs = spellings(parameter)
    repeated = "; may be repeated"
    more = repeated if parameter.kind is list and "repeated" not in parameter.help else ""
    return [code(own), code(theirs), code(parameter.default or ""), parameter.help + more]


def spellings(parameter: Parameter) -> tuple[str, str]:
    """Return a parameter as `nasexp` and as `invoke` take it."""
    value = parameter.flag.upper()
    if parameter.positional and parameter.required:
        return value, value
    flag = f"--{parameter.flag}"
    short = f", -{parameter.short}" if parameter.short else ""
    named = f"{flag}{short}" if parameter.kind is bool else f"{flag} {_value_name(parameter)}"
    return (f"[{value}]" if parameter.positional else named), named


def _value_name(parameter: Parameter) -> str:
    if parameter.flag == "set":
        return "KEY=VALUE"
    return parameter.flag.upper().replace("-", "_")


def _plugin_sections() -> list[str]:
    found = []
    for name, plugin in shipped_plugins().items():
        for function in plugin.nasexp_tasks() if hasattr(plugin, "nasexp_tasks") else ():
            switch = f"There once `plugins: [{name}]` stands in nasexp.yaml."
            found.append(_section(read_command(function), switch).replace("## ", "### ", 1))
    return found
