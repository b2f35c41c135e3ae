"""README and docs say what the program does: each command line, setting, example and link is tried.

A page of docs/reference/ is compared with the code, then its tables with what really comes out.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from invoke.exceptions import ParseError
from invoke.parser import Parser, ParserContext
from invoke.program import Program

from nasexp import hookspecs
from nasexp.cli.argparse_front import parser_of
from nasexp.cli.definition import load_commands, read_command
from nasexp.connections.refusals import Trouble
from nasexp.errors import EXIT_CODE_MEANINGS, ExitCode
from nasexp.loader import load_file

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
NOT_YET_THERE: set[str] = set()
"""Pages that may be linked before they are written; a page that is there must not stand here."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PROGRAM = re.compile(r"(?:^|.*/)(nasexp|inv|invoke)$")
COMMANDS = {command.name: command for command in load_commands()}


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(path, *languages):
    """Return the fenced blocks of a page in some languages."""
    return [text for language, text in FENCE.findall(path.read_text()) if language in languages]


def table_of(page, title=""):
    """Return the rows of the first table of a page, or of its section with a title."""
    text = (REFERENCE / page).read_text()
    if title:
        text = text[text.index(f"\n{title}\n") :]
    lines = iter(text.splitlines())
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            break
    return rows[2:]


def names_in(page, title=""):
    return [row[0].strip("`") for row in table_of(page, title)]


# The table of faults.


FAULTS_OF_HOSTS = ["lab/test_ssh_*.py", "lab/test_agent_faults.py"]
"""Files of tests of which each is a fault that belongs in the table."""

NO_FAULTS = {"test_the_agent_asks_for_no_program_that_is_not_there"}


def names_of_tests(*patterns):
    """Return the names of the tests in files below tests/."""
    return {
        name
        for pattern in patterns
        for file in (ROOT / "tests").glob(pattern)
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }


def test_every_test_that_the_table_of_faults_names_is_there():
    page = (DOCS / "explanation" / "faults.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    named = set(re.findall(r"`(test_\w+)`", page))

    assert named <= names_of_tests("*/test_*.py")
    assert names_of_tests(*FAULTS_OF_HOSTS) - NO_FAULTS <= named, (
        "a tested fault belongs in the table"
    )
    assert [row for row in rows if "`test_" not in row and not row.startswith("| fault |")] == []


# The reference and the code.


def test_the_made_pages_are_fresh():
    done = subprocess.run(
        [sys.executable, "-m", "docs.generator", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_page_of_the_reference_is_made_and_listed():
    index = (REFERENCE / "index.md").read_text()
    for path in REFERENCE.glob("*.md"):
        if path.name != "index.md":
            assert path.read_text().startswith("<!-- Made from the code"), path
            assert f"({path.name})" in index


def test_every_hook_has_its_signature_and_its_kind():
    text = (REFERENCE / "hooks.md").read_text()
    for name, spec in vars(hookspecs).items():
        if not name.startswith("nasexp_"):
            continue
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for argument in inspect.signature(spec).parameters.values():
            assert f"{argument.name}: {argument.annotation}" in section, name
        kind = re.search(r"Kind: (\w+)", spec.__doc__)[1]
        assert f"**Kind:** {kind}." in section


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_every_command_has_all_its_flags_of_both_fronts(command):
    rows = table_of("tasks.md", f"## {command.name}")
    flags = {
        name
        for action in parser_of(command)._actions
        for name in action.option_strings or [action.metavar]
    } - {"-h", "--help", "--workspace"}

    own = {word.strip("[]`,") for row in rows for word in row[0].split()}
    assert flags <= own
    for row, parameter in zip(rows, command.parameters, strict=True):
        assert row[3].startswith(parameter.help)
        if parameter.positional and not parameter.required:
            assert (row[0], row[1]) == (
                f"`[{parameter.flag.upper()}]`",
                f"`--{parameter.flag} {parameter.flag.upper()}`",
            )


def settings_told():
    pages = re.findall(
        r"^\| `([\w.<>-]+)` \|", (REFERENCE / "settings.md").read_text(), re.MULTILINE
    )
    return set(pages)


def test_every_setting_in_force_is_in_the_reference(workspace):
    settings = "params: {}\nenvironment: {venv: r}\nrate: 1 EUR/h\nseed: 1"
    workspace.add_project("p", "true", settings)
    rows = workspace.nasexp("config", "--project", "p", "--json").json()

    assert {row["key"] for row in rows} <= settings_told()


def test_every_setting_of_the_reference_is_allowed_where_it_says(workspace):
    plugin = (ROOT / "plugins" / "disk_usage.py").read_bytes()
    workspace.write({"plugins/disk_usage.py": plugin})
    text = (REFERENCE / "settings.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \|.*?\|.*?\| ([^|]*) \|", text, re.MULTILINE)

    assert len(rows) > 15
    for key, places in rows:
        refused = {place for place in ("nasexp.yaml", "project.yaml", "a host's entry")
                   if is_unknown(workspace, key, place)}  # fmt: skip
        expected = {"nasexp.yaml", "project.yaml", "a host's entry"} - set(places.split(", "))
        assert refused == expected, key


def is_unknown(workspace, key, place):
    """Whether a key is refused in a place as one that is not known there."""
    path = f"hosts.any.{key}" if place == "a host's entry" else key
    value = nested_yaml(path)
    base, project = "plugins: [disk_usage]\n", "run: 'true'\n"
    if path.startswith("plugins"):
        base = ""
    if place == "project.yaml":
        project = value if path == "run" else project + value
    else:
        base += value
    workspace.write({"nasexp.yaml": base, "projects/p/project.yaml": project})
    called = workspace.nasexp("config", "--project", "p")
    return "unknown key" in called.errors


def nested_yaml(path):
    value = "x"
    for name in reversed(path.split(".")[1:]):
        value = f"{{{name}: {value}}}"
    return f"{path.partition('.')[0]}: {value}\n"


def test_every_exit_code_is_told():
    rows = table_of("exit-codes.md")

    assert {row[0] for row in rows} == {f"`{int(code)}`" for code in ExitCode}
    assert [row[1] for row in rows] == list(EXIT_CODE_MEANINGS.values())


@pytest.fixture
def finished(workspace):
    """A workspace with one billed run that had a warning, and one that is live in its files."""
    job = (
        "mkdir output; echo x >output/x; env | grep -E '^(NASEXP|PYTHONHASHSEED|PYTHONUNBUFFERED)'"
    )
    settings = "client: A\nrate: 1 EUR/h\nseed: 3\nparams: {lr: 1}"
    workspace.add_project("p", job, settings, {".env": ""})
    workspace.write({"projects/p/plugin.py": COLUMN})
    workspace.nasexp("run", "--project", "p").assert_ok()
    return workspace


COLUMN = """
from nasexp import hookimpl

@hookimpl
def nasexp_run_columns():
    return {"NAME": 1}
"""


def test_json_documents_have_the_keys_of_the_reference_and_no_others(finished):
    documents = {
        "runs": finished.nasexp("runs", "--json").json()[0],
        "show": finished.nasexp("show", "--json").json(),
        "config": finished.nasexp("config", "--json").json()[0],
        "report": finished.nasexp("report", "--json").json(),
    }
    cut_off = finished.root / "projects/p/results/run_7"
    cut_off.mkdir()
    (cut_off / "run.info").write_text("status|running\nstart_epoch|1790000000\n")
    [documents["status"]] = finished.nasexp("status", "--json").json()

    for name, document in documents.items():
        assert list(document) == names_in("json.md", f"## {name} --json"), name
    [row] = documents["report"]["rows"]
    assert list(row) == names_in("json.md", "### Rows of a report")
    text = (REFERENCE / "json.md").read_text()
    inner = [documents["report"]["totals"][0], finished.nasexp("report", "--json").json()["open_runs"][0],
             documents["show"]["stages"][0], documents["show"]["files"][0],
             documents["show"]["archive"]]  # fmt: skip
    for document in inner:
        assert "`{" + ", ".join(document) + "}`" in text


def test_documents_about_hosts_have_the_keys_of_the_reference(workspace, tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'A GPU, 1, 2, 3, 4'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    looked = workspace.nasexp("check", "--json").json()
    [host] = workspace.nasexp("hosts", "--json").json()

    assert list(looked) == names_in("json.md", "## check --json")
    assert list(host) == names_in("json.md", "## hosts --json")
    text = (REFERENCE / "json.md").read_text()
    for document in (looked["checks"][0], host["gpus"][0]):
        assert "`{" + ", ".join(document) + "}`" in text


def test_a_runs_folder_is_as_the_reference_tells(finished):
    folder = finished.run_paths("p").folder
    files = {path.name + "/" * path.is_dir() for path in folder.iterdir()}
    keys = [line.partition("|")[0] for line in (folder / "run.info").read_text().splitlines()]

    assert files == set(names_in("run-folder.md"))
    assert keys == [key for key in names_in("run-folder.md", "## run.info") if key != "error"]


def written_events():
    """Return the names of all events that some line of nasexp writes."""
    found = set()
    for path in (ROOT / "nasexp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("journal.write", "_journal", "_keep")
            ):
                words = [word.value for word in node.args if isinstance(word, ast.Constant)]
                found |= {word for word in words if isinstance(word, str)}
    return found


def test_every_event_is_told_with_its_facts(finished):
    told = {row[0].strip("`"): row[1] for row in table_of("run-folder.md", "## events.jsonl")}

    assert set(told) == written_events()
    for event in finished.events("p"):
        assert ", ".join(event.facts) == told[event.name], event.name


def test_a_job_gets_the_variables_of_the_reference(finished):
    log = finished.run_paths("p").log.read_text()
    names = {line.partition("=")[0] for line in log.splitlines()}

    assert names == set(names_in("variables.md", "## What a training gets")) - {"VIRTUAL_ENV"}


def test_every_variable_that_is_read_is_told():
    files = [*(ROOT / "nasexp").rglob("*.py"), ROOT / "inv"]
    read = {
        name
        for path in files
        if "skeletons" not in path.parts
        for name in re.findall(r"NASEXP_[A-Z]+(?:_[A-Z]+)*\b", path.read_text())
    }
    told = (REFERENCE / "variables.md").read_text()

    assert {name for name in read if f"`{name}`" not in told} == set()


# What the pages say to type.


def told_commands(path):
    """Yield every command line of a page: in blocks of sh, behind `$` in consoles, in code."""
    text = path.read_text()
    for block in blocks(path, "sh", "crontab"):
        yield from block.splitlines()
    for block in blocks(path, "console"):
        yield from (line[2:] for line in block.splitlines() if line.startswith("$ "))
    yield from CODE.findall(FENCE.sub("", text))


def calls_in(line):
    """Yield (program, words) of the calls of nasexp in a line of sh."""
    for part in re.split(r"&&|\|\||[|;]|>>|>", line):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:
            continue
        while words and (re.match(r"[A-Z_]+=", words[0]) or re.fullmatch(r"[\d*/,-]+", words[0])):
            words.pop(0)
        program = PROGRAM.match(words[0]) if words else None
        if program and len(words) > 1:
            yield program[1], words[1:]


def plugin_commands():
    """Return the commands that plugins add, those of the repository and those in the docs."""
    modules = [load_file(ROOT / "plugins" / "disk_usage.py", "disk_usage")]
    for name, text in PYTHON_EXAMPLES.items():
        if "nasexp_tasks" in text:
            module = type(sys)(Path(name).stem)
            sys.modules["docs_example"] = module
            module.__dict__["__name__"] = "docs_example"
            exec(compile(text, name, "exec"), module.__dict__)
            modules.append(module)
    return [read_command(function) for module in modules for function in module.nasexp_tasks()]


def python_examples():
    found = {}
    for path in PAGES:
        for text in blocks(path, "python"):
            mark = re.match(r"# (\S+\.py)\n", text)
            assert mark, (
                f"{name_of(path)}: a python block begins with the name of its file:\n{text}"
            )
            assert mark[1] not in found, f"{mark[1]} stands twice"
            found[mark[1]] = text
    return found


PYTHON_EXAMPLES = python_examples()
PLACEHOLDERS = {"COMMAND", "TASK"}


def refuse_unparsable(program, words, invoke_parser):
    """Raise for a command line that the real parser of its front refuses."""
    if words[0] in PLACEHOLDERS or words[0] in {"--help", "--version", "--list"}:
        return
    if program != "nasexp":
        invoke_parser.parse_argv(list(words))
        return
    if words[0] == "--workspace":
        words = words[2:]
    known = COMMANDS | {command.name: command for command in plugin_commands()}
    assert words[0] in known, f"there is no command {words[0]}"
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            parser_of(known[words[0]]).parse_args(words[1:])
    except SystemExit as left:
        assert left.code == 0, errors.getvalue()


@pytest.fixture(scope="module")
def invoke_parser():
    """Invoke's own parser, with the tasks of this repository."""
    sys.path.insert(0, str(ROOT))
    try:
        namespace = load_file(ROOT / "tasks.py", "tasks.py").namespace
    finally:
        sys.path.remove(str(ROOT))
    core = ParserContext(args=Program().core_args() + Program().task_args())
    return Parser(contexts=namespace.to_contexts(), initial=core)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_command_line_parses(path, invoke_parser):
    for line in told_commands(path):
        for program, words in calls_in(line):
            try:
                refuse_unparsable(program, words, invoke_parser)
            except (ParseError, AssertionError) as error:
                raise AssertionError(f"{name_of(path)}: {line!r}: {error}") from error


def test_many_command_lines_are_found_and_wrong_ones_refused(invoke_parser):
    found = [call for path in PAGES for line in told_commands(path) for call in calls_in(line)]

    assert len([call for call in found if call[0] == "nasexp"]) > 25
    assert len([call for call in found if call[0] == "inv"]) > 20
    for line in ("nasexp rum", "nasexp run --projct p", "./inv rum", "./inv run --projct p"):
        [(program, words)] = calls_in(line)
        with pytest.raises((ParseError, AssertionError)):
            refuse_unparsable(program, words, invoke_parser)


# The first server.

FIRST_SERVER = DOCS / "how-to" / "first-server.md"


@pytest.mark.parametrize("trouble", Trouble, ids=lambda trouble: trouble.name)
def test_every_trouble_with_a_host_is_told(trouble):
    assert f"| `{re.sub(r'{[^}]+}', '…', trouble.value)}` |" in FIRST_SERVER.read_text()


def test_every_line_of_check_is_told():
    tree = ast.parse((ROOT / "nasexp" / "checks.py").read_text())
    made = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"]  # fmt: skip
    section = FIRST_SERVER.read_text().partition("| line | means |")[2].partition("\n\n")[0]

    told = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert sorted(told) == sorted({node.args[0].value for node in made})


# What consoles show: what needs no real training is done again and compared.

RECORDS = [("ok", 20.26, 20, 0.9849), ("ok", 20.26, 20, 0.9798), ("ok", 0.15, 2, 0.9647), ("stopped", 14.3, 14, 0.9874)]  # fmt: skip
STARTS = [1795545143, 1795545163, 1795545200, 1795545202]


def shown_in_consoles():
    """Yield (page, command line, lines behind it) of what a test can do again."""
    for path in [ROOT / "README.md", DOCS / "tutorial/first-run.md"]:
        for block in blocks(path, "console"):
            for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, _, output = shown.partition("\n")
                words = line.split()
                again = {"runs", "report", "config", "--dry-run", "parms.lr=1"} & set(words)
                if words[0] == "./inv" and again:
                    yield pytest.param(line, output, id=f"{path.stem}: {line}")


def runs_before(output):
    """Return how many runs there were when a console showed this."""
    would = re.search(r"run_(\d+) would", output)
    total = re.search(r"^total +(\d+)", output, re.MULTILINE)
    found = would or total
    return int(found[1]) if found else output.count("example_proj/run_")


def write_runs(workspace, count):
    for number, ((status, seconds, epochs, accuracy), start) in enumerate(
        list(zip(RECORDS, STARTS, strict=True))[:count]
    ):
        text = f"""\
            start_epoch|{start}
            end_epoch|{start + round(seconds)}
            id|{number}
            status|{status}
            seconds|{seconds}
            host|local
            client|example client
            rate|1.50 EUR/h
            column.epochs|{epochs}
            column.accuracy|{accuracy}
            """
        workspace.write({f"projects/example_proj/results/run_{number}/run.info": text})


@pytest.mark.parametrize(("line", "output"), list(shown_in_consoles()))
def test_consoles_show_what_is_really_printed(workspace, monkeypatch, line, output):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    files = [ROOT / "nasexp.yaml", *(ROOT / "projects/example_proj").glob("*.*"),
             *(ROOT / "projects/example_proj/bin").iterdir()]  # fmt: skip
    workspace.write({name_of(file): file.read_bytes() for file in files if file.is_file()})
    write_runs(workspace, runs_before(output))

    [(_, words)] = calls_in(line)
    called = workspace.nasexp(*words)
    monkeypatch.undo()
    time.tzset()

    real = [text.rstrip() for text in (called.output + called.errors).splitlines()]
    told = [text.rstrip() for text in output.splitlines()]
    pattern = "".join(
        r"(?:.*\n)*" if text.strip() == "…" else re.escape(text) + "\n" for text in told
    )
    assert re.fullmatch(pattern, "".join(f"{text}\n" for text in real)), "\n".join(real)


# README.


def test_the_first_screen_sets_up_with_two_commands():
    screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])
    block, *others = re.findall(r"^```(?:sh|console)\n(.*?)^```$", screen, re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].strip() for line in block.splitlines()]

    assert lines[0].startswith("git clone <this repository>")
    assert lines[1:] == ["./inv run --project example_proj", "./inv dev.test"]
    assert others == []


def test_the_tree_in_the_readme_is_that_of_a_run():
    told = re.findall(r"^[├└]── (\S+)", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert sorted(told) == sorted(names_in("run-folder.md"))


# Links and examples.


def anchors(path):
    heads = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_somewhere(path):
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.is_relative_to(ROOT), target
        if name_of(there) in NOT_YET_THERE:
            continue
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_is_linked_and_none_is_excused_that_is_there():
    linked = set()
    for path in PAGES:
        for target in LINK.findall(path.read_text()):
            linked.add((path.parent / target.partition("#")[0]).resolve())

    assert {name_of(page) for page in PAGES if page.resolve() not in linked} <= {
        "README.md",
        "docs/index.md",
    }
    assert {name for name in NOT_YET_THERE if (ROOT / name).exists()} == set()


def yaml_examples():
    found = []
    for path in PAGES:
        for number, text in enumerate(blocks(path, "yaml", "yml")):
            mark = re.match(r"# (nasexp\.yaml|projects/(\S+)/project\.yaml)\n", text)
            assert mark, f"{name_of(path)}: a yaml block begins with the name of its file:\n{text}"
            name = f"{name_of(path)}-{number}"
            found.append(pytest.param(mark[1], mark[2], text, id=name))
    return found


def write_plugins(workspace):
    workspace.write({"plugins/disk_usage.py": (ROOT / "plugins/disk_usage.py").read_bytes()})
    for name, text in PYTHON_EXAMPLES.items():
        if name.startswith("plugins/"):
            workspace.write({name: text})


@pytest.mark.parametrize(("file", "project", "text"), yaml_examples())
def test_every_yaml_example_is_accepted(workspace, file, project, text):
    write_plugins(workspace)
    workspace.write({file: text, "projects/any/project.yaml": "run: 'true'"})

    workspace.nasexp("config", "--project", project or "any").assert_ok()


TRAINING = "mkdir output; echo 0.5 0.25 >output/losses.txt; echo '{\"slope\": 2.5}' >output/model.json; echo $OMP_NUM_THREADS $PATH"


def files_told(workspace, project):
    """Return what an example did: the log, the record's columns, the summary, the list."""
    paths = workspace.run_paths(project)
    summary, told = paths.folder / "summary.txt", workspace.root / "finished.txt"
    return {
        "log": paths.log.read_text(),
        "columns": workspace.record(project).columns,
        "summary": summary.read_text() if summary.exists() else "",
        "finished": told.read_text() if told.exists() else "",
    }


DOES = {
    "projects/digits/plugin.py": lambda did: did["columns"] == {"slope": "2.500"},
    "projects/column/plugin.py": lambda did: did["columns"] == {"best loss": "0.25"},
    "projects/replace/plugin.py": lambda did: did["log"].startswith("1 /opt/tools/bin:"),
    "projects/wrap/plugin.py": lambda did: did["summary"] == "wrap/run_0: 2 files\n",
    "plugins/finished.py": lambda did: did["finished"] == "p/run_0 is ok\n",
    "plugins/best.py": lambda did: True,  # a command, called below
}
"""What each plugin of the docs must have done after a run; a new example needs a line here."""

PLUGINS_TOLD = [name for name in PYTHON_EXAMPLES if not Path(name).name.startswith("test_")]


@pytest.mark.parametrize("name", PLUGINS_TOLD)
def test_every_plugin_example_does_what_it_says(workspace, name):
    project = name.split("/")[1] if name.startswith("projects/") else "p"
    workspace.add_project(project, TRAINING)
    workspace.write({name: PYTHON_EXAMPLES[name]})
    if name.startswith("plugins/"):
        workspace.write({"nasexp.yaml": f"plugins: [{Path(name).stem}]\n"})
    if name == "plugins/finished.py":
        workspace.add_project("p", "mkdir output; sleep 0.2", "finished: {longer_than: 0.1s}")

    workspace.nasexp("run", "--project", project).assert_ok()

    assert DOES[name](files_told(workspace, project)), files_told(workspace, project)


def test_the_command_example_finds_the_best_run(workspace):
    workspace.add_project("p", TRAINING)
    workspace.write({"plugins/best.py": PYTHON_EXAMPLES["plugins/best.py"]})
    workspace.write({"nasexp.yaml": "plugins: [best]"})
    workspace.write({"projects/p/plugin.py": COLUMN})
    workspace.nasexp("run", "--project", "p").assert_ok()

    assert workspace.nasexp("best", "p", "--column", "NAME").output == "p/run_0 1.0\n"


@pytest.mark.parametrize("name", [n for n in PYTHON_EXAMPLES if n not in PLUGINS_TOLD])
def test_every_test_example_passes(name, tmp_path):
    (tmp_path / name).write_text(PYTHON_EXAMPLES[name])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )

    assert "1 passed" in done.stdout, done.stdout + done.stderr
