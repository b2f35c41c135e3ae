"""What comes back from a host is half trusted: parsed with limits, refused when it is nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.backup.manifest import Row, parse_manifest, read_manifest
from nasexp.connections.bulk.download import batches
from nasexp.connections.bulk.tools import host_digests
from nasexp.connections.local import connect_local
from nasexp.connections.protocol import Answer
from nasexp.errors import StageError
from nasexp.host.programs import look, parse_look
from nasexp.testing import FakeConnection
from nasexp.values import Ending, Why


def test_a_job_that_has_not_started():
    seen = parse_look(b"uptime 500", b"")

    assert (seen.age_seconds, seen.ending) == (None, None)


def test_a_job_that_runs():
    seen = parse_look(b"uptime 1500\nstart 1000 1795495491", b"x")

    assert (seen.age_seconds, seen.ending, seen.console) == (5.0, None, b"x")


@pytest.mark.parametrize(
    ("line", "ending"),
    [
        (b"exit 0 1300 none", Ending(Why.EXIT, 0, 3.0)),
        (b"signal 137 1300 none", Ending(Why.SIGNAL, 137, 3.0)),
        (b"timeout 143 1300 12,13", Ending(Why.TIMEOUT, 143, 3.0)),
        (b"lost none 1300 none", Ending(Why.LOST, None, 3.0)),
    ],
)
def test_the_end_of_a_job(line, ending):
    assert parse_look(b"uptime 9999\nstart 1000 1\nexit " + line, b"").ending == ending


def test_a_job_whose_gate_was_closed_has_no_length():
    seen = parse_look(b"uptime 9999\nstart - -\nexit lost none 1300 none", b"")

    assert seen.ending == Ending(Why.LOST, None, 0.0)


@pytest.mark.parametrize(
    "head", [b"", b"uptime x", b"uptime 5\nexit", b"uptime 5\nexit bad 0 5 none"]
)
def test_nonsense_is_refused(head):
    with pytest.raises(StageError, match="makes no sense"):
        parse_look(head, b"")


@given(st.binary(max_size=100))
def test_no_answer_crashes(head):
    try:
        parse_look(head, b"")
    except StageError as error:
        assert "makes no sense" in error.message


def test_the_console_comes_from_any_offset(tmp_path):
    (tmp_path / "segments/1").mkdir(parents=True)
    text = bytes(range(256)) * 100
    (tmp_path / "segments/1/log").write_bytes(text)
    connection = connect_local("local")
    for offset in (0, 1, 4095, 4096, 4097, 25599, 25600):
        assert look(connection, str(tmp_path), offset).console == text[offset:]
    connection.close()


def test_a_run_folder_that_is_gone_is_said():
    with pytest.raises(StageError, match="is gone from host 'fake'"):
        look(FakeConnection({"segments": Answer(9, b"", b"")}), "/x", 0)


ROW = b"f 5 1795495491.1234567890 1795495492.5 77 "


def test_a_manifest_keeps_names_and_nanoseconds():
    manifest = parse_manifest(ROW + b"a b\n\xff\0")

    assert manifest == {
        b"a b\n\xff": Row(b"f", 5, b"1795495491.1234567890", b"1795495492.5", b"77")
    }
    assert manifest[b"a b\n\xff"].mtime_ns == 1795495491123456789
    assert parse_manifest(b"f 5 17 18 77 x\0")[b"x"].mtime_ns == 17 * 10**9


@pytest.mark.parametrize("path", [b"/etc/passwd", b"../x", b"a/../../x", b""])
def test_a_path_that_leaves_the_folder_is_refused(path):
    with pytest.raises(StageError):
        parse_manifest(ROW + path + b"\0")


@pytest.mark.parametrize("row", [b"f x 1 1 1 a", b"f 1", b"z 1 1 1 1 a", b"f 1 x 1 1 a"])
def test_rows_that_make_no_sense_are_refused(row):
    with pytest.raises(StageError):
        parse_manifest(row + b"\0")


def test_a_manifest_is_the_same_without_gnu_find(tmp_path, monkeypatch):
    import os
    import shutil

    if not shutil.which("busybox"):
        pytest.skip("busybox is missing")
    (tmp_path / "out/sub").mkdir(parents=True)
    (tmp_path / "out/sub/a b\nc").write_text("hello")
    os.symlink("sub", tmp_path / "out/link")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("find", "stat", "sh", "tar"):
        (tools / name).symlink_to(shutil.which("busybox"))
    connection = connect_local("local")
    full = read_manifest(connection, str(tmp_path / "out"))
    connection.close()
    monkeypatch.setenv("PATH", f"{tools}:/nonexistent")
    connection = connect_local("local")
    plain = read_manifest(connection, str(tmp_path / "out"))
    connection.close()

    assert set(full) == {b"sub/a b\nc", b"link"}
    assert {p: (r.kind, r.size_bytes, r.inode, r.mtime_ns // 10**9) for p, r in plain.items()} == {
        p: (r.kind, r.size_bytes, r.inode, r.mtime_ns // 10**9) for p, r in full.items()
    }


def test_digests_come_by_name_and_gaps_are_seen(tmp_path):
    import hashlib

    names = [b"a", b"gone", b"new\nline", b"-n"]
    for name in (b"a", b"new\nline", b"-n"):
        with open(tmp_path.as_posix().encode() + b"/" + name, "wb") as file:
            file.write(name)
    connection = connect_local("local")
    found = host_digests(connection, str(tmp_path), {name: len(name) for name in names})
    connection.close()

    assert found == {n: hashlib.sha256(n).hexdigest() for n in names if n != b"gone"}


@given(st.lists(st.binary(min_size=1, max_size=255), max_size=3000))
def test_batches_keep_every_path_in_order(paths):
    split = list(batches(paths))

    assert [path for batch in split for path in batch] == paths
    assert all(sum(map(len, batch)) <= 100_000 + 255 for batch in split)
