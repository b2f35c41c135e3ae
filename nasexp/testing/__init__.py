"""A pytest plugin for authors of plugins: workspaces made of texts, commands run in process.

pytest_plugins = ["nasexp.testing"]

def test_it(workspace):
    workspace.add_project("p", run="echo hi")
    workspace.nasexp("run", "--project", "p").assert_ok()

def test_over_ssh(sshd):  # a real server on loopback, for this test alone
    subprocess.run(sshd.ssh_command("echo hi"), check=True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nasexp.testing.fakes import FakeConnection, QuietMonitor
from nasexp.testing.processes import MissingError
from nasexp.testing.ssh_server import Sshd
from nasexp.testing.workspaces import Called, WorkspaceMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Called",
    "FakeConnection",
    "MissingError",
    "QuietMonitor",
    "Sshd",
    "WorkspaceMaker",
    "make_sshd",
    "sshd",
    "workspace",
]


@pytest.fixture
def workspace(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> WorkspaceMaker:
    """An empty workspace; the home folder, where `local` keeps its runs, is the test's own."""
    folder = tmp_path_factory.mktemp("nasexp")
    for name in ("NASEXP_WORKSPACE", "NASEXP_INV", "NASEXP_DISABLE_PLUGIN_AUTOLOAD"):
        monkeypatch.delenv(name, raising=False)
    (folder / "home").mkdir()
    monkeypatch.setenv("HOME", str(folder / "home"))
    return WorkspaceMaker(folder / "deeplearning", folder / "home")


@pytest.fixture
def make_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Sshd]]:
    """Return a function that starts an SSH server; its arguments are those of `Sshd`."""
    made: list[Sshd] = []

    def make(**options: str) -> Sshd:
        try:
            made.append(Sshd(tmp_path_factory.mktemp("sshd"), **options))
        except MissingError as missing:
            pytest.skip(str(missing))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def sshd(make_sshd: Callable[..., Sshd]) -> Sshd:
    """An SSH server on 127.0.0.1, this test's own."""
    return make_sshd()
