"""What comes back from a host is half trusted: parsed with limits, refused when it is nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.backup.manifest import Row, parse_manifest, read_manifest
from nasexp.connections.bulk.download import batches
from nasexp.connections.bulk.tools import host_digests
from nasexp.connections.local import connect_local
from nasexp.errors import StageError

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
