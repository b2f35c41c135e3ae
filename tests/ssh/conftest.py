"""Connections to the real SSH server of the test kit."""

from __future__ import annotations

import pytest
from entries import host_entry

from nasexp.config.settings import Host, HostSettings
from nasexp.connections.dialing import connect_host

CARRIERS = ["openssh", "paramiko"]


@pytest.fixture
def trusted(sshd, tmp_path):
    """A workspace's folder that trusts the server."""
    (tmp_path / "known_hosts").write_text(sshd.host_key_line + "\n")
    return tmp_path


@pytest.fixture
def connect(sshd, trusted, monkeypatch):
    """Return a function that logs in; keys of this account's agent play no part."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    opened = []

    def dial(ask=lambda _prompt: None, **settings):
        usual = {"address": sshd.address, "port": sshd.port, "identity": str(sshd.identity)}
        host = Host("gpu", HostSettings(**{**usual, **settings}))
        opened.append(connect_host(host, trusted, ask))
        return opened[-1]

    yield dial
    for connection in opened:
        connection.close()


@pytest.fixture(params=CARRIERS)
def via(request):
    """What carries the connection: each test holds for both."""
    return request.param


@pytest.fixture
def gpu(sshd, workspace, via):
    """A workspace that knows the server as the host `gpu` and trusts it."""
    workspace.write({"known_hosts": sshd.host_key_line + "\n"})
    workspace.write({"nasexp.yaml": host_entry(sshd, via=via)})
    return workspace
