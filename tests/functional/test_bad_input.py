"""What a person can get wrong: one clear error, the right exit code, nothing half-made."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def refused(workspace, words, code, *texts):
    called = workspace.nasexp(*words).assert_code(code, *texts)
    assert "Traceback" not in called.errors
    for results in workspace.root.glob("projects/*/results"):
        assert not list(results.iterdir()), "something half-made was left behind"
    return called


def test_an_unknown_project_names_the_nearest(workspace):
    workspace.add_project("example_proj", "true")

    refused(
        workspace,
        ["run", "--project", "exampel_proj"],
        2,
        "there is no project 'exampel_proj'",
        "did you mean example_proj?",
    )


def test_a_workspace_without_projects_says_how_to_make_one(workspace):
    refused(workspace, ["run"], 2, "which project?", "nasexp new NAME")
    refused(workspace, ["run", "--project", "x"], 2, "make one with `nasexp new NAME`")


def test_the_only_project_and_the_default_project_need_no_name(workspace):
    workspace.add_project("one", "mkdir output")
    workspace.nasexp("run").assert_code(0, "one/run_0: ok")
    workspace.add_project("two", "mkdir output")
    workspace.nasexp("run").assert_code(2, "which project?", "one, two")
    workspace.write({"nasexp.yaml": "project: two"})

    workspace.nasexp("run").assert_code(0, "two/run_0: ok")
    workspace.nasexp("logs", "run_0").assert_ok()


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "a..b", ".hidden", "-x", "a b", "a\nb", "a\x1b[31m", "ü", "x" * 65, "a\0b"],
)
def test_names_that_no_path_should_hold_are_refused(workspace, name):
    workspace.add_project("p", "true")

    called = refused(workspace, ["run", f"--project={name}"], 2, "is no valid name")

    assert "\x1b" not in called.errors


def test_a_project_without_code(workspace):
    workspace.write({"projects/p/project.yaml": "run: ./run.sh"})

    refused(workspace, ["run", "--project", "p"], 2, "projects/p/bin is missing")


def test_a_project_without_its_settings(workspace):
    workspace.write({"projects/p/bin/run.sh": ""})

    refused(
        workspace,
        ["run", "--project", "p"],
        2,
        "projects/p/project.yaml is missing",
        "run: ./run.sh",
    )


def test_a_missing_run_script_names_the_nearest(workspace):
    workspace.add_project("p", "./rnu.sh", files={"run.sh": "#!/bin/sh\n"})

    refused(
        workspace,
        ["run", "--project", "p"],
        2,
        "projects/p/bin/rnu.sh is missing; did you mean './run.sh'?",
    )


def test_a_run_that_is_missing_or_empty(workspace):
    workspace.write({"projects/p/project.yaml": "output: output", "projects/p/bin/x": ""})
    refused(workspace, ["run", "--project", "p"], 2, "run: is missing or empty")

    workspace.write({"projects/p/project.yaml": "run: 'unclosed \"'"})
    refused(workspace, ["run", "--project", "p"], 2, "run:")


def test_a_script_with_windows_line_ends(workspace):
    workspace.add_project("p", "./run.sh", files={"run.sh": b"#!/bin/sh\r\necho hi\r\n"})

    refused(workspace, ["run", "--project", "p"], 2, "Windows line ends (CRLF)", "sed -i")


def test_a_script_named_without_its_folder(workspace):
    workspace.add_project("p", "run.sh", files={"run.sh": "#!/bin/sh\n"})

    refused(workspace, ["run", "--project", "p"], 2, "names no program", "write ./run.sh")


def test_a_python_script_without_its_first_line(workspace):
    workspace.add_project("p", "./train.py", files={"train.py": "print()\n"})

    refused(workspace, ["run", "--project", "p"], 2, "has no #! line", "run: python ./train.py")


def test_a_parameter_in_braces_that_is_nearly_one(workspace):
    workspace.add_project("p", "echo {epoch}", "params: {epochs: 3}")

    refused(
        workspace, ["run", "--project", "p"], 2, "{epoch} is no parameter; did you mean 'epochs'?"
    )


@pytest.mark.parametrize("output", ["/tmp/x", "../x", "a/../../x", "~/x", "''"])
def test_an_output_folder_outside_of_the_workdir(workspace, output):
    workspace.add_project("p", "true", f"output: {output}")

    refused(workspace, ["run", "--project", "p"], 2, "output: found")


def test_a_grace_without_an_end(workspace):
    workspace.add_project("p", "true", "train: {grace: never}")

    refused(workspace, ["run"], 2, "train.grace: found 'never', expected a duration such as")


def test_wrong_words_on_the_command_line(workspace):
    workspace.add_project("p", "true")

    refused(workspace, ["run", "--bogus"], 2, "--bogus")
    refused(workspace, ["run", "--timeout", "2 hours"], 2, "--timeout: timeout: found '2 hours'")
    refused(
        workspace,
        ["run", "--set", "tiemout=1h"],
        2,
        "--set tiemout: tiemout: unknown key; did you mean 'timeout'?",
    )
    refused(workspace, ["rnu"], 2, "rnu")
    refused(workspace, ["show", "p/run_9"], 2, "there is no run p/run_9", "p has no runs yet")
    refused(workspace, ["show", "nonsense"], 2, "'nonsense' is no address of a run")
    refused(workspace, ["logs"], 2, "there are no runs yet")


def test_a_run_that_is_not_there_says_which_are(workspace):
    workspace.add_project("p", "mkdir output")
    workspace.nasexp("run").assert_ok()

    workspace.nasexp("show", "p/run_7").assert_code(2, "p has run_0 to run_0")


def test_no_workspace_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.delenv("NASEXP_WORKSPACE", raising=False)
    command = [sys.executable, "-m", "nasexp", "runs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 2
    assert f"there is no nasexp.yaml in {tmp_path} or in any folder above it" in done.stderr
    assert "nasexp init" in done.stderr


def test_the_workspace_is_found_upwards_by_variable_and_by_flag(workspace, tmp_path, monkeypatch):
    workspace.add_project("p", "mkdir output")
    command = [sys.executable, "-m", "nasexp", "runs", "--json"]

    inside = subprocess.run(command, cwd=workspace.root / "projects/p/bin", capture_output=True)
    variable = {**os.environ, "NASEXP_WORKSPACE": str(workspace.root)}
    outside = subprocess.run(command, cwd=tmp_path, env=variable, capture_output=True)
    flag = subprocess.run(
        [*command, "--workspace", str(workspace.root)], cwd="/", capture_output=True
    )

    assert [done.stdout for done in (inside, outside, flag)] == [b"[]\n"] * 3


def test_a_given_workspace_that_is_none(tmp_path):
    command = [sys.executable, "-m", "nasexp", "--workspace", str(tmp_path), "runs"]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 2
    assert "is no workspace: it has no nasexp.yaml" in done.stderr


def test_a_reader_that_has_enough_is_no_error(workspace):
    workspace.add_project("p", "mkdir output; seq 200000")
    workspace.nasexp("run").assert_ok()
    command = f"{sys.executable} -m nasexp --workspace {workspace.root} logs | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_damaged_journal_is_named_by_show(workspace):
    workspace.add_project("p", "mkdir output")
    workspace.nasexp("run").assert_ok()
    path = workspace.run_paths("p").journal
    path.write_text(path.read_text().replace("connect", "canect"))

    workspace.nasexp("show").assert_code(1, "the journal is damaged or was edited")
    workspace.nasexp("runs").assert_ok()
