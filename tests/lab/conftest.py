"""The lab: mounts of its own, so that disks can be full, read-only or out of inodes for real."""

from __future__ import annotations

import os
import subprocess

import pytest

pytestmark = pytest.mark.lab


def pytest_collection_modifyitems(items):
    for item in items:
        if "lab" in item.path.parts:
            item.add_marker(pytest.mark.lab)


@pytest.fixture
def mounted():
    """Mount a small tmpfs on a folder; returns a function(folder, *options)."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    folders = []

    def mount(folder, *options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
        folders.append(folder)

    yield mount
    for folder in folders:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def remounted(mounted):
    """Change a mounted folder; returns a function(folder, options)."""

    def remount(folder, options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    return remount
