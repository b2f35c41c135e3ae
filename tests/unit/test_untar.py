"""The tar reader: it reads what tars write, and takes nothing else for the end."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasexp.archives.untar import (
    CutShortError,
    DamagedError,
    Entry,
    TarReader,
    number,
    pax_fields,
)


def entries(data, chunk_bytes=700):
    """Read a whole archive; return the members and their contents."""
    reader = TarReader(
        iter([data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)])
    )
    found = []
    while entry := reader.next():
        found.append((entry, b"".join(reader.pieces())))
    reader.drain()
    return found


def archive(*members, format):  # noqa: A002 - tarfile's own word
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format, errors="surrogateescape") as tar:
        for name, content, target in members:
            info = tarfile.TarInfo(os.fsdecode(name))
            info.size = len(content)
            if target:
                info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(target)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


names = st.binary(min_size=1, max_size=300).filter(
    lambda name: b"\0" not in name and not name.endswith(b"/")
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(names, st.binary(max_size=3000)), max_size=5),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.integers(1, 5000),
)
def test_it_reads_what_tarfile_writes(members, form, chunk_bytes):
    data = archive(*[(name, content, b"") for name, content in members], format=form)

    found = entries(data, chunk_bytes)

    assert [(os.fsencode(entry.name), content) for entry, content in found] == members
    assert all(entry.kind == b"0" for entry, _ in found)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_targets_are_read(form):
    target = b"t/" * 150 + b"\xff"
    [(entry, content)] = entries(archive((b"n" * 200, b"", target), format=form))

    assert (entry.kind, os.fsencode(entry.target), content) == (b"2", target, b"")


@pytest.mark.parametrize("form", ["gnu", "posix", "ustar"])
def test_it_reads_what_tar_writes(tmp_path, form):
    folder = "d" * 60 + "/" + "e" * 30
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "a").write_bytes(b"content")
    (tmp_path / folder / ("z" * 40)).hardlink_to(tmp_path / folder / "a")
    command = ["tar", f"--format={form}", "--sort=name", "-C", tmp_path, "-cf", "-", "d" * 60]
    data = subprocess.run(command, check=True, capture_output=True).stdout

    found = [(entry.name, entry.kind, content, entry.target) for entry, content in entries(data)]
    assert found == [
        ("d" * 60 + "/", b"5", b"", ""),
        (folder + "/", b"5", b"", ""),
        (folder + "/a", b"0", b"content", ""),
        (folder + "/" + "z" * 40, b"1", b"", folder + "/a"),
    ]


@pytest.mark.parametrize("size", [0o77777777777, 1 << 33, 1 << 40])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_huge_sizes_are_read(size, form):
    info = tarfile.TarInfo("big")
    info.size = size
    reader = TarReader(iter([info.tobuf(form, "utf-8", "surrogateescape"), bytes(1000)]))

    assert reader.next() == Entry("big", b"0", size, 0o644, "")
    with pytest.raises(CutShortError):
        reader.next()


def test_what_was_not_read_of_a_member_is_passed_over():
    data = archive((b"a", b"x" * 5000, b""), (b"b", b"y", b""), format=tarfile.GNU_FORMAT)
    reader = TarReader(iter([data]))

    assert reader.next().name == "a"
    assert next(reader.pieces())[:1] == b"x"
    assert reader.next().name == "b"
    assert reader.content(1) == b"y"
    assert reader.next() is None


def test_a_content_that_is_not_at_hand_comes_in_pieces():
    data = archive((b"a", b"x" * 5000, b""), format=tarfile.GNU_FORMAT)
    reader = TarReader(iter([data[:1000], data[1000:]]))
    reader.next()

    assert reader.content(5000) is None
    assert b"".join(reader.pieces()) == b"x" * 5000


@pytest.mark.parametrize("sparse", ["old", "0.0", "0.1", "1.0"])
def test_a_sparse_member_is_never_taken_for_a_plain_one(tmp_path, sparse):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 20)
    form = ["--format=gnu"] if sparse == "old" else ["--format=posix", f"--sparse-version={sparse}"]
    command = ["tar", *form, "-S", "-C", tmp_path, "-cf", "-", "sparse"]
    data = subprocess.run(command, check=True, capture_output=True).stdout

    if sparse == "old":
        assert entries(data)[0][0].kind == b"S"  # which no tree makes
    else:
        with pytest.raises(DamagedError, match="sparse"):
            entries(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"  644 \0 ", 0o644),
        (b"\0" * 8, 0),
        (b"\x80" + bytes(6) + b"\x05", 5),
        (b"\xff" * 8, -1),
    ],
)
def test_numbers(field, value):
    assert number(field) == value


@pytest.mark.parametrize(
    "field", [b"0000648\0", b"-000644\0", b"0x00644\0", b"1_0\0    ", b"1 1\0    "]
)
def test_what_is_no_number_is_damage(field):
    with pytest.raises(DamagedError, match="no number"):
        number(field)


def test_pax_fields_that_say_what_a_member_is():
    data = b"12 path=a\nb\n" + b"10 size=5\n" + b"12 comment=\n" + b"16 linkpath=x=y\n"

    assert pax_fields(data) == {b"path": b"a\nb", b"size": b"5", b"linkpath": b"x=y"}


@pytest.mark.parametrize(
    "data",
    [b"x", b"0 a=b\n", b"5 a=b\n", b"9 a=b\n", b"6 a-b\n", b"-6 a=b\n", b"999999999999 a=b\n"],
)
def test_pax_fields_that_make_no_sense(data):
    with pytest.raises(DamagedError):
        pax_fields(data)


def test_a_name_for_all_members_is_refused_and_a_comment_is_not():
    def with_global(field):
        info = tarfile.TarInfo("g")
        info.type, info.size = tarfile.XGLTYPE, len(field)
        return info.tobuf() + field.ljust(512, b"\0") + archive((b"a", b"1", b""), format=1)

    [(entry, _)] = entries(with_global(b"13 comment=x\n"))
    assert entry.name == "a"
    with pytest.raises(DamagedError, match="for all members"):
        entries(with_global(b"9 path=x\n"[:8] + b"\n"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000), st.integers(1, 600))
def test_any_bytes_are_damage_or_cut_short(data, chunk_bytes):
    with pytest.raises((DamagedError, CutShortError)):
        entries(b"x" + data, chunk_bytes)
