"""Gives each run its number: never the same twice, not even after a folder was deleted."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from nasexp.errors import StageError
from nasexp.runs.files import write_whole
from nasexp.runs.paths import run_folders

if TYPE_CHECKING:
    from pathlib import Path

    from nasexp.config.workspace import Project

HIGH_WATER_NAME = ".next"


def new_run_id() -> str:
    """Return a random 128-bit identity as 32 hex digits; the number is only a label."""
    return secrets.token_hex(16)


def next_number(project: Project) -> int:
    """Return the number that the next run would get."""
    used = [number for number, _ in run_folders(project)]
    return max([_high_water(project), *(number + 1 for number in used)])


def make_run_folder(project: Project) -> tuple[int, Path]:
    """Make `results/run_N` and return (N, folder).

    `mkdir` decides between two that start at once, on local disks, NFS and SMB alike.

    Raises:
        StageError: the results folder cannot be written.
    """
    try:
        project.results.mkdir(exist_ok=True)
        number = next_number(project)
        while True:
            folder = project.results / f"run_{number}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                break
            number += 1
        _raise_high_water(project)
    except OSError as error:
        raise StageError(
            f"cannot make a run's folder in {project.results}: {error.strerror}",
            hint="check the free room and the permissions of that folder",
        ) from error
    return number, folder


def _raise_high_water(project: Project) -> None:
    # Another run may start between our look and our write: look again until it stands.
    while _high_water(project) < (number := next_number(project)):
        write_whole(project.results / HIGH_WATER_NAME, f"{number}\n")


def _high_water(project: Project) -> int:
    try:
        return int((project.results / HIGH_WATER_NAME).read_text())
    except (OSError, ValueError):
        return 0  # lost or never written: the folders still tell
