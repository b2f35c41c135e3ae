"""The SSH server of nasexp.testing: it does what a test will rely on, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from nasexp.testing import MissingError, Sshd
from nasexp.testing.processes import children_of, kill_marked
from nasexp.testing.ssh_server import free_port


def ssh(server, *words, **options):
    command = server.ssh_command(*words)
    return subprocess.run(command, capture_output=True, text=True, timeout=30, **options)


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.01)


@pytest.fixture
def session(sshd):
    """A client whose program runs until its input ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen(sshd.ssh_command("echo on; cat"), stdin=pipe, stdout=pipe) as client:
        assert client.stdout.readline() == b"on\n"
        yield client
        client.kill()


def test_one_logs_in_to_an_empty_home(sshd):
    done = ssh(sshd, 'echo "$HOME"; ls -A "$HOME"')

    assert (done.returncode, done.stdout) == (0, f"{sshd.home}\n"), done.stderr + sshd.log()
    assert sshd.logins() == 1
    wait_until(lambda: sshd.sessions() == [])


def test_every_server_has_its_own_port_and_key(make_sshd):
    one, other = make_sshd(), make_sshd()

    assert one.port != other.port
    assert one.fingerprint != other.fingerprint
    other.known_hosts.write_text(
        f"[{other.host}]:{other.port} " + one.host_key_line.split(" ", 1)[1]
    )
    assert "Host key verification failed" in ssh(other, "true").stderr


def test_it_listens_on_ipv6_too(make_sshd):
    server = make_sshd(host="::1")

    assert ssh(server, "echo $SSH_CONNECTION").stdout.split()[0] == "::1"
    assert server.host_key_line.startswith(f"[::1]:{server.port} ssh-ed25519 ")


def test_only_its_keys_open_it(sshd):
    sshd.identity = sshd.add_key("stranger", authorized=False)
    assert "Permission denied (publickey)" in ssh(sshd, "true").stderr

    sshd.identity = sshd.add_key("friend")
    assert ssh(sshd, "true").returncode == 0

    sshd.authorized_keys.write_text("")
    assert ssh(sshd, "true").returncode == 255


def test_a_key_can_have_a_passphrase(sshd):
    sshd.identity = sshd.add_key("locked", "secret")

    assert ssh(sshd, "true").returncode == 255
    unlock = ["ssh-keygen", "-q", "-p", "-P", "secret", "-N", "", "-f", str(sshd.identity)]
    assert subprocess.run(unlock).returncode == 0
    assert ssh(sshd, "true").returncode == 0


def test_lines_of_configuration_come_into_force_and_go(sshd, session):
    sshd.configure("ForceCommand echo forced")
    assert ssh(sshd, "echo asked").stdout == "forced\n"

    sshd.configure()
    assert ssh(sshd, "echo asked").stdout == "asked\n"
    assert session.communicate(b"still here", timeout=10)[0] == b"still here"


def test_a_wrong_line_is_an_error_and_changes_nothing(sshd):
    with pytest.raises(ValueError, match="NoSuchOption"):
        sshd.configure("NoSuchOption yes")

    assert ssh(sshd, "true").returncode == 0
    sshd.rekey()
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in ssh(sshd, "true").stderr


def test_another_host_key_is_another_host(sshd):
    before = sshd.fingerprint
    sshd.rekey()

    assert sshd.fingerprint != before
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in ssh(sshd, "true").stderr
    sshd.known_hosts.write_text(sshd.host_key_line + "\n")
    assert ssh(sshd, "true").returncode == 0


def test_a_stopped_server_cuts_its_clients_off_and_comes_back_at_the_same_port(sshd, session):
    assert len(sshd.sessions()) == 1
    sshd.stop()
    sshd.stop()

    assert session.wait(timeout=10) == 255
    assert sshd.sessions() == []
    assert "Connection refused" in ssh(sshd, "true").stderr
    sshd.configure("MaxSessions 5")
    sshd.start()
    assert ssh(sshd, "true").returncode == 0
    with pytest.raises(RuntimeError, match="runs already"):
        sshd.start()


def test_sessions_can_be_killed(sshd, session):
    sshd.kill_sessions()

    assert session.wait(timeout=10) == 255
    assert ssh(sshd, "true").returncode == 0


def test_nothing_is_left_when_it_closes(tmp_path):
    try:
        server = Sshd(tmp_path / "server")
    except MissingError as missing:
        pytest.skip(str(missing))
    with server:
        job = "setsid sh -c 'echo $$ >$HOME/pid; exec sleep 300' </dev/null >/dev/null 2>&1 &"
        assert ssh(server, job).returncode == 0
        wait_until(lambda: (server.home / "pid").exists() and (server.home / "pid").read_text())
        pid = int((server.home / "pid").read_text())
        assert "sleep" in Path(f"/proc/{pid}/cmdline").read_text()

    wait_until(lambda: not is_running(pid))
    assert children_of(os.getpid()) == []


def is_running(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("nasexp.testing.processes.SYSTEM_FOLDERS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingError, match="sshd is missing"):
        Sshd(tmp_path / "server")
    with pytest.raises(MissingError, match="address 192.0.2.1 is missing"):
        free_port("192.0.2.1")


def test_a_server_that_cannot_start_says_why(sshd):
    sshd.stop()
    with Sshd(sshd.home / "other") as other:
        sshd.port = other.port
        with pytest.raises(RuntimeError, match="Address already in use"):
            sshd.start()
    assert sshd.sessions() == []


def test_processes_that_do_not_end_are_named(monkeypatch):
    monkeypatch.setattr("nasexp.testing.processes.KILL_SECONDS", 0)
    monkeypatch.setattr("nasexp.testing.processes._kill_if_marked", lambda pid, mark: None)

    with subprocess.Popen(["sleep", "60"], env={"A_MARK": "1"}) as child:
        wait_until(lambda: b"A_MARK=1" in Path(f"/proc/{child.pid}/environ").read_bytes())
        with pytest.raises(RuntimeError, match=str(child.pid)):
            kill_marked(b"A_MARK=1")
        child.kill()
