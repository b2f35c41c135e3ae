"""bin.tar.gz: the same files give the same bytes, and every tar reads them."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import threading
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasexp.archives import tarstream
from nasexp.archives.ahead import MOST_AHEAD, ahead
from nasexp.archives.gz import compressor, expanded
from nasexp.archives.pack import Packed, digest_of, open_tar, pack
from nasexp.archives.select import LeftOut, Member
from nasexp.archives.tarstream import FILE, FOLDER, LINK, header, tar_chunks
from nasexp.errors import StageError

MIB = 1 << 20

ODD_NAMES = [
    b"-rf",
    b"--checkpoint-action=exec=sh x",
    b"new\nline",
    b"tab\tand space ",
    b"quote'\"`$(x)",
    b"back\\slash",
    b"invalid\xff\xfeutf8",
    "schön-漢字-🎉".encode(),
    b"n" * 255,
    b"*",
    b"~",
]

# Of the tree in `test_the_bytes_are_these_for_ever`.
PINNED = "9daf98cf5f1d2253fdcfe3097a6165d02dadf3c8d2001a8c989f592253387395"

LONG_PATHS = [
    b"/".join([b"d" * 30] * 3) + b"/fits-100x",
    b"/".join([b"e" * 40] * 4) + b"/over-100",
    b"/".join([b"f" * 90] * 4) + b"/over-256",
    "/".join(["ü" * 60] * 2).encode() + b"/over-100-no-ascii",
]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "run_0"
    folder.mkdir()
    return folder / "bin.tar.gz"


def make(root, path, content=b"x", mode=0o644):
    file = root / os.fsdecode(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(mode)


def found(folder):
    """Return all that lies in a folder: kind, content or target, execute bit."""
    paths = (Path(at) / name for at, *names in os.walk(folder) for name in chain(*names))
    return {os.fsencode(path.relative_to(folder)): look(path) for path in paths}


def look(path):
    if path.is_symlink():
        return "link", path.readlink(), False
    if path.is_dir():
        return "folder", b"", True
    return "file", path.read_bytes(), os.access(path, os.X_OK)


def beside(archive):
    return [path.name for path in archive.parent.iterdir()]


def tar_of(path):
    with open_tar(path) as chunks:
        return b"".join(chunks)


def fill_many_kinds(root):
    for number, name in enumerate([*ODD_NAMES, *LONG_PATHS]):
        make(root, name, b"content %d\n" % number * number)
    make(root, "run.sh", b"#!/bin/sh\n", 0o755)
    make(root, "exact", bytes(512))
    make(root, "big", os.urandom(3 * MIB + 7))
    make(root, "a-mib", bytes(MIB))
    make(root, "none", b"")
    (root / "empty").mkdir()
    (root / "link").symlink_to("run.sh")
    (root / "long-link").symlink_to("empty/" + "t" * 120)
    (root / os.fsdecode(b"odd\xfflink")).symlink_to(os.fsdecode(b"inva\xfflid"))


class TestReadBack:
    def test_gnu_tar_unpacks_the_same_tree(self, root, archive, tmp_path):
        fill_many_kinds(root)
        out = tmp_path / "out"
        out.mkdir()

        pack(root, archive)
        subprocess.run(["tar", "-C", out, "-xzf", archive], check=True)

        assert found(out / "bin") == found(root)

    def test_gnu_tar_lists_without_a_word_of_complaint(self, root, archive):
        make(root, "run.sh", b"echo", 0o755)
        make(root, "a")
        (root / "link").symlink_to("a")

        pack(root, archive)
        listing = subprocess.run(
            ["tar", "--utc", "--numeric-owner", "-tzvf", archive],
            check=True,
            capture_output=True,
            text=True,
        )

        assert listing.stderr == ""
        assert [line.split() for line in listing.stdout.splitlines()] == [
            ["drwxr-xr-x", "0/0", "0", "1980-01-01", "00:00", "bin/"],
            ["-rw-r--r--", "0/0", "1", "1980-01-01", "00:00", "bin/a"],
            ["lrwxrwxrwx", "0/0", "0", "1980-01-01", "00:00", "bin/link", "->", "a"],
            ["-rwxr-xr-x", "0/0", "4", "1980-01-01", "00:00", "bin/run.sh"],
        ]

    def test_python_tarfile_unpacks_the_same_tree(self, root, archive, tmp_path):
        fill_many_kinds(root)

        pack(root, archive)
        with tarfile.open(archive) as tar:
            tar.extractall(tmp_path / "out", filter="data")

        assert found(tmp_path / "out" / "bin") == found(root)

    def test_gzip_itself_finds_it_sound(self, root, archive):
        make(root, "a", bytes(2 * MIB))

        pack(root, archive)

        subprocess.run(["gzip", "-t", archive], check=True)

    def test_an_empty_folder_is_an_archive_of_one_folder(self, root, archive):
        packed = pack(root, archive)

        assert packed.members == 0
        with tarfile.open(archive) as tar:
            assert tar.getnames() == ["bin"]

    @pytest.mark.parametrize("size_bytes", [7167, 7168, 7169, 8192, 8193, 9216])
    def test_the_end_is_two_empty_records_in_a_full_block(self, root, archive, size_bytes):
        """Two headers and this content end around the place where the end no longer fits."""
        make(root, "a", b"x" * size_bytes)

        packed = pack(root, archive)
        tar = tar_of(archive)

        assert packed.size_bytes == len(tar)
        assert len(tar) % 10240 == 0
        assert tar.endswith(bytes(1024))
        with tarfile.open(archive) as opened:
            assert opened.getmember("bin/a").size == size_bytes

    names = st.binary(min_size=1, max_size=40).filter(
        lambda name: name not in {b".", b".."} and not {0, 47} & set(name)
    )
    trees = st.dictionaries(names, st.tuples(st.binary(max_size=2000), st.booleans()), max_size=6)

    @settings(max_examples=30, deadline=None)
    @given(trees)
    def test_any_tree_comes_back(self, tmp_path_factory, tree):
        base = tmp_path_factory.mktemp("any")
        for name, (content, executable) in tree.items():
            make(base / "bin", b"in/" + name, content, 0o755 if executable else 0o644)
        (base / "bin").mkdir(exist_ok=True)

        packed = pack(base / "bin", base / "a.tar.gz")
        with tarfile.open(base / "a.tar.gz") as tar:
            tar.extractall(base / "out", filter="data")

        left_out = {os.fsencode(left.path.rstrip("/")) for left in packed.left_out}
        expected = {path: x for path, x in found(base / "bin").items() if path not in left_out}
        assert found(base / "out" / "bin") == expected


class TestSameBytes:
    def build(self, folder, order, mask):
        before = os.umask(mask)
        try:
            for path in order:
                name = folder / path
                name.parent.mkdir(parents=True, exist_ok=True)
                name.write_text(path)
                os.utime(name, (mask * 1e6, mask * 1e6))
            (folder / "empty").mkdir()
            (folder / "link").symlink_to("a")
            (folder / "a").chmod((folder / "a").stat().st_mode | 0o100)
        finally:
            os.umask(before)

    def test_order_time_and_umask_do_not_matter(self, tmp_path):
        paths = ["a", "sub/b", "sub/deep/c", "z" * 150]
        self.build(tmp_path / "one" / "bin", paths, 0o022)
        self.build(tmp_path / "two" / "code", paths[::-1], 0o077)

        first = pack(tmp_path / "one" / "bin", tmp_path / "1.tar.gz")
        second = pack(tmp_path / "two" / "code", tmp_path / "2.tar.gz")

        assert first == second
        assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()

    def test_a_name_a_byte_and_the_execute_bit_do_matter(self, root, archive):
        make(root, "a", b"1")
        digests = {pack(root, archive).sha256}

        make(root, "a", b"2")
        digests.add(pack(root, archive).sha256)
        make(root, "a", b"1", 0o755)
        digests.add(pack(root, archive).sha256)
        (root / "a").rename(root / "b")
        digests.add(pack(root, archive).sha256)

        assert len(digests) == 4

    def test_the_bytes_are_these_for_ever(self, root, archive):
        """Archives of old runs are found again by this digest."""
        make(root, "run.sh", b"#!/bin/sh\necho hi\n", 0o755)
        make(root, "sub/" + "long" * 40, b"x" * 1000)
        (root / "link").symlink_to("run.sh")

        assert pack(root, archive).sha256 == PINNED

    def test_the_gzip_header_holds_neither_time_nor_name(self, root, archive):
        pack(root, archive)

        assert archive.read_bytes()[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"

    def test_how_a_read_is_cut_does_not_matter(self, root, archive, tmp_path, monkeypatch):
        make(root, "a", os.urandom(2 * MIB))
        pack(root, archive)
        read = os.read
        monkeypatch.setattr(os, "read", lambda fd, size: read(fd, min(size, 70_000)))

        pack(root, tmp_path / "again.tar.gz")

        assert (tmp_path / "again.tar.gz").read_bytes() == archive.read_bytes()


class TestHeader:
    @pytest.mark.parametrize(
        ("name", "kind", "size_bytes", "mode", "target"),
        [
            (b"bin/", FOLDER, 0, 0o755, b""),
            (b"bin/a", FILE, 1, 0o644, b""),
            (b"bin/run", FILE, 8**11 - 1, 0o755, b""),
            (b"bin/" + b"n" * 96, FILE, 0, 0o644, b""),
            (b"bin/\xff", FILE, 0, 0o644, b""),
            (b"bin/l", LINK, 0, 0o777, b"t" * 100),
        ],
    )
    def test_the_fast_way_writes_what_tarfile_writes(self, name, kind, size_bytes, mode, target):
        slow = tarstream._header_by_tarfile(name, kind, size_bytes, mode, target)

        assert header(name, kind, size_bytes=size_bytes, mode=mode, target=target) == slow

    @pytest.mark.parametrize("size_bytes", [8**11, 5 * 2**40])
    def test_a_huge_file_has_a_header_that_tar_reads(self, size_bytes):
        record = header(b"bin/huge", FILE, size_bytes=size_bytes, mode=0o644)

        assert tarfile.TarInfo.frombuf(record, "utf-8", "strict").size == size_bytes


class TestPacked:
    def test_it_tells_what_was_done(self, root, archive):
        make(root, "a", bytes(9000))
        make(root, "sub/b")
        make(root, ".env")

        packed = pack(root, archive)

        assert packed == Packed(
            hashlib.sha256(tar_of(archive)).hexdigest(),
            10240 * 2,
            archive.stat().st_size,
            3,
            (LeftOut(".env", "secret (.env)"),),
        )

    def test_the_digest_can_be_read_back(self, root, archive):
        fill_many_kinds(root)

        packed = pack(root, archive)

        assert digest_of(archive) == packed.sha256

    def test_without_isal_the_digest_is_the_same(self, root, archive, tmp_path, monkeypatch):
        fill_many_kinds(root)
        with_isal = pack(root, archive)
        monkeypatch.setitem(sys.modules, "isal", None)

        without = pack(root, tmp_path / "plain.tar.gz")

        assert without.sha256 == with_isal.sha256
        assert digest_of(archive) == digest_of(tmp_path / "plain.tar.gz") == without.sha256

    def test_what_gzip_made_is_read_as_well(self, archive):
        archive.write_bytes(gzip.compress(b"one") + gzip.compress(b"two"))

        assert tar_of(archive) == b"onetwo"

    def test_an_older_archive_is_replaced(self, root, archive):
        archive.write_bytes(b"old")
        make(root, "a")

        packed = pack(root, archive)

        assert digest_of(archive) == packed.sha256
        assert beside(archive) == ["bin.tar.gz"]

    def test_the_mode_is_that_of_the_umask(self, root, archive):
        before = os.umask(0o027)
        try:
            pack(root, archive)
        finally:
            os.umask(before)

        assert archive.stat().st_mode & 0o777 == 0o640

    def test_the_import_stays_light(self):
        code = "import sys, nasexp.archives.pack; print(*sorted(sys.modules))"
        result = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )

        heavy = {"tarfile", "gzip", "isal", "pathspec", "shutil", "tempfile", "asyncio", "logging"}
        assert heavy & set(result.stdout.split()) == set()


@contextmanager
def nothing_changes(archive):
    """An error leaves the old archive, and nothing beside it."""
    archive.write_bytes(b"old")
    threads = threading.active_count()
    yield
    assert archive.read_bytes() == b"old"
    assert beside(archive) == ["bin.tar.gz"]
    assert threading.active_count() == threads


class TestWhatGoesWrong:
    def chunks(self, root, *paths):
        return tar_chunks(root, [Member(path, "file") for path in paths])

    def test_a_vanished_file_is_named(self, root):
        make(root, "a")

        with pytest.raises(StageError, match="bin/gone could not be read: No such file") as caught:
            list(self.chunks(root, "a", "gone"))

        assert caught.value.hint

    def test_a_file_that_became_a_fifo_is_named_and_does_not_block(self, root):
        os.mkfifo(root / "a")

        with pytest.raises(StageError, match="bin/a is no regular file any more"):
            list(self.chunks(root, "a"))

    def test_a_file_that_became_a_link_is_not_followed(self, root):
        (root / "a").symlink_to("/etc/passwd")

        with pytest.raises(StageError, match="bin/a could not be read"):
            list(self.chunks(root, "a"))

    @pytest.mark.parametrize(
        ("size_bytes", "change", "what"),
        [(size, 1, "grew") for size in (0, 10, MIB - 1, MIB, 3 * MIB)]
        + [(size, -1, "shrank") for size in (1, MIB - 1, MIB, 3 * MIB)],
    )
    def test_a_file_that_changes_its_size_is_named(
        self, root, archive, monkeypatch, size_bytes, change, what
    ):
        make(root, "a", bytes(size_bytes))
        status = os.fstat

        def change_after_asking(descriptor):
            before = status(descriptor)
            os.truncate(root / "a", size_bytes + change)
            return before

        with nothing_changes(archive):
            monkeypatch.setattr(tarstream.os, "fstat", change_after_asking)
            with pytest.raises(StageError, match=f"bin/a {what} while it was being packed"):
                pack(root, archive)
            monkeypatch.undo()

    def test_a_full_disk_names_the_folder_and_a_way_on(self, root, archive):
        make(root, "a", os.urandom(3 * MIB))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)

        with nothing_changes(archive):
            resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))
            try:
                with pytest.raises(StageError) as caught:
                    pack(root, archive)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        expected = f"no room for bin.tar.gz on the disk of {archive.parent}: File too large"
        assert caught.value.message == expected
        assert "df -h" in caught.value.hint

    def test_a_folder_that_is_not_there_is_an_error(self, root, tmp_path):
        with pytest.raises(StageError, match=r"bin.tar.gz cannot be written: No such file"):
            pack(root, tmp_path / "no" / "bin.tar.gz")

    def test_a_trap_in_the_folder_is_not_stepped_into(self, root, archive, monkeypatch):
        """Whoever guesses the name of the temporary file gains an error, not a write."""
        monkeypatch.setattr(os, "urandom", bytes)
        victim = archive.parent / "victim"
        victim.write_text("precious")
        (archive.parent / f".bin.tar.gz.{'00' * 6}.part").symlink_to(victim)

        with pytest.raises(StageError, match="File exists"):
            pack(root, archive)

        assert victim.read_text() == "precious"

    def test_an_interrupt_leaves_nothing(self, root, archive, monkeypatch):
        make(root, "a", os.urandom(MIB))

        def interrupt(_descriptor):
            raise KeyboardInterrupt

        with nothing_changes(archive):
            monkeypatch.setattr(os, "fsync", interrupt)
            with pytest.raises(KeyboardInterrupt):
                pack(root, archive)


class TestGzip:
    DENSE, TEXT = os.urandom(MIB), b"a text that shrinks, line by line\n" * (MIB // 34)
    KINDS = st.lists(st.sampled_from([DENSE, TEXT, DENSE[:200_000], TEXT[:100], b"", b"x"]))

    @pytest.mark.parametrize("library", ["isal", "zlib"])
    @given(chunks=KINDS)
    @settings(max_examples=15, deadline=None)
    def test_any_mix_of_what_shrinks_and_what_does_not_is_a_gzip_file(self, library, chunks):
        with pytest.MonkeyPatch.context() as patch:
            if library == "zlib":
                patch.setitem(sys.modules, "isal", None)
            packer = compressor()
            packed = b"".join([*map(packer.compress, chunks), packer.flush()])

        assert gzip.decompress(packed) == b"".join(chunks)
        assert b"".join(expanded([packed], MIB)) == b"".join(chunks)

    def test_what_does_not_shrink_is_stored_and_all_else_packed(self):
        packer = compressor()

        assert self.DENSE[:60_000] in packer.compress(self.DENSE)
        assert len(packer.compress(self.TEXT) + packer.flush()) < MIB / 50


class TestDamaged:
    @pytest.fixture(params=["isal", "zlib"])
    def packed(self, root, archive, request, monkeypatch):
        if request.param == "zlib":
            monkeypatch.setitem(sys.modules, "isal", None)
        make(root, "a", os.urandom(3000))
        pack(root, archive)
        return archive

    def test_cut_short_anywhere(self, packed):
        whole = packed.read_bytes()
        for length in {0, 5, 10, 11, 1000, len(whole) - 9, len(whole) - 8, len(whole) - 1}:
            packed.write_bytes(whole[:length])
            with pytest.raises(StageError, match="is damaged"):
                digest_of(packed)

    def test_a_flipped_bit_anywhere(self, packed):
        whole = bytearray(packed.read_bytes())
        for place in [0, 2, 11, 500, 2000, len(whole) - 8, len(whole) - 2]:
            whole[place] ^= 0x10
            packed.write_bytes(whole)
            with pytest.raises(StageError, match="is damaged"):
                digest_of(packed)
            whole[place] ^= 0x10

    def test_no_gzip_file_at_all(self, packed):
        packed.write_bytes(b"hello, world, this is no archive")

        with pytest.raises(StageError, match="is damaged"):
            digest_of(packed)

    def test_not_there(self, packed):
        packed.unlink()

        with pytest.raises(StageError, match="cannot be read: No such file"):
            digest_of(packed)

    def test_an_error_of_whoever_reads_stays_theirs(self, packed):
        def read_one():
            with open_tar(packed) as chunks:
                next(chunks)
                raise EOFError

        with pytest.raises(EOFError):
            read_one()


class TestAhead:
    def test_items_come_in_order(self):
        with ahead(number for number in range(50)) as numbers:
            assert list(numbers) == list(range(50))

    def test_an_error_comes_where_the_next_item_is_asked_for(self):
        def failing():
            yield 1
            raise OSError("torn")

        with ahead(failing()) as items:
            assert next(items) == 1
            with pytest.raises(OSError, match="torn"):
                next(items)

    @pytest.mark.parametrize("taken", [0, 1, MOST_AHEAD + 3])
    def test_leaving_early_ends_the_thread_and_closes_the_generator(self, taken):
        closed = []

        def endless():
            try:
                while True:
                    yield 0
            finally:
                closed.append(threading.current_thread())

        before = threading.active_count()
        with ahead(endless()) as items:
            for _ in range(taken):
                next(items)

        assert len(closed) == 1
        assert threading.active_count() == before


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
@pytest.mark.lab
def test_a_disk_that_is_really_full(root, tmp_path):
    """On a small disk of its own, with the error that a NAS gives."""
    make(root, "a", os.urandom(3 * MIB))
    small = tmp_path / "small"
    small.mkdir()
    code = (
        "import sys; from pathlib import Path; from nasexp.archives.pack import pack; "
        "pack(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    script = 'mount -t tmpfs -o size=1m none "$1" || exit 99; "$2" -c "$3" "$4" "$1/a"; ls -A "$1"'
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", small, sys.executable, code, root],
        check=False,
        capture_output=True,
        text=True,
    )
    if result.returncode == 99 or "unshare" in result.stderr:
        pytest.skip("no mounts of one's own here")

    assert f"no room for a on the disk of {small}: No space left on device" in result.stderr
    assert result.stdout == ""
