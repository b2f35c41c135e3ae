"""The command `hosts`: all at the same time, and what carries each connection."""

from __future__ import annotations

import re
import socket
import time
from contextlib import ExitStack

import pytest
from entries import host_entry

from nasexp.config.settings import Host, HostSettings
from nasexp.connections.dialing import why_via

# --- why it is carried so ---


@pytest.mark.parametrize(
    ("wanted", "via", "program", "why"),
    [
        ("paramiko", "paramiko", "/usr/bin/ssh", "`via: paramiko`"),
        ("auto", "openssh", "/usr/bin/ssh", "it is here and logs in without a question"),
        ("auto", "paramiko", None, "there is no ssh program here"),
        ("auto", "paramiko", "/usr/bin/ssh", "ssh alone would need a secret"),
    ],
)
def test_why_a_carrier_was_chosen_is_said(monkeypatch, wanted, via, program, why):
    monkeypatch.setattr("shutil.which", lambda _name: program)

    assert why_via(Host("gpu", HostSettings(address="gpu", via=wanted)), via) == why


# --- hosts ---


@pytest.fixture
def silent_ports():
    """Eight ports that take a call and never say a word."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(8)]
        yield [server.getsockname()[1] for server in servers]


def test_dead_hosts_hold_up_nobody(sshd, gpu, via, silent_ports):
    dead = "".join(
        f"  dead{number}: {{address: u@127.0.0.1, port: {port}, via: {via}}}\n"
        for number, port in enumerate(silent_ports)
    )
    gpu.write({"nasexp.yaml": host_entry(sshd, via=via) + dead})
    began = time.monotonic()
    found = {each["host"]: each for each in gpu.nasexp("hosts", "--json").assert_ok().json()}

    assert time.monotonic() - began < 20  # one alone takes 10 to 15
    assert list(found) == ["local", "gpu", *(f"dead{number}" for number in range(8))]
    assert found["gpu"]["state"] in ("free", "busy")
    assert {found[f"dead{number}"]["state"] for number in range(8)} == {"unreachable"}
    assert "takes the call and says nothing" in found["dead7"]["trouble"]


def test_since_when_a_host_is_so_is_remembered(sshd, gpu, via, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def look():
        hosts = gpu.nasexp("hosts", "--json").assert_ok().json()
        [found] = [each for each in hosts if each["host"] == "gpu"]
        return found["state"] != "unreachable", found["since"]

    up, first = look()
    assert look() == (up, first) == (True, first)
    sshd.stop()
    down, later = look()
    assert (down, later > first) == (False, True)
    assert look() == (False, later)
    sshd.start()
    assert look() > (True, later)
    assert "nothing listens" not in gpu.nasexp("hosts").output


def test_the_json_of_hosts_has_its_shape(gpu, via):
    live, gone = gpu.nasexp("hosts", "--json").json()[1], {"port": 1}
    assert set(live) == {
        "host", "address", "state", "since", "trouble", "uptime_seconds", "free_bytes",
        "live_runs", "gpus",
    }  # fmt: skip
    assert (live["trouble"], live["live_runs"], live["gpus"]) == ("", 0, [])
    assert live["uptime_seconds"] > 0
    assert live["free_bytes"] > 0
    text = (gpu.root / "nasexp.yaml").read_text()
    gpu.write({"nasexp.yaml": re.sub(r"port: \d+", f"port: {gone['port']}", text)})
    lost = gpu.nasexp("hosts", "--json").json()[1]
    assert (lost["state"], lost["gpus"], lost["uptime_seconds"]) == ("unreachable", [], None)
    assert "nothing listens at 127.0.0.1 port 1" in lost["trouble"]


def test_the_table_of_hosts_is_for_people(gpu, via):
    called = gpu.nasexp("hosts").assert_ok()

    assert re.search(r"local +this machine +(free|busy)", called.output)
    assert re.search(r"gpu +\S+@127.0.0.1 +(free|busy) +\d{4}-\d\d-\d\d \d\d:\d\d", called.output)
