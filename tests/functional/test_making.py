"""`init` and `new`: what they make runs at once, and nothing that exists is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nasexp.cli.argparse_front import main

ROOT = Path(__file__).parents[2]


def made(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_what_init_and_new_make_runs_at_once_on_both_fronts(workspace, tmp_path, monkeypatch):
    root = tmp_path / "deep learning"
    assert main(["init", str(root)]) == 0
    assert main(["--workspace", str(root), "new", "first"]) == 0
    monkeypatch.chdir(root)
    words = ["run", "--project", "first", "--set", "params.steps=2"]
    by_invoke = subprocess.run(
        [sys.executable, "-m", "invoke", *words], capture_output=True, text=True
    )
    code = main(words)

    assert (by_invoke.returncode, code) == (0, 0), by_invoke.stderr
    for number in (0, 1):
        folder = root / "projects" / "first" / "results" / f"run_{number}"
        assert "step   2/2" in (folder / "log.log").read_text()
        assert (folder / "output" / "model.json").read_text().startswith('{"step": 2')


@pytest.mark.usefixtures("programs_found")
def test_init_tells_what_it_made_and_what_comes_next(workspace, capsys):
    folder = workspace.root.parent / "other"
    assert main(["init", str(folder)]) == 0

    told = capsys.readouterr().out
    for name in made(folder):
        assert f"  {name}" in told
    assert f"next: cd {folder} && nasexp new PROJECT" in told


def test_init_tells_a_path_where_the_name_would_not_be_found(workspace, capsys, monkeypatch):
    folder = workspace.root.parent / "other"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert main(["init", str(folder)]) == 0

    told = capsys.readouterr().out.splitlines()[-1].removeprefix("next: ")
    done = subprocess.run(
        ["sh", "-c", told.replace("PROJECT", "p")], capture_output=True, text=True
    )
    assert done.returncode == 0, (told, done.stderr)
    assert (folder / "projects/p/project.yaml").is_file()
    again = done.stdout.splitlines()[-1].removeprefix("next: ")
    done = subprocess.run(["sh", "-c", f"{again} --dry-run"], cwd=folder, capture_output=True)
    assert done.returncode == 0, (again, done.stderr)


def test_under_inv_its_path_is_told(workspace, tmp_path):
    inv = "/some where/inv"
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "init", str(tmp_path / "w")],
        cwd=tmp_path,
        env={**os.environ, "NASEXP_INV": inv},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"next: cd {tmp_path / 'w'} && '{inv}' new PROJECT\n")


def test_init_leaves_alone_what_lies_there(workspace, capsys):
    folder = workspace.root.parent / "other"
    folder.mkdir()
    (folder / "tasks.py").write_text("# mine\n")
    assert main(["init", str(folder)]) == 0

    assert (folder / "tasks.py").read_text() == "# mine\n"
    assert "tasks.py" not in capsys.readouterr().out
    assert (folder / "nasexp.yaml").is_file()


def test_init_refuses_a_workspace(workspace):
    before = (workspace.root / "nasexp.yaml").read_text()

    workspace.nasexp("init", str(workspace.root)).assert_code(2, "is a workspace already")
    assert (workspace.root / "nasexp.yaml").read_text() == before


def test_init_says_what_cannot_be_made(workspace):
    file = workspace.root / "file"
    file.write_text("")

    workspace.nasexp("init", str(file / "inside")).assert_code(1, str(file), "cannot be made")


@pytest.mark.parametrize("name", ["..", "a/b", "a\nb", "-x", ".hidden", "x" * 65, "ü"])
def test_new_refuses_names_that_are_none(workspace, name):
    workspace.nasexp("new", "--", name).assert_code(2, "is no valid name")

    assert not (workspace.root / "projects").exists()


def test_new_leaves_a_project_of_that_name_alone(workspace):
    workspace.add_project("p", run="echo mine")

    workspace.nasexp("new", "p").assert_code(2, "projects/p is there already")
    assert (workspace.root / "projects/p/project.yaml").read_text() == 'run: "echo mine"\n'


def test_new_leaves_nothing_half_made(workspace, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "train.py")

    monkeypatch.setattr("shutil.copyfile", full)

    workspace.nasexp("new", "p").assert_code(1, "No space left on device")
    assert os.listdir(workspace.root / "projects") == []
