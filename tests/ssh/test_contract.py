"""The contract of a connection, held by every carrier."""

from __future__ import annotations

import hashlib
import os
import threading
import time

import pytest

from nasexp.connections.local import connect_local
from nasexp.connections.process import ProcessStream
from nasexp.connections.protocol import Answer, Connection, set_words
from nasexp.errors import ConnectionLost, StageError
from nasexp.testing import FakeConnection


@pytest.fixture(params=["local", "openssh", "paramiko"])
def connection(request, tmp_path, monkeypatch):
    if request.param == "local":
        monkeypatch.setenv("HOME", str(tmp_path))
        opened = connect_local("local")
    else:
        opened = request.getfixturevalue("connect")(via=request.param)
    yield opened
    opened.close()


def test_output_status_and_errors_come_apart(connection):
    answer = connection.run("echo out; echo err >&2; exit 3")

    assert answer == Answer(3, b"out\n", b"err")
    assert (answer.text(), answer.complaint()) == ("out", "err")
    assert connection.run("exit 4").complaint() == "exit status 4"


def test_words_arrive_as_they_are(connection):
    words = ["a b", "it's", "$(id)", "-n", "", "new\nline", "ü", b"\xff\xfe", "*", "\\"]
    answer = connection.run('for word; do printf "%s\\0" "$word"; done', *words)

    expected = [word if isinstance(word, bytes) else word.encode() for word in words]
    assert answer.output.split(b"\0")[:-1] == expected


def test_any_bytes_come_back(connection):
    answer = connection.run("printf '\\000\\001\\377'; head -c 300000 /dev/zero")

    assert answer.output == b"\0\1\xff" + bytes(300000)


def test_a_program_that_leaves_the_shell_does_not_leave_the_next_one_without(connection):
    assert connection.run("cd /; umask 777; set -e; false; echo no").status == 1
    assert connection.run("pwd; exec true").status == 0
    assert connection.run("echo still").output == b"still\n"


def test_many_small_programs_share_one_shell(connection):
    pids = {connection.run("echo $$").output for _ in range(5)}

    assert len(pids) == 1


def test_a_program_gets_no_input(connection):
    assert connection.run("cat; echo end").output == b"end\n"


def test_a_process_left_behind_does_not_hold_the_answer(connection):
    began = time.monotonic()
    assert connection.run("sleep 30 </dev/null >/dev/null 2>&1 & echo $!").status == 0

    assert time.monotonic() - began < 10


def test_no_answer_by_the_deadline_is_a_lost_connection_and_the_next_works(connection):
    with pytest.raises(ConnectionLost):
        connection.run("sleep 30", deadline_seconds=0.1)

    assert connection.run("echo again").output == b"again\n"


@pytest.mark.parametrize("way", ["send", "receive"])
def test_a_lost_stream_is_a_lost_link_and_the_next_question_dials(connection, way):
    before = connection.run("echo $$").output
    lost = {
        "send": lambda: connection.send("sleep 30", [], deadline_seconds=0.5),
        "receive": lambda: list(connection.receive("sleep 30", deadline_seconds=0.5)),
    }
    with pytest.raises(ConnectionLost):
        lost[way]()

    assert connection.run("echo $$").output != before


def test_a_shell_that_dies_is_a_lost_connection(connection):
    connection.run("true")
    with pytest.raises(ConnectionLost):
        connection.run("kill -9 $$")

    assert connection.run("echo again").output == b"again\n"


def test_data_go_to_a_program_and_come_from_one(connection, tmp_path):
    chunks = [bytes([n]) * 100_000 for n in range(50)]
    place = set_words([str(tmp_path / "sent")]).decode()
    assert connection.send(place + 'cat >"$1"', chunks).status == 0

    assert (tmp_path / "sent").read_bytes() == b"".join(chunks)
    assert b"".join(connection.receive('cat "$1"', str(tmp_path / "sent"))) == b"".join(chunks)


def test_a_program_that_stops_reading_tells_why(connection):
    answer = connection.send("head -c 5 >/dev/null; echo full; exit 9", [bytes(1_000_000)] * 20)

    assert (answer.status, answer.errors) == (9, b"full\n")


def test_a_program_that_stops_reading_and_says_all_is_well_is_not_believed(connection):
    with pytest.raises(ConnectionLost):
        connection.send("head -c 5 >/dev/null; exec <&-", [bytes(1_000_000)] * 20)


def test_a_stream_that_ends_badly_is_an_error_behind_its_data(connection):
    got = []
    with pytest.raises(StageError, match="ended with status 3"):
        got.extend(connection.receive("echo part; exit 3"))

    assert b"".join(got) == b"part\n"


def test_noise_of_start_up_files_does_not_matter(connection, tmp_path, monkeypatch):
    (tmp_path / "noise.sh").write_text("echo noise; echo more noise >&2\n")
    monkeypatch.setenv("ENV", str(tmp_path / "noise.sh"))

    assert connection.run("echo clean").output == b"clean\n"
    assert b"".join(connection.receive("echo clean")) == b"clean\n"


def test_nothing_is_left_of_a_closed_connection(connection):
    pid = int(connection.run("echo $$").text())
    before = threading.active_count()
    connection.close()
    connection.close()

    assert not any(line.startswith("State:\tR") for line in status_of(pid))
    assert threading.active_count() <= before


def status_of(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            return file.readlines()
    except OSError:
        return []


def test_local_and_fake_are_connections(connection):
    fake = FakeConnection({"uptime": Answer(0, b"up", b""), "lost": ConnectionLost("gone")})

    assert isinstance(connection, Connection)
    assert isinstance(fake, Connection)
    assert fake.run("uptime").text() == "up"
    assert list(fake.receive("uptime")) == [b"up"]
    assert fake.send("uptime", [b"a", b"b"]).status == 0
    assert fake.sent == {"uptime": b"ab"}
    with pytest.raises(ConnectionLost):
        fake.run("lost")
    with pytest.raises(AssertionError, match="no answer was declared"):
        fake.run("other")
    fake.close()
    assert fake.closed


def test_a_program_that_cannot_be_started_leaves_no_file_open(tmp_path):
    def files():
        return set(os.listdir("/proc/self/fd"))

    before = files()
    with pytest.raises(OSError, match="no-such") as caught:
        ProcessStream([str(tmp_path / "no-such")], {}, "/", "nobody")

    assert caught.value.__traceback__  # what it refers to is alive still
    assert files() == before


@pytest.mark.heavy
def test_more_than_two_gibibytes_pass_in_one_stream(connection):
    """Where a key exchange in the middle of a copy could end the connection of a slow reader."""
    block, blocks = bytes(range(256)) * 4096, 2500
    expected = hashlib.sha256()
    for _ in range(blocks):
        expected.update(block)
    answer = connection.send("sha256sum; exit 3", (block for _ in range(blocks)))
    received = hashlib.sha256()
    for chunk in connection.receive(f"head -c {blocks << 20} /dev/zero"):
        received.update(chunk)
    zeros = hashlib.sha256()
    for _ in range(blocks):
        zeros.update(bytes(1 << 20))

    assert (answer.status, answer.errors.split()[0].decode()) == (3, expected.hexdigest())
    assert received.hexdigest() == zeros.hexdigest()
