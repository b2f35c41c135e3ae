"""What every command gets first: the workspace, and the way to the terminal."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, cast

from nasexp.cli.outlet import Outlet
from nasexp.config.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO


class CommandContext:
    """The surroundings of one call.

    Args:
        workspace: the folder given by `--workspace`; empty to look for one.
        program: what the user typed: `nasexp`, or `invoke`.
        output: where answers go; messages about trouble go to stderr.
        words: what the user typed behind the program.
    """

    def __init__(
        self,
        workspace: str = "",
        program: str = "nasexp",
        output: TextIO | None = None,
        words: Sequence[str] = (),
    ) -> None:
        self.given_workspace = workspace
        self.program = program
        self.output = output or sys.stdout
        self.typed = [program, *words]
        self._outlet: Outlet | None = None

    @functools.cached_property
    def workspace(self) -> Workspace:
        """The workspace; raises UsageError where there is none."""
        return find_workspace(self.given_workspace)

    @property
    def on_terminal(self) -> bool:
        """Whether a person watches, on a terminal that can show more than lines."""
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", None)
        return self.output.isatty() and not plain

    def outlive_output(self) -> None:
        """Let what follows go on where the terminal, pipe or file of the output goes away."""
        self._outlet = Outlet(self.output)
        self.output = cast("TextIO", self._outlet)  # as much of one as anybody here uses

    @property
    def lost(self) -> str:
        """Why nobody can be reached any more, after `outlive_output`; empty while one can."""
        return self._outlet.lost if self._outlet else ""

    def print(self, text: str = "") -> None:
        """Print a line; characters that the terminal cannot show are replaced."""
        encoding = getattr(self.output, "encoding", None) or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=self.output, flush=True)

    def print_json(self, document: Any) -> None:
        """Print one JSON document."""
        import json  # noqa: PLC0415 - only --json pays for it

        self.print(json.dumps(document, indent=2, ensure_ascii=False))

    def print_table(self, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table, numbers to the right."""
        from tabulate import tabulate  # noqa: PLC0415 - only tables pay for it

        align = ["right" if _is_number_column(rows, i) else "left" for i in range(len(headers))]
        text = tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align)
        self.print(text if rows else "")


def _is_number_column(rows: Sequence[Sequence[Any]], index: int) -> bool:
    cells = [str(row[index]) for row in rows if str(row[index])]
    return bool(cells) and all(cell[0].isdigit() or cell[0] == "-" for cell in cells)
