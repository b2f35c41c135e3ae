"""The command `config`: every setting with its value and where it was set."""

from __future__ import annotations

from typing import Annotated

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command


@command
def config(
    context: CommandContext,
    project: Annotated[str, Arg("the project; without it the workspace's own settings")] = "",
    profile: Annotated[str, Arg("a named set of settings under `profiles:`")] = "",
    set_: Annotated[list[str], Arg("any setting, as params.lr=0.1; may be repeated")] = (),  # type: ignore[assignment] # never changed
    as_json: Annotated[bool, Arg("print one JSON document", flag="json")] = False,
) -> None:
    """Print every setting in force and where it was set; secrets are hidden."""
    from nasexp.assembly import assemble  # noqa: PLC0415 - heavy, as what follows
    from nasexp.config.layers import Overrides  # noqa: PLC0415
    from nasexp.config.showing import shown_values  # noqa: PLC0415

    found = context.workspace.project(project) if project else None
    settings = assemble(context.workspace, found, Overrides(profile, (), tuple(set_))).settings
    values = shown_values(settings)
    if as_json:
        rows = [{"key": key, "value": value, "origin": origin} for key, value, origin in values]
        context.print_json(rows)
        return
    rows_shown = [[key, _text(value), origin] for key, value, origin in values]
    context.print_table(["setting", "value", "set in"], rows_shown)


def _text(value: object) -> str:
    import json  # noqa: PLC0415 - as above

    # An empty text shows as `""`: a blank would not tell that nothing is set.
    plain = isinstance(value, str) and value
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
