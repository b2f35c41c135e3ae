"""The lab: disks that are full, read-only or out of inodes for real, and hosts that break."""

from __future__ import annotations

import os
import subprocess

import pytest
from hosts import Lab

from nasexp.testing import MissingError

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Take what the machine lacks for a skip, whichever of the lab's methods finds out."""
    try:
        return (yield)
    except MissingError as missing:
        pytest.skip(str(missing))


def start_lab(folder, *hosts, **options):
    try:
        return Lab(folder, *hosts, **options)
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def make_lab(tmp_path_factory):
    """Make labs of this test's own; returns a function that takes the arguments of `Lab`."""
    labs = []

    def make(*hosts, **options):
        labs.append(start_lab(tmp_path_factory.mktemp("lab"), *hosts, **options))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()


@pytest.fixture
def lab(make_lab):
    """Two hosts of this test's own, `nas` and `gpu`; the first can log in to the second."""
    return make_lab("nas", "gpu")


@pytest.fixture(params=["openssh", "paramiko"])
def via(request):
    """What carries the connection: each test holds for both."""
    return request.param


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory):
    """A lab as `lab`, for the tests of a module that leave it as they found it."""
    with start_lab(tmp_path_factory.mktemp("lab"), "nas", "gpu") as lab:
        yield lab
