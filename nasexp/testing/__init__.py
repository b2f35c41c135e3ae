"""A pytest plugin for authors of plugins: workspaces made of texts, commands run in process.

pytest_plugins = ["nasexp.testing"]

def test_it(workspace):
    workspace.add_project("p", run="echo hi")
    workspace.nasexp("run", "--project", "p").assert_ok()
"""

from __future__ import annotations

import pytest

from nasexp.testing.fakes import FakeConnection, QuietMonitor
from nasexp.testing.workspaces import Called, WorkspaceMaker

__all__ = ["Called", "FakeConnection", "QuietMonitor", "WorkspaceMaker", "workspace"]


@pytest.fixture
def workspace(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> WorkspaceMaker:
    """An empty workspace; the home folder, where `local` keeps its runs, is the test's own."""
    folder = tmp_path_factory.mktemp("nasexp")
    for name in ("NASEXP_WORKSPACE", "NASEXP_DISABLE_PLUGIN_AUTOLOAD"):
        monkeypatch.delenv(name, raising=False)
    (folder / "home").mkdir()
    monkeypatch.setenv("HOME", str(folder / "home"))
    return WorkspaceMaker(folder / "deeplearning", folder / "home")
