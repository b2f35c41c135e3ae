"""Fixtures: jobs of the host agent, under every shell that a host may have as /bin/sh."""

from __future__ import annotations

import shutil

import pytest
from kept_jobs import SHELLS, made

from nasexp.connections.local import connect_local


@pytest.fixture(params=SHELLS)
def shell(request):
    command = SHELLS[request.param]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is missing")
    return command


@pytest.fixture
def job(tmp_path, shell):
    with made(tmp_path, shell) as job:
        yield job


@pytest.fixture
def connection():
    connection = connect_local("local")
    yield connection
    connection.close()


@pytest.fixture
def any_job(tmp_path):
    """A job under the host's own sh, for what no shell makes a difference to."""
    with made(tmp_path, ["/bin/sh"]) as job:
        yield job
