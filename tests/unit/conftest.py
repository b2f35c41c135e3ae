"""Connections to hosts of every kind, for tests of copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from copies import SHELLS, Carrier, Monitor

from nasexp.connections.local import connect_local
from nasexp.connections.shell import ShellConnection


@pytest.fixture
def connect():
    """Open connections; returns a function(command, path)."""
    opened = []

    def connect(command=("/bin/sh",), path=None):
        opened.append(ShellConnection("gpu", Carrier(list(command), path)))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def connection():
    opened = connect_local("gpu")
    yield opened
    opened.close()


@pytest.fixture(params=SHELLS)
def shell(request):
    command = SHELLS[request.param]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is missing")
    return command


@pytest.fixture
def only(tmp_path):
    """Make a PATH that holds only some programs; returns a function(names, busybox)."""

    def only(names, *, busybox=False):
        folder = tmp_path / "tools"
        folder.mkdir()
        for name in names.split():
            found = shutil.which("busybox" if busybox else name)
            if not found:
                pytest.skip(f"{name} is missing")
            real = Path(found)
            if ".pyenv" in found:  # a shim needs more than itself
                real = Path(shutil.which("python3", path="/usr/bin:/usr/local/bin") or found)
            (folder / name).symlink_to(real)
        return folder

    return only


@pytest.fixture
def monitor():
    return Monitor()
