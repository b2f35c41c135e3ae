"""Logging in: what is told where it fails, equally well by both carriers."""

from __future__ import annotations

import getpass
import socket
import subprocess
import threading

import pytest

from nasexp.config.settings import Host, HostSettings, SecretSource
from nasexp.connections import settings
from nasexp.connections.openssh import OpensshCarrier
from nasexp.errors import (
    ConfigError,
    HostKeyRefused,
    HostUnreachable,
    LoginRefused,
    StageError,
)


def test_one_login_carries_every_stream(connect, sshd, via):
    connection = connect(via=via)
    connection.run("true")
    connection.send("cat >/dev/null", [b"x" * 100_000])
    assert b"".join(connection.receive("echo hi")) == b"hi\n"

    assert sshd.logins() == 1
    assert connection.via == via


def test_a_host_that_nobody_trusts_is_refused(connect, trusted, sshd, via):
    (trusted / "known_hosts").write_text("")

    with pytest.raises(HostKeyRefused) as refused:
        connect(via=via)
    assert "is not trusted yet" in refused.value.message
    assert refused.value.hint.endswith("nasexp trust gpu")
    assert sshd.logins() == 0


def test_a_changed_key_is_refused_and_both_fingerprints_are_told(connect, sshd, via):
    before = sshd.fingerprint
    sshd.rekey()

    with pytest.raises(HostKeyRefused) as refused:
        connect(via=via)
    assert before in refused.value.message
    assert sshd.fingerprint in refused.value.message
    assert "known_hosts:1" in refused.value.message
    assert sshd.logins() == 0


def test_a_revoked_key_is_refused_whatever_else_trusts_it(connect, trusted, sshd, via):
    file = trusted / "known_hosts"
    file.write_text(f"@revoked {sshd.host_key_line}\n{sshd.host_key_line}\n")

    with pytest.raises(HostKeyRefused):
        connect(via=via)
    assert sshd.logins() == 0


def test_a_hashed_entry_trusts_too(connect, trusted, sshd, via):
    subprocess.run(
        ["ssh-keygen", "-H", "-f", str(trusted / "known_hosts")], check=True, capture_output=True
    )
    assert "127.0.0.1" not in (trusted / "known_hosts").read_text()

    assert connect(via=via).run("echo hi").text() == "hi"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"port": 1}, "nothing listens at 127.0.0.1 port 1"),
        ({"address": "user@no.such.host.invalid"}, "the name no.such.host.invalid is not known"),
    ],
)
def test_a_host_that_cannot_be_reached_says_why(connect, via, wrong, text):
    with pytest.raises(HostUnreachable) as unreachable:
        connect(via=via, **wrong)
    assert text in unreachable.value.message
    assert unreachable.value.hint


def test_a_server_that_hangs_up_is_told_from_one_that_is_not_there(connect, via):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        threading.Thread(target=hang_up_on_one, args=[busy]).start()
        with pytest.raises(HostUnreachable) as unreachable:
            connect(via=via, port=busy.getsockname()[1])
    assert "hangs up at once" in unreachable.value.message


def hang_up_on_one(server):
    client, _ = server.accept()
    client.close()


def test_a_key_that_the_host_does_not_know_is_refused(connect, sshd, via):
    stranger = sshd.add_key("stranger", authorized=False)

    with pytest.raises(LoginRefused) as refused:
        connect(via=via, identity=str(stranger))
    assert "it takes publickey" in refused.value.message
    assert str(stranger) in refused.value.message
    assert "ssh-copy-id" in refused.value.hint


def test_a_locked_key_says_so_where_nobody_can_unlock_it(connect, sshd, via):
    locked = sshd.add_key("locked", "open sesame")

    with pytest.raises(LoginRefused) as refused:
        connect(via=via, identity=str(locked))
    assert "passphrase" in refused.value.hint
    assert refused.value.asks


def test_a_person_is_asked_for_the_passphrase_once(connect, sshd):
    locked, asked = sshd.add_key("locked", "open sesame"), []
    connection = connect(identity=str(locked), ask=lambda text: asked.append(text) or "open sesame")
    assert connection.run("echo hi").text() == "hi"
    connection.close()
    assert connection.run("echo again").text() == "again"

    assert connection.via == "paramiko"
    assert asked == [f"passphrase of {locked}: "]


@pytest.mark.parametrize("source", ["env", "command"])
def test_a_passphrase_comes_from_where_the_settings_say(connect, sshd, monkeypatch, source):
    locked = sshd.add_key("locked", "open sesame")
    monkeypatch.setenv("GPU_PHRASE", "open sesame")
    value = {"env": "GPU_PHRASE", "command": "printf '%s\\n' \"$GPU_PHRASE\""}[source]
    connection = connect(identity=str(locked), passphrase=SecretSource(**{source: value}))

    assert connection.run("echo hi").text() == "hi"


def test_a_wrong_passphrase_is_told(connect, sshd):
    locked = sshd.add_key("locked", "open sesame")

    with pytest.raises(LoginRefused) as refused:
        connect(identity=str(locked), ask=lambda _text: "abracadabra")
    assert refused.value.message == f"that is not the passphrase of {locked}"


def test_a_secret_that_is_not_there_is_told_without_a_login(connect, sshd):
    locked = sshd.add_key("locked", "open sesame")
    for source, text in (
        (SecretSource(env="NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE is not set"),
        (SecretSource(command="echo hush; exit 3"), "its command failed"),
    ):
        with pytest.raises(LoginRefused) as refused:
            connect(identity=str(locked), passphrase=source)
        assert text in refused.value.message
        assert "hush" not in refused.value.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ForceCommand echo go away", "go away"),
        ("ForceCommand cat", ""),
        ("ForceCommand internal-sftp", ""),
        ("ForceCommand /bin/false", ""),
    ],
)
def test_an_account_without_a_shell_is_told(connect, sshd, via, line, said, monkeypatch):
    monkeypatch.setattr("nasexp.connections.shell.GREETING_SECONDS", 5.0)
    sshd.configure(line)

    with pytest.raises(StageError) as refused:
        connect(via=via)
    assert "gets no shell" in refused.value.message
    assert said in refused.value.message


def test_what_a_start_up_file_says_late_never_gets_into_an_answer(connect, sshd, via):
    """stderr has a way of its own: its noise may overtake nothing, and come in the middle."""
    (sshd.home / ".bashrc").write_text("echo noise\n(sleep 0.3; echo late noise >&2) &\n")
    connection = connect(via=via)

    assert connection.run("sleep 0.6; echo clean").output == b"clean\n"
    assert b"".join(connection.receive("sleep 0.6; echo clean")) == b"clean\n"


def test_one_session_at_a_time_is_enough(connect, sshd, via):
    sshd.configure("MaxSessions 1")
    connection = connect(via=via)
    assert connection.send("cat >/dev/null", [b"x"] * 3).status == 0
    assert b"".join(connection.receive("echo hi")) == b"hi\n"
    assert connection.run("echo still").text() == "still"

    assert sshd.logins() == 3


def test_the_link_is_dialled_again_when_it_was_lost(connect, sshd, via):
    connection = connect(via=via)
    sshd.kill_sessions()
    with pytest.raises(Exception) as lost:
        connection.run("echo hi")
    assert type(lost.value).__name__ == "ConnectionLost"

    assert connection.run("echo back").text() == "back"
    assert sshd.logins() == 2


def test_a_second_carrier_leaves_no_thread_and_no_process_behind(connect, sshd, via):
    before = threading.active_count()
    for _ in range(3):
        connection = connect(via=via)
        connection.run("true")
        connection.close()

    assert threading.active_count() == before


def test_no_socket_means_a_login_for_each_stream(connect, sshd, monkeypatch):
    monkeypatch.setattr("nasexp.connections.openssh._can_hold_socket", lambda _folder: False)
    connection = connect(via="openssh")
    assert connection.send("cat >/dev/null", [b"x"]).status == 0

    assert sshd.logins() == 2


def test_nothing_is_left_of_the_private_folder(connect, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    connection = connect(via="openssh")
    assert [path.name for path in tmp_path.glob("nasexp-*")]
    connection.close()

    assert not list(tmp_path.glob("nasexp-*"))


@pytest.mark.parametrize("address", ["-oProxyCommand=x", "a b", "user@", "host:22", "$(id)", "a;b"])
def test_an_address_that_is_none_is_refused_before_anything_runs(connect, address):
    with pytest.raises(ConfigError) as refused:
        connect(address=address)
    assert repr(address) in refused.value.message


def test_auto_takes_ssh_where_it_logs_in_without_a_question(connect):
    assert connect(via="auto").via == "openssh"


def test_auto_takes_paramiko_where_there_is_no_ssh(connect, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _name: None)

    assert connect(via="auto").via == "paramiko"
    with pytest.raises(ConfigError, match="there is no ssh program"):
        connect(via="openssh")


def test_an_alias_of_the_users_configuration_is_understood(sshd, via, tmp_path, monkeypatch):
    """`Include`, an alias, a port and a key file: as `ssh` itself reads them."""
    (tmp_path / "more").write_text(
        f"Host box\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.identity}\n"
    )
    (tmp_path / "config").write_text(f"Include {tmp_path}/more\n")
    real = subprocess.run

    def with_config(command, **options):
        words = [*command[:1], "-F", str(tmp_path / "config"), *command[1:]]
        return real(words, **options)

    monkeypatch.setattr(settings.subprocess, "run", with_config)
    login = settings.resolve_login(Host("gpu", HostSettings(address="box")), tmp_path / "known")

    assert (login.hostname, login.port) == ("127.0.0.1", sshd.port)
    assert login.identities == (str(sshd.identity),)
    assert login.user == getpass.getuser()
    assert OpensshCarrier("gpu", login).via == "openssh"
