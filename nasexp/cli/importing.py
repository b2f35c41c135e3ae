"""The command `import-bash`: comes over from the folder of the bash scripts."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command
from nasexp.errors import ExitCode, NasexpError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nasexp.importing.mapping import Mapped
    from nasexp.importing.plan import Plan, PlannedProject


@command
def import_bash(
    context: CommandContext,
    folder: Annotated[
        str, Arg("the folder with auto_runner.config and the projects", flag="dir", positional=True)
    ],
    dry_run: Annotated[bool, Arg("say what would come over; change nothing")] = False,
) -> ExitCode:
    """Bring the projects, results and settings of the old bash scripts into this workspace.

    The old folder is only read, and nothing that the workspace has is overwritten. What cannot
    be taken is named, with its file and line. Exit code 4 when a project did not come over.
    """
    from nasexp.importing.plan import make_plan  # noqa: PLC0415 - `--help` needs none of it

    plan = make_plan(context.workspace, folder)
    return _Import(context, plan, dry_run=dry_run).run()


class _Import:
    """One import, told as it goes."""

    def __init__(self, context: CommandContext, plan: Plan, *, dry_run: bool) -> None:
        self._context = context
        self._plan = plan
        self._dry_run = dry_run
        self._taken: list[PlannedProject] = []
        self._failed = bool(plan.refused)

    def run(self) -> ExitCode:
        from nasexp.archives.names import shown  # noqa: PLC0415 - as above

        does = "would import" if self._dry_run else "importing"
        folders = f"{self._plan.tree.root} into {self._plan.workspace.root}"
        self._say(f"{does} {shown(folders)}")
        for project in self._plan.projects:
            self._take(project)
        self._section("not taken", [f"{p.name}: {p.reason}" for p in self._plan.refused])
        for project in self._taken:
            self._show_settings(project)
        mapped = self._add_settings()
        self._section("not mapped", list(_not_mapped([mapped, *(p.mapped for p in self._taken)])))
        self._section("not copied", list(_not_copied(self._plan)))
        self._section("to know", list(_notes(self._plan, self._taken)))
        self._tell_next()
        return ExitCode.WARNINGS if self._failed else ExitCode.OK

    def _take(self, project: PlannedProject) -> None:
        from nasexp.importing.copying import copy_project  # noqa: PLC0415 - as above
        from nasexp.importing.plan import Refused, told  # noqa: PLC0415
        from nasexp.importing.yamltext import project_yaml  # noqa: PLC0415

        self._say(f"  {_summary(project)}")
        try:
            if not self._dry_run:
                copy_project(project.old, project.target, project_yaml(project.mapped))
        except NasexpError as error:
            self._failed = True
            self._plan.refused.append(Refused(project.target.name, told(error)))
            return
        self._taken.append(project)

    def _show_settings(self, project: PlannedProject) -> None:
        from nasexp.importing.yamltext import setting_lines  # noqa: PLC0415 - as above

        place = self._plan.workspace.shown(project.target.config_file)
        self._section(place, setting_lines(project.mapped.settings))

    def _add_settings(self) -> Mapped:
        from nasexp.importing.plan import plan_settings  # noqa: PLC0415 - as above
        from nasexp.importing.yamltext import setting_line, write_addition  # noqa: PLC0415

        names = [p.name for p in self._plan.workspace.projects()]
        names += [project.target.name for project in self._taken]
        mapped, addition = plan_settings(self._plan, names)
        try:
            if not self._dry_run or addition.content is None:
                write_addition(self._plan.workspace, addition)
        except NasexpError as error:
            self._failed = True
            self._section(f"{error.message}; add these lines yourself", addition.lines)
        else:
            self._section("added to nasexp.yaml", addition.lines)
        kept = [f"{setting_line(k.setting)} ({k.setting.origin}): {k.reason}"
                for k in addition.kept]  # fmt: skip
        self._section("left as it is in nasexp.yaml", kept)
        same = [f"{setting_line(s)} ({s.origin})" for s in addition.same]
        self._section("stands in nasexp.yaml already", same)
        return mapped

    def _tell_next(self) -> None:
        if self._dry_run:
            self._say("nothing was changed")
            return
        from nasexp.cli.program import callable_from_anywhere  # noqa: PLC0415 - as above

        obstructed = set()
        for project in self._taken:
            for text in _obstacles(self._context, project):
                obstructed.add(project.target.name)
                self._say(f"before {project.target.name} can run: {text}")
        if self._taken:
            name = _first(self._plan, self._taken)
            program = callable_from_anywhere(self._context.program)
            word = "then" if name in obstructed else "next"
            self._say(f"{word}: {program} run --project {name} --dry-run")

    def _section(self, title: str, lines: Iterable[str]) -> None:
        found = list(dict.fromkeys(lines))
        if found:
            self._say(f"{title}:")
        for line in found:
            self._say(f"  {line}")

    def _say(self, text: str) -> None:
        self._context.print(text)


def _summary(project: PlannedProject) -> str:
    runs = project.old.runs
    names = f"run_{runs[0][0]}" if runs else ""
    names += f" to run_{runs[-1][0]}" if len(runs) > 1 else ""
    count = "1 run" if len(runs) == 1 else f"{len(runs)} runs" if runs else "no runs"
    code = "bin/" if project.old.code.is_dir() else "no bin/"
    told = f"{count} ({names})" if names else count
    return f"{project.target.name}: {code}, {told}, {project.measure.size}"


def _not_mapped(found: Iterable[Mapped]) -> Iterator[str]:
    """Yield each piece with its place; advice that holds for several in a row stands once."""
    items = {item: None for mapped in found for item in mapped.unmapped}
    in_order = sorted(items, key=lambda item: (item.origin.source, item.origin.line))
    for advice, group in groupby(in_order, key=lambda item: item.advice):
        told = "\n  ".join(f"{item.origin}: {item.text}" for item in group)
        yield f"{told}\n      {advice}"


def _not_copied(plan: Plan) -> Iterator[str]:
    from nasexp.archives.names import shown  # noqa: PLC0415 - as above

    yield from (f"{shown(name)}: no part of a project" for name in plan.tree.left)
    for project in plan.projects:
        yield from (f"{shown(name)}: neither code nor a run" for name in project.old.left)
        for path in project.measure.special:
            yield f"{project.old.place(path)}: no file, but a pipe, a socket or a device"


def _notes(plan: Plan, taken: Iterable[PlannedProject]) -> Iterator[str]:
    for project in taken:
        for address in project.open_runs:
            yield f"{address} has no end: it was cut off, or goes on there and is not whole here"
    yield (
        "the old scripts switched the server off one hour after a run; this version of nasexp "
        "switches no host off, `shutdown: {after: 1h}` has no effect yet"
    )
    for path in sorted((plan.workspace.root / "projects").glob(".import-*")):
        place = plan.workspace.shown(path)
        yield f"{place} is left of an import that was cut off; it can be removed"


def _obstacles(context: CommandContext, project: PlannedProject) -> Iterator[str]:
    """Yield what would keep a project from running now."""
    from nasexp.assembly import assemble  # noqa: PLC0415 - as above
    from nasexp.importing.plan import told  # noqa: PLC0415
    from nasexp.preflight import check_project  # noqa: PLC0415

    try:
        assembly = assemble(context.workspace, project.target)
        check_project(context.workspace, project.target, assembly.settings)
    except NasexpError as error:
        yield told(error)


def _first(plan: Plan, taken: list[PlannedProject]) -> str:
    """Return the project that the old scripts ran, else the first."""
    names = [project.target.name for project in taken]
    wanted = plan.base.values.get("target_proj")
    return wanted.value if wanted and wanted.value in names else names[0]
