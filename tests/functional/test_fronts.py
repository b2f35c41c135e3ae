"""Both fronts, and the commands that look at runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time

import pytest

from nasexp.cli.argparse_front import parser_of
from nasexp.cli.definition import Arg, command, load_commands, read_command
from nasexp.cli.invoke_front import CommandTask, collection
from nasexp.config.showing import without_secrets
from nasexp.errors import PluginError

TASKS = "from nasexp.cli.invoke_front import collection\n\nns = collection()\n"
COMMANDS = load_commands()


@pytest.fixture
def invoke(workspace):
    workspace.write({"tasks.py": TASKS})

    def called(*words):
        return subprocess.run(
            [sys.executable, "-m", "invoke", *words],
            cwd=workspace.root,
            capture_output=True,
            text=True,
        )

    return called


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_both_fronts_have_the_same_flags(command):
    parser = parser_of(command)
    options = {name for action in parser._actions for name in action.option_strings}
    positionals = {a.metavar.lower() for a in parser._actions if not a.option_strings}
    arguments = CommandTask(command).get_arguments()
    flags = {
        f"--{n}" if len(n) > 1 else f"-{n}" for a in arguments for n in a.names if not a.positional
    }
    required = {argument.names[0] for argument in arguments if argument.positional}

    # Invoke has no optional positionals: there such a parameter is a flag.
    optional = {p.flag for p in command.parameters if p.positional and not p.required}
    assert flags - {f"--{name}" for name in optional} == options - {"-h", "--help"}
    assert required == positionals - optional


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_both_fronts_have_the_same_help(command):
    texts = [parameter.help for parameter in command.parameters]
    shown = re.sub(r"\s+", " ", parser_of(command).format_help())
    helps = [argument.help for argument in CommandTask(command).get_arguments()]

    assert command.summary in shown
    for text in texts:
        assert text in helps
        assert re.sub(r"\s+", " ", text) in shown.replace("- ", "-")


def test_invoke_lists_every_command_with_its_first_line(invoke):
    done = invoke("--list")

    assert done.returncode == 0, done.stderr
    for found in COMMANDS:
        assert re.search(rf"^  {found.name} +\S", done.stdout, re.MULTILINE)
    assert set(collection().task_names) >= {found.name for found in COMMANDS}


def test_invoke_run_does_what_nasexp_run_does(workspace, invoke):
    workspace.add_project("p", "mkdir output; echo {lr}", "params: {lr: 1}")
    done = invoke("run", "--project", "p", "--set", "params.lr=2", "--set", "timeout=1m")

    assert done.returncode == 0, done.stderr
    assert "p/run_0: ok" in done.stdout
    assert workspace.run_paths("p").log.read_text() == "2\n"


def test_errors_and_exit_codes_are_the_same_under_invoke(workspace, invoke):
    workspace.add_project("p", "exit 3")
    wrong = invoke("run", "--project", "q")
    failed = invoke("run", "--project", "p")
    own = workspace.nasexp("run", "--project", "q")

    assert (wrong.returncode, failed.returncode) == (2, 6)
    assert wrong.stderr == own.errors
    assert "Traceback" not in wrong.stderr + failed.stderr


@pytest.mark.parametrize("words", [["init", "--help"], ["show", "--help"], ["--help", "show"]])
def test_help_is_help_also_where_a_positional_would_swallow_it(workspace, invoke, words):
    done = invoke(*words)

    assert done.returncode == 0, done.stderr
    assert "--workspace" in done.stdout
    assert not (workspace.root / "--help").exists()


def test_logs_has_its_short_flag_under_invoke_too(workspace, invoke):
    workspace.add_project("p", "mkdir output; echo hi")
    workspace.nasexp("run").assert_ok()

    assert invoke("logs", "-f", "--run", "p/run_0").stdout == "hi\n"


def test_nasexp_tells_its_commands_and_version(workspace):
    for words in ([], ["--help"]):
        called = workspace.nasexp(*words).assert_code(0, "nasexp [--workspace DIR] COMMAND")
        for found in COMMANDS:
            assert f"  {found.name}" in called.output
    workspace.nasexp("--version").assert_code(0, "nasexp 0.")


def test_a_function_that_is_no_command_is_refused():
    def plain(context):
        """Do nothing."""

    with pytest.raises(PluginError, match="plain is no command"):
        read_command(plain)

    @command
    def bare(context: object, x: str = "") -> None:
        """Do nothing."""

    with pytest.raises(PluginError, match="bare: parameter 'x' has no Annotated"):
        read_command(bare)
    assert Arg("help").flag == ""


def typed(workspace, number):
    return next(iter(workspace.events("p", number))).facts["command"]


def test_a_run_keeps_what_a_person_typed(workspace, invoke, monkeypatch):
    workspace.add_project("p", "mkdir output", "params: {api_key: x, lr: 1}")
    words = ["run", "--project", "p", "--set", "params.lr=2", "--set", "params.api_key=canary"]
    hidden = [*words[:-1], "params.api_key=***"]
    root = ["--workspace", str(workspace.root)]
    by_module = subprocess.run([sys.executable, "-m", "nasexp", *root, *words])
    by_invoke = invoke(*words)
    monkeypatch.setenv("NASEXP_INV", "/x/inv")
    by_inv = invoke("--write-pyc", "--search-root", str(workspace.root), *words)

    assert (by_module.returncode, by_invoke.returncode, by_inv.returncode) == (0, 0, 0)
    assert typed(workspace, 0) == ["nasexp", *root, *hidden]
    assert typed(workspace, 1) == typed(workspace, 2) == ["invoke", *hidden]
    assert "canary" not in workspace.run_paths("p").journal.read_text()


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("params.lr=1", "params.lr=1"),
        ("params.hf_token=a=b", "params.hf_token=***"),
        ("--set=params.api-key=x", "--set=params.api-key=***"),
        ("params={lr: 1, token: x}", "params={lr: 1, token=***"),
        ('params={"token": "x"}', 'params={"token=***'),
        ("client=the token bearer", "client=the token bearer"),
    ],
)
def test_secrets_of_a_command_line_are_hidden(word, shown):
    assert without_secrets(["run", word]) == ["run", shown]


def test_runs_json_keeps_its_keys(workspace):
    workspace.add_project("p", "mkdir output")
    workspace.nasexp("run").assert_ok()
    [row] = workspace.nasexp("runs", "--json").json()

    assert list(row) == [
        "run", "id", "project", "client", "host", "status", "ending", "exit_code", "started",
        "ended", "seconds", "rate", "error", "warnings", "columns",
    ]  # fmt: skip
    shown = workspace.nasexp("show", "--json").json()
    assert {*row, "folder", "stages", "notes", "warning_texts", "archive", "files"} == set(shown)
    assert workspace.nasexp("status", "--json").json() == []
    [setting, *_] = workspace.nasexp("config", "--json").json()
    assert list(setting) == ["key", "value", "origin"]


def test_runs_lists_all_projects_or_one(workspace):
    for name in ("a", "b"):
        workspace.add_project(name, "mkdir output")
        workspace.nasexp("run", "--project", name).assert_ok()

    assert [row["run"] for row in workspace.nasexp("runs", "--json").json()] == [
        "a/run_0",
        "b/run_0",
    ]
    only = workspace.nasexp("runs", "--project", "b").assert_code(0, "b/run_0", "ok", "local")
    assert "a/run_0" not in only.output
    workspace.nasexp("runs", "--project", "c").assert_code(2)


def test_listings_of_an_empty_workspace_say_so(workspace):
    workspace.nasexp("runs").assert_code(0, "no runs yet")
    workspace.nasexp("status").assert_code(0, "no run is live")
    assert workspace.nasexp("runs", "--json").json() == []


def test_show_tells_stages_files_and_warnings(workspace):
    workspace.add_project("p", "mkdir output; echo x >output/x; exit 2", files={".env": ""})
    workspace.nasexp("run").assert_code(6)

    workspace.nasexp("show", "latest").assert_code(
        0,
        "p/run_0",
        "status    failed",
        "the training ended with exit code 2",
        "collect",
        "output/x",
    )


def test_logs_are_shown_without_control_codes_or_raw(workspace):
    workspace.add_project(
        "p", "mkdir output; printf '\\033[31mred\\033[0m\\n50%%\\r100%%\\nno end'"
    )
    workspace.nasexp("run").assert_ok()

    assert workspace.nasexp("logs").output == "red\n100%\nno end\n"
    command = [sys.executable, "-m", "nasexp", "--workspace", str(workspace.root), "logs", "--raw"]
    raw = subprocess.run(command, capture_output=True)
    assert raw.stdout == b"\x1b[31mred\x1b[0m\n50%\r100%\nno end"


def test_logs_follow_a_run_to_its_end(workspace):
    workspace.add_project(
        "p", "mkdir output; echo one; until [ -e ../go ]; do sleep 0.02; done; echo two"
    )
    command = [sys.executable, "-m", "nasexp", "--workspace", str(workspace.root)]
    driver = subprocess.Popen([*command, "run"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not (workspace.run_paths("p").log.exists() and workspace.record("p").status == "running"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    follower = subprocess.Popen([*command, "logs", "-f"], stdout=subprocess.PIPE, text=True)
    assert follower.stdout.readline() == "one\n"
    (workspace.host_runs()[0] / "go").touch()

    assert follower.communicate(timeout=30)[0] == "two\n"
    assert (driver.wait(30), follower.returncode) == (0, 0)


def test_config_shows_values_with_their_origins_and_hides_secrets(workspace):
    workspace.write({"nasexp.yaml": "timeout: 1h\n"})
    workspace.add_project("p", "true", "params: {api_key: canary}")

    called = workspace.nasexp("config", "--project", "p").assert_code(0, "nasexp.yaml:1", "***")

    assert "canary" not in called.output
    assert re.search(r"^timeout +1h +nasexp.yaml:1$", called.output, re.MULTILINE)
    workspace.nasexp("config").assert_code(0, "timeout", "nasexp.yaml:1")
    assert re.search(r'^client +"" +default$', called.output, re.MULTILINE)


def test_a_pipe_gets_plain_lines_and_a_terminal_the_live_view(workspace):
    workspace.add_project("p", "mkdir output; echo hello from the training", files={".env": "x"})
    plain = workspace.nasexp("run").assert_ok().output
    assert "\x1b" not in plain
    assert re.search(r"^\d\d:\d\d:\d\d \|         hello from the training$", plain, re.MULTILINE)

    shown = on_terminal(["run", "--workspace", str(workspace.root)], {"TERM": "xterm-256color"})
    assert "\x1b[" in shown
    for text in (
        "✓",
        "connect",
        "shutdown",
        "hello from the training",
        "p/run_1: ok",
        "left out .env",
    ):
        assert text in shown
    without = on_terminal(["run", "--workspace", str(workspace.root)], {"NO_COLOR": "1"})
    assert "\x1b" not in without


def test_the_live_view_tells_failures_and_backups(workspace):
    workspace.add_project(
        "p",
        "mkdir output; echo x >output/x; sleep 0.5; printf 'last words'; exit 3",
        "backup: {every: 0.1s}",
    )

    shown = on_terminal(["run", "--workspace", str(workspace.root)], {"TERM": "xterm"})

    for text in ("✗", "exit code 3", "last words", "pass ", "p/run_0: failed"):
        assert text in shown


def on_terminal(words, variables):
    """Run nasexp on a pseudo-terminal and return all that it wrote there."""
    import pty

    own, other = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment |= {"TERM": "xterm", "COLUMNS": "100", "LINES": "40", **variables}
    child = subprocess.Popen(
        [sys.executable, "-m", "nasexp", *words],
        stdin=other,
        stdout=other,
        stderr=other,
        env=environment,
    )
    os.close(other)
    parts = []

    def read():
        try:
            while data := os.read(own, 65536):
                parts.append(data)
        except OSError:
            pass  # the terminal is closed when the child is gone

    reader = threading.Thread(target=read)
    reader.start()
    child.wait(60)
    reader.join(10)
    os.close(own)
    return b"".join(parts).decode(errors="replace")


def test_heavy_libraries_are_not_imported_by_what_should_be_fast(workspace):
    workspace.write({"tasks.py": TASKS})
    heavy = ["paramiko", "rich", "yaml", "pluggy", "tabulate", "msgspec", "isal"]
    for words in (["runs", "--json"], ["status", "--json"], ["--version"]):
        code = f"import sys; from nasexp.cli.argparse_front import main\ntry: main(['--workspace', {str(workspace.root)!r}, *{words}])\nexcept SystemExit: pass\nprint([m for m in {heavy} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.endswith("[]\n"), (words, done.stdout, done.stderr)
    heavy.remove("yaml")  # Invoke imports that by itself, for its own settings
    code = f"import sys; sys.argv = ['invoke', '--list']\nfrom invoke.main import program\ntry: program.run(exit=False)\nexcept SystemExit: pass\nprint([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace.root, capture_output=True, text=True
    )
    assert done.stdout.endswith("[]\n"), done.stdout + done.stderr
