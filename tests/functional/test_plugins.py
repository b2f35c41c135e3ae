"""What plugins can do, and how each way of being broken is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nasexp.testing import WorkspaceMaker

IMPORTS = "from nasexp import hookimpl\n"


def project_plugin(workspace: WorkspaceMaker, text: str) -> None:
    workspace.write({"projects/p/plugin.py": IMPORTS + text})


@pytest.fixture
def project(workspace):
    workspace.add_project("p", "mkdir output; echo hi; echo x >output/x")
    return workspace


def test_a_project_can_replace_a_stage(project):
    project_plugin(
        project,
        """
from nasexp.values import Environment

@hookimpl
def nasexp_environment(run):
    return Environment("mine", {"GREETING": "hello from a plugin"}, ("/mine/bin",), "umask 077")
""",
    )
    project.write({"projects/p/project.yaml": "run: 'mkdir output; echo $GREETING $PATH; umask'"})

    project.nasexp("run", "--project", "p").assert_ok()

    log = project.run_paths("p").log.read_text()
    assert log.startswith("hello from a plugin /mine/bin:")
    assert log.endswith("0077\n")


def test_a_project_can_wrap_a_stage(project):
    project_plugin(
        project,
        """
@hookimpl(wrapper=True)
def nasexp_collect(run):
    collected = yield
    (collected.output / "summary.txt").write_text(f"{collected.files} files")
    return collected
""",
    )

    project.nasexp("run", "--project", "p").assert_ok()

    assert (project.run_paths("p").output / "summary.txt").read_text() == "1 files"


def test_a_plugin_can_own_a_section_with_checked_keys(project):
    section = """
from nasexp.config.schema import Schema
from nasexp.config.settings import ConfigSection
from nasexp.config.units import Duration

class Mine(Schema, frozen=True):
    every: Duration = Duration.parse("5m")

@hookimpl
def nasexp_config_section():
    return ConfigSection("mine", Mine)

@hookimpl
def nasexp_run_columns(run):
    return {"every": run.settings.section("mine", Mine).every}
"""
    project_plugin(project, section)
    project.write({"projects/p/project.yaml": "run: 'mkdir output'\nmine: {every: 7m}\n"})
    project.nasexp("run", "--project", "p").assert_ok()
    assert project.record("p").columns == {"every": "7m"}
    project.nasexp("config", "--project", "p").assert_code(
        0, "mine.every", "projects/p/project.yaml:2"
    )

    project.write({"projects/p/project.yaml": "run: 'mkdir output'\nmine: {evry: 7}\n"})

    project.nasexp("run", "--project", "p").assert_code(
        2, "projects/p/project.yaml:2:8: mine.evry: unknown key; did you mean 'every'?"
    )


def test_columns_are_kept_with_the_run_and_listed(project):
    project_plugin(
        project,
        """
@hookimpl
def nasexp_run_columns(collected):
    return {"accuracy": 0.98, "files": collected.files}
""",
    )
    project.nasexp("run", "--project", "p").assert_code(0, "accuracy 0.98")
    (project.root / "projects/p/plugin.py").unlink()

    project.nasexp("runs").assert_code(0, "accuracy", "0.98")
    assert project.nasexp("runs", "--json").json()[0]["columns"] == {
        "accuracy": "0.98",
        "files": "1",
    }


def test_observers_are_told_in_order(project):
    project_plugin(
        project,
        """
def tell(run, text):
    with (run.paths.folder / "told").open("a") as file:
        file.write(text + "\\n")

@hookimpl
def nasexp_stage_started(run, stage):
    tell(run, f"> {stage.value}")

@hookimpl
def nasexp_stage_finished(run, stage, outcome):
    tell(run, f"< {stage.value} {outcome.ok}")

@hookimpl
def nasexp_training_started(run, job):
    tell(run, "training started")

@hookimpl
def nasexp_training_ended(run, ending):
    tell(run, f"training ended: {ending}")

@hookimpl
def nasexp_run_finished(run, record):
    tell(run, f"finished {record.status}")
""",
    )
    project.nasexp("run", "--project", "p").assert_ok()

    told = (project.run_paths("p").folder / "told").read_text().splitlines()
    assert told == [
        "> connect", "< connect True", "> archive", "< archive True", "> transfer",
        "< transfer True", "> train", "training started", "training ended: exit code 0",
        "< train True", "> backup", "< backup True", "> collect", "< collect True", "> shutdown",
        "< shutdown True", "finished ok",
    ]  # fmt: skip


def test_a_failing_observer_stops_nothing_and_silences_nobody(project):
    project.write({"plugins/bad.py": IMPORTS + """
@hookimpl(tryfirst=True)
def nasexp_stage_finished(run, stage):
    if stage.value == "connect":
        raise ValueError("observer broke")
"""})  # fmt: skip
    project.write({"nasexp.yaml": "plugins: [bad]"})
    project_plugin(
        project,
        """
@hookimpl
def nasexp_stage_finished(run, stage):
    (run.paths.folder / f"seen-{stage.value}").touch()
""",
    )

    project.nasexp("run", "--project", "p").assert_code(
        4, "plugin 'bad' failed in nasexp_stage_finished", "bad.py:6: ValueError: observer broke"
    )

    assert (project.run_paths("p").folder / "seen-connect").exists()
    assert project.record("p").status == "ok"
    assert project.record("p").warnings == 1


def test_a_failing_column_is_a_warning_that_names_the_plugin(project):
    project_plugin(
        project,
        """
@hookimpl
def nasexp_run_columns(run):
    return {"a": 1 / 0}
""",
    )

    project.nasexp("run", "--project", "p").assert_code(
        4,
        "plugin 'projects/p/plugin.py' failed in nasexp_run_columns",
        "plugin.py:5: ZeroDivisionError",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:\n", "plugin projects/p/plugin.py:2: invalid syntax"),
        ("\nimport nothing_such\n", "plugin projects/p/plugin.py:3: ModuleNotFoundError: No module named 'nothing_such'"),
        ("\n\n1 / 0\n", "plugin projects/p/plugin.py:4: ZeroDivisionError"),
        ("@hookimpl\ndef nasexp_colect(run): ...\n", "there is no hook nasexp_colect; did you mean 'nasexp_collect'?"),
        ("def nasexp_collect(run): ...\n", "nasexp_collect is not marked as a hook"),
        ("@hookimpl\ndef nasexp_collect(runn): ...\n", "nasexp_collect has no argument 'runn'; did you mean 'run'?"),
        ("@hookimpl\ndef nasexp_archive(run): return 'x'\n", "returned str from nasexp_archive, expected Archive"),
        ("@hookimpl\ndef nasexp_archive(run): return {}['x']\n", "plugin 'projects/p/plugin.py' failed in nasexp_archive"),
        ("@hookimpl\ndef nasexp_config_section(): return 5\n", "returned int from nasexp_config_section"),
        ("@hookimpl\ndef nasexp_config_section(): return [5]\n", "returned int from nasexp_config_section, expected ConfigSection"),
        ("@hookimpl\ndef nasexp_config_section(): 1 / 0\n", "failed in nasexp_config_section"),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_one_clear_error_with_its_file(project, text, message):
    project_plugin(project, text)

    called = project.nasexp("run", "--project", "p").assert_code(3, message, "plugin.py")

    assert "Traceback" not in called.errors


def test_a_plugin_that_cannot_be_loaded_leaves_no_run_behind(project):
    project_plugin(project, "1 / 0")

    project.nasexp("run", "--project", "p").assert_code(3)

    assert not (project.root / "projects/p/results").exists()


def test_an_unknown_plugin_names_the_nearest(project):
    project.write({"plugins/notify.py": "", "nasexp.yaml": "plugins: [notfy]"})

    project.nasexp("run", "--project", "p").assert_code(
        2, "there is no plugin 'notfy'; did you mean 'notify'?"
    )


def test_a_project_can_switch_a_workspace_plugin_off(project):
    project.write({"plugins/bad.py": "1 / 0", "nasexp.yaml": "plugins: [bad]"})
    project.nasexp("run", "--project", "p").assert_code(3)

    project.write({"projects/p/project.yaml": "run: mkdir output\nplugins: ['no:bad']"})

    project.nasexp("run", "--project", "p").assert_ok()


def test_files_of_plugins_are_not_loaded_unless_named(project):
    project.write({"plugins/bad.py": "1 / 0"})

    project.nasexp("run", "--project", "p").assert_ok()


def test_the_projects_plugin_is_asked_before_the_workspaces(project):
    environment = """
from nasexp.values import Environment

@hookimpl
def nasexp_environment(run):
    return Environment("e", {{"WHO": "{}"}})
"""
    project.write({"plugins/w.py": IMPORTS + environment.format("workspace")})
    project.write({"nasexp.yaml": "plugins: [w]"})
    project.write({"projects/p/project.yaml": "run: 'mkdir output; echo $WHO'"})
    project.nasexp("run", "--project", "p").assert_ok()
    project_plugin(project, environment.format("project"))
    project.nasexp("run", "--project", "p").assert_ok()

    assert project.run_paths("p", 0).log.read_text() == "workspace\n"
    assert project.run_paths("p", 1).log.read_text() == "project\n"


def test_plugins_of_two_projects_never_meet(workspace):
    for name in ("a", "b"):
        workspace.add_project(name, "mkdir output")
        workspace.write({f"projects/{name}/plugin.py": IMPORTS + f"""
@hookimpl
def nasexp_run_columns():
    return {{"who": "{name}"}}
"""})  # fmt: skip
    for name in ("a", "b"):
        workspace.nasexp("run", "--project", name).assert_ok()

    assert [workspace.record(name).columns["who"] for name in ("a", "b")] == ["a", "b"]


TASK_PLUGIN = (
    IMPORTS
    + '''
from typing import Annotated
from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command

@hookimpl
def nasexp_tasks():
    return [greet]

@command
def greet(context: CommandContext, who: Annotated[str, Arg("whom")] = "you") -> None:
    """Greet somebody."""
    context.print(f"hello {who} in {context.workspace.root.name}")
'''
)


def test_a_workspace_plugin_can_add_a_command(workspace):
    workspace.write({"plugins/greeting.py": TASK_PLUGIN, "nasexp.yaml": "plugins: [greeting]"})

    workspace.nasexp("greet", "--who", "Ada").assert_code(0, "hello Ada in deeplearning")
    workspace.nasexp("--help").assert_code(0, "greet", "Greet somebody.")


def test_a_plugin_whose_commands_are_broken_leaves_the_others(workspace):
    broken = IMPORTS + "@hookimpl\ndef nasexp_tasks():\n    return [print]\n"
    workspace.write({"plugins/good.py": TASK_PLUGIN, "plugins/broken.py": broken})
    workspace.write({"nasexp.yaml": "plugins: [good, broken]"})

    called = workspace.nasexp("greet").assert_code(0, "hello you")

    assert "commands of plugins are missing" in called.errors


def test_an_installed_package_is_a_plugin_by_its_entry_point(workspace, tmp_path, monkeypatch):
    info = tmp_path / "hello_nasexp-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hello-nasexp\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nasexp]\nhello = hello_nasexp\n")
    column = "@hookimpl\ndef nasexp_run_columns():\n    return {'hello': 'installed'}\n"
    (tmp_path / "hello_nasexp.py").write_text(IMPORTS + column)
    monkeypatch.syspath_prepend(str(tmp_path))
    workspace.add_project("p", "mkdir output")

    workspace.nasexp("run", "--project", "p").assert_code(0, "hello installed")
    workspace.nasexp("run", "--project", "p", "--set", "plugins=['no:hello']").assert_ok()
    monkeypatch.setenv("NASEXP_DISABLE_PLUGIN_AUTOLOAD", "1")
    workspace.nasexp("run", "--project", "p").assert_ok()

    columns = [workspace.record("p", number).columns for number in range(3)]
    assert columns == [{"hello": "installed"}, {}, {}]


def test_an_installed_plugin_that_cannot_be_imported_says_how_to_go_on(
    workspace, tmp_path, monkeypatch
):
    info = tmp_path / "bad_nasexp-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-nasexp\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nasexp]\nbad = bad_nasexp_missing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    workspace.add_project("p", "mkdir output")

    workspace.nasexp("run", "--project", "p").assert_code(
        3, "installed plugin 'bad'", "switch it off: `plugins: [no:bad]`"
    )


def test_disk_usage_warns_and_lists(workspace):
    from pathlib import Path

    source = Path(__file__).parents[2] / "plugins" / "disk_usage.py"
    workspace.write({"plugins/disk_usage.py": source.read_bytes()})
    workspace.write({"nasexp.yaml": "plugins: [disk_usage]\ndisk_usage: {warn_below: 900000TB}"})
    run = "mkdir output; head -c 3000000 /dev/zero >output/big; ln output/big output/same"
    workspace.add_project("p", run)

    workspace.nasexp("run", "--project", "p").assert_code(4, "are free for results")
    listed = workspace.nasexp("disk-usage", "--json").json()

    assert [row["run"] for row in listed["runs"]] == ["p/run_0"]
    assert listed["runs"][0]["size_bytes"] >= 3_000_000
    workspace.nasexp("disk-usage").assert_code(0, "p/run_0", "1 runs take")
