from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from nasexp.config.workspace import Project
from nasexp.errors import StageError
from nasexp.runs.numbering import make_run_folder, new_run_id


@pytest.fixture
def project(tmp_path):
    (tmp_path / "p").mkdir()
    return Project("p", tmp_path / "p")


def test_the_first_run_is_run_0(project):
    assert make_run_folder(project) == (0, project.results / "run_0")
    assert make_run_folder(project)[0] == 1


def test_a_number_is_never_used_again_even_when_its_folder_is_gone(project):
    for _ in range(3):
        make_run_folder(project)
    shutil.rmtree(project.results / "run_2")

    assert make_run_folder(project)[0] == 3


def test_numbering_goes_on_behind_folders_that_came_from_elsewhere(project):
    (project.results / "run_7").mkdir(parents=True)
    (project.results / "run_x").mkdir()
    (project.results / "run_010").mkdir()

    assert make_run_folder(project)[0] == 8


def test_a_lost_high_water_mark_does_no_harm(project):
    make_run_folder(project)
    (project.results / ".next").write_text("rubbish")

    assert make_run_folder(project)[0] == 1


def test_a_results_folder_that_cannot_be_written_is_a_clear_error(project):
    project.results.write_text("a file is in the way")

    with pytest.raises(StageError, match="cannot make a run's folder"):
        make_run_folder(project)


def test_eight_processes_never_get_the_same_number(project):
    program = f"""
from pathlib import Path
from nasexp.config.workspace import Project
from nasexp.runs.numbering import make_run_folder
project = Project("p", Path({str(project.folder)!r}))
print(*[make_run_folder(project)[0] for _ in range(20)])
"""
    command = [sys.executable, "-c", program]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    numbers = [int(word) for worker in workers for word in worker.communicate()[0].split()]

    assert sorted(numbers) == list(range(160))
    assert (project.results / ".next").read_text() == "160\n"


def test_identities_are_128_random_bits():
    ids = {new_run_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(len(run_id) == 32 and int(run_id, 16) >= 0 for run_id in ids)
