"""Unpacking: what is ours comes out equal, what is hostile comes out not at all."""

from __future__ import annotations

import gzip
import io
import os
import random
import resource
import stat
import subprocess
import sys
import tarfile
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasexp.archives.pack import digest_of, pack
from nasexp.archives.unpack import Unpacked, unpack
from nasexp.errors import StageError


def member(name, kind=tarfile.REGTYPE, content=b"", target="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(content)
    info.linkname = target
    info.mode = mode
    return info, content


def link(name, target):
    return member(name, tarfile.SYMTYPE, target=target)


def hard(name, target):
    return member(name, tarfile.LNKTYPE, target=target)


def folder(name):
    return member(name, tarfile.DIRTYPE)


def tar_bytes(*members, format=tarfile.GNU_FORMAT):  # noqa: A002 - tarfile's own word
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def found(root):
    paths = (Path(at) / name for at, *names in os.walk(root) for name in chain(*names))
    return {os.fsencode(path.relative_to(root)): look(path) for path in paths}


def look(path):
    if path.is_symlink():
        return str(path.readlink())
    return path.read_bytes() if path.is_file() else None


@pytest.fixture
def out(tmp_path):
    """A destination, and around it what an archive might want to reach."""
    (tmp_path / "home").mkdir()
    (tmp_path / "victim").write_text("precious")
    return tmp_path / "home" / "out"


@pytest.fixture(params=["with tarfile's filter", "by our own check alone"])
def both_halves(request, monkeypatch):
    if request.param == "by our own check alone":
        monkeypatch.delattr(tarfile, "data_filter")


def unpack_members(out, *members, **limits):
    return unpack(io.BytesIO(tar_bytes(*members)), out, **limits)


def refused(out, *members, **limits):
    """Unpack, be refused, and make sure that nothing is left; return the message."""
    return refused_bytes(out, tar_bytes(*members), **limits)


def refused_bytes(out, data, **limits):
    with pytest.raises(StageError) as caught:
        unpack(io.BytesIO(data), out, **limits)
    assert found(out.parent.parent) == {b"home": None, b"victim": b"precious"}
    assert caught.value.message.isprintable()
    return caught.value.message


class TestOurs:
    @pytest.fixture
    def root(self, tmp_path):
        root = tmp_path / "bin"
        for path in ["a", "-rf", "new\nline", "n" * 255, "deep/er/" + "p" * 200, "ü" * 60]:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(path)
        (root / os.fsdecode(b"bad\xff")).write_bytes(os.urandom(3_000_000))
        (root / "exact").write_bytes(bytes(1024))
        (root / "empty").mkdir()
        (root / "link").symlink_to("deep/../a")
        (root / "run.sh").write_text("#!/bin/sh\n")
        (root / "run.sh").chmod(0o755)
        return root

    def test_what_was_packed_comes_out_equal(self, root, out):
        archive = out.parent.parent / "bin.tar.gz"
        packed = pack(root, archive)

        unpacked = unpack(archive, out)

        files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        assert found(out / "bin") == found(root)
        assert unpacked == Unpacked(packed.members + 1, sum(x.stat().st_size for x in files))
        assert os.access(out / "bin/run.sh", os.X_OK)
        assert not os.access(out / "bin/a", os.X_OK)

    def test_packed_again_it_has_the_same_digest(self, root, out):
        archive = out.parent.parent / "bin.tar.gz"
        packed = pack(root, archive)

        unpack(archive, out)

        assert pack(out / "bin", out.parent / "again.tar.gz").sha256 == packed.sha256
        assert digest_of(archive) == packed.sha256

    def test_without_isal_it_is_the_same(self, root, out, monkeypatch):
        archive = out.parent.parent / "bin.tar.gz"
        pack(root, archive)
        monkeypatch.setitem(sys.modules, "isal", None)

        unpack(archive, out)

        assert found(out / "bin") == found(root)

    def test_the_umask_gives_the_modes(self, root, out):
        archive = out.parent.parent / "bin.tar.gz"
        pack(root, archive)
        before = os.umask(0o027)
        try:
            unpack(archive, out)
        finally:
            os.umask(before)

        modes = [stat.S_IMODE((out / x).stat().st_mode) for x in (".", "bin/a", "bin/run.sh")]
        assert modes == [0o750, 0o640, 0o750]

    names = st.binary(min_size=1, max_size=30).filter(
        lambda name: name not in {b".", b".."} and not {0, 47} & set(name)
    )

    @settings(max_examples=30, deadline=None)
    @given(st.dictionaries(names, st.binary(max_size=1500), max_size=5))
    def test_any_names_come_out_equal(self, tmp_path_factory, files):
        base = tmp_path_factory.mktemp("any")
        (base / "bin").mkdir()
        for name, content in files.items():
            (base / "bin" / ("n" + os.fsdecode(name))).write_bytes(content)

        packed = pack(base / "bin", base / "a.tar.gz")
        unpack(base / "a.tar.gz", base / "out")

        left_out = {os.fsencode(left.path) for left in packed.left_out}
        expected = {path: x for path, x in found(base / "bin").items() if path not in left_out}
        assert found(base / "out" / "bin") == expected


class TestOfTheOldScripts:
    def test_a_deep_prefix_of_gnu_tar_is_kept(self, tmp_path, out):
        """`tar -zcf` of an absolute path: the members are `volume1/…` without the slash."""
        base = tmp_path / "volume1/deeplearning/example_proj/bin"
        base.mkdir(parents=True)
        (base / "train.py").write_text("print(1)")
        (base / "twin.py").hardlink_to(base / "train.py")
        archive = tmp_path / "bin.tar.gz"
        subprocess.run(["tar", "-zcf", archive, base], check=True, capture_output=True)

        unpack(archive, out)

        inner = out / base.relative_to("/")
        assert found(inner) == {b"train.py": b"print(1)", b"twin.py": b"print(1)"}

    def test_members_that_begin_with_a_dot_are_fine(self, tmp_path, out):
        (tmp_path / "bin/sub").mkdir(parents=True)
        (tmp_path / "bin/sub/a").write_text("1")
        archive = tmp_path / "a.tar.gz"
        subprocess.run(["tar", "-C", tmp_path / "bin", "-zcf", archive, "."], check=True)

        unpack(archive, out)

        assert found(out) == {b"sub": None, b"sub/a": b"1"}

    @pytest.mark.parametrize("kind", ["gnu", "posix", "ustar", "v7"])
    def test_every_format_of_tar_is_read(self, tmp_path, out, kind):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / ("n" * 80)).write_text("1")
        archive = tmp_path / "a.tar.gz"
        command = ["tar", f"--format={kind}", "-C", tmp_path, "-zcf", archive, "bin"]
        subprocess.run(command, check=True)

        unpack(archive, out)

        assert found(out) == {b"bin": None, b"bin/" + b"n" * 80: b"1"}

    def test_a_file_added_twice_counts_as_the_later(self, out):
        unpack_members(
            out, member("a", content=b"old"), hard("b", "a"), member("a", content=b"new")
        )

        assert found(out) == {b"a": b"new", b"b": b"old"}

    def test_folders_that_are_not_listed_are_made(self, out):
        unpack_members(out, member("a/b/c", content=b"1"))

        assert found(out) == {b"a": None, b"a/b": None, b"a/b/c": b"1"}


@pytest.mark.usefixtures("both_halves")
class TestHostile:
    @pytest.mark.parametrize(
        "name",
        [
            "/etc/passwd",
            "//x",
            "../victim",
            "a/../../../victim",
            "a/..",
            "..",
            "x/" * 300 + "y",
            "n" * 5000,
        ],
    )
    @pytest.mark.parametrize("make", [member, folder, lambda name: link(name, "a")])
    def test_a_name_that_is_not_below_is_refused(self, out, name, make):
        message = refused(out, member("fine"), make(name))

        assert message.startswith(name[:30])
        assert "is refused" in message

    @pytest.mark.parametrize(
        "target",
        ["/etc/passwd", "../victim", "..", "sub/../../victim", "../../../../../../etc"],
    )
    def test_a_link_that_leaves_is_refused(self, out, target):
        message = refused(out, folder("sub"), link("sly", target))

        assert message.startswith("sly is refused")

    @pytest.mark.parametrize(
        "members",
        [
            [link("a", "."), member("a/x")],
            [folder("d"), link("a", "d"), member("a/x", content=b"through")],
            [folder("d"), link("a", "d"), folder("a/x")],
            [folder("d"), link("a", "d"), link("a/x", "y")],
            [member("f"), folder("d"), link("a", "d"), hard("a/x", "f")],
            [member("f", content=b"1"), link("a", "f"), member("a", content=b"through")],
            [folder("d"), link("a", "d"), folder("a")],
            [link("a", "b"), link("a", "c")],
            [member("f"), member("f/x")],
            [folder("d"), member("d")],
            [member("f"), link("f", "g")],
        ],
    )
    def test_nothing_is_made_through_or_over_an_earlier_member(self, out, members):
        message = refused(out, *members)

        assert "is refused" in message

    def test_a_way_out_made_of_links_that_look_fine_is_refused(self, out):
        message = refused(
            out, folder("a/b/c"), link("a/b/c/up", "../../.."), link("sly", "a/b/c/up/../..")
        )

        assert message.startswith("sly is refused: ")

    def test_a_way_out_that_a_later_member_opens_is_refused(self, out):
        """When `sly` comes by, `hop` is nothing yet and the path reads as if it stayed inside."""
        message = refused(out, link("sly", "hop/../../victim"), folder("a"), link("hop", "a"))

        assert message.startswith("sly is refused: ")

    def test_a_very_long_way_out_is_refused(self, out):
        """Beyond the longest path of the kernel tarfile's filter went blind (CVE-2025-4517)."""
        long, steps = "d" * 247, "abcdefghijklmnop"
        members = []
        for depth, step in enumerate(steps):
            at = f"{long}/" * depth
            members += [folder(at + long), link(at + step, long)]
        way = "/".join(steps) + "/" + "l" * 254
        members += [link(way, "../" * len(steps)), link("sly", f"{way}/../../victim")]
        members += [hard("hard", "sly"), member("hard", content=b"overwritten")]

        refused(out, *members)

    @pytest.mark.parametrize("target", ["../victim", "/etc/passwd", "nothing", "d", "l", "self"])
    def test_a_hard_link_to_anything_but_a_file_of_ours_is_refused(self, out, target):
        message = refused(out, folder("d"), link("l", "d"), hard("self", target))

        assert message.startswith("self is refused")

    @pytest.mark.parametrize(
        "kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, b"Z", b"V"]
    )
    def test_only_files_folders_and_links_are_made(self, out, kind):
        info, content = member("dev", kind)
        data = bytearray(tar_bytes((info, content)))

        message = refused_bytes(out, bytes(data))

        assert message.startswith("dev is refused")

    def test_set_user_id_and_odd_modes_are_dropped(self, out):
        unpack_members(out, member("su", mode=0o6777), member("closed", mode=0), folder("d"))

        assert stat.S_IMODE((out / "su").stat().st_mode) & 0o7022 == 0
        assert stat.S_IMODE((out / "closed").stat().st_mode) & 0o600 == 0o600

    def test_a_name_with_control_characters_is_told_safely(self, out):
        assert refused(out, member("../\x1b[31mred")).startswith("../\\x1b[31mred is refused")

    def test_too_many_members_are_refused(self, out):
        members = [member(str(number)) for number in range(4)]

        assert "3 is refused: more than 3 members" in refused(out, *members, max_members=3)

    def test_too_many_folders_on_the_way_are_refused(self, out):
        assert "more than 5 members" in refused(out, member("a/b/c/d/e/f"), max_members=5)

    def test_too_many_bytes_are_refused_before_they_are_written(self, out):
        members = [member("a", content=bytes(600)), member("b", content=bytes(600))]

        message = refused(out, *members, max_size_bytes=1000)

        assert message == "b is refused: more than 1000 bytes in all"

    def test_a_bomb_of_zeros_is_refused_by_its_header(self, out):
        info, _ = member("bomb")
        info.size = 1 << 50

        assert "bytes in all" in refused_bytes(out, info.tobuf(tarfile.GNU_FORMAT))

    @pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
    def test_a_huge_long_name_is_not_read_into_memory(self, out, kind):
        info, _ = member("x", kind)
        info.size = 1 << 33
        data = info.tobuf(tarfile.GNU_FORMAT)

        assert "a header of 8589934592 bytes" in refused_bytes(out, data)

    def test_a_negative_size_is_refused(self, out):
        info, _ = member("x")
        info.size = -512

        assert "a header of -512 bytes" in refused_bytes(out, info.tobuf(tarfile.GNU_FORMAT))

    def test_endless_long_names_are_an_error(self, out):
        info, _ = member("x", tarfile.GNUTYPE_LONGNAME)
        info.size = 1
        one = info.tobuf(tarfile.GNU_FORMAT) + b"y".ljust(512, b"\0")

        assert "is damaged" in refused_bytes(out, one * 3000)


def test_what_only_the_filter_of_tarfile_sees_is_refused(out, monkeypatch):
    def see(info, _root):
        raise tarfile.SpecialFileError(info)

    monkeypatch.setattr(tarfile, "data_filter", see)

    assert refused(out, link("a", "b")) == "a is refused: 'a' is a special file"
    assert refused(out, member("f"), hard("a", "f")) == "a is refused: 'a' is a special file"


class TestDamaged:
    whole = tar_bytes(folder("d"), member("d/a", content=b"x" * 700), member("b", content=b"y"))

    @pytest.mark.parametrize("length", [0, 1, 511, 512, 700, 1024, 1500, 2048, 2560, 3000, 3072])
    def test_a_stream_that_ends_too_early_leaves_nothing(self, out, length):
        assert "damaged" in refused_bytes(out, self.whole[:length])

    @pytest.mark.parametrize("place", [0, 100, 600, 1000, 2100])
    def test_a_damaged_header_is_not_the_end(self, out, place):
        """tarfile by itself stops at a bad header and says nothing."""
        data = bytearray(self.whole)
        data[place] ^= 0x55

        assert "damaged" in refused_bytes(out, bytes(data))

    def test_a_gzip_file_that_is_damaged_after_the_end_of_tar(self, out):
        """The check sum comes last; all members are unpacked by then, and still nothing stays."""
        archive = out.parent.parent / "a.tar.gz"
        data = bytearray(gzip.compress(self.whole + bytes(200_000)))
        data[-6] ^= 1
        archive.write_bytes(data)

        with pytest.raises(StageError, match="is damaged"):
            unpack(archive, out)

        assert list(out.parent.iterdir()) == []

    def test_a_file_that_is_no_archive(self, out):
        archive = out.parent.parent / "a.tar.gz"
        archive.write_bytes(gzip.compress(b"hello " * 1000))

        with pytest.raises(StageError, match="is damaged"):
            unpack(archive, out)

    @settings(max_examples=150, deadline=None)
    @given(seed=st.integers(0, 1 << 30))
    def test_no_damage_leads_out_or_to_another_error(self, tmp_path_factory, seed):
        rng = random.Random(seed)
        data = bytearray(
            tar_bytes(
                folder("d"),
                member("d/" + "n" * 120, content=b"x" * 700),
                link("l", "d"),
                hard("h", "d/" + "n" * 120),
                format=rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
            )
        )
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 1])] = rng.randbytes(rng.choice([0, 1, 1, 2]))
        if rng.random() < 0.8:
            mend_check_sums(data)
        base = tmp_path_factory.mktemp("damaged")
        (base / "home").mkdir()

        try:
            unpack(io.BytesIO(data), base / "home/out", max_size_bytes=1 << 20)
        except StageError:
            assert list((base / "home").iterdir()) == []

        assert [path.name for path in base.iterdir()] == ["home"]


def mend_check_sums(data):
    """Make headers valid again, so that damage gets further than the check sum."""
    for start in range(0, len(data) - 511, 512):
        if data[start + 257 : start + 262] == b"ustar":
            data[start + 148 : start + 156] = b" " * 8
            checksum = b"%06o\0 " % sum(data[start : start + 512])
            data[start + 148 : start + 156] = checksum


class TestDestination:
    def test_an_empty_folder_is_filled(self, out):
        out.mkdir()

        unpack_members(out, member("a", content=b"1"))

        assert found(out) == {b"a": b"1"}

    def test_what_is_there_already_stays(self, out):
        out.mkdir()
        (out / "mine").write_text("mine")

        with pytest.raises(StageError, match="is there already"):
            unpack_members(out, member("a"))

        assert found(out) == {b"mine": b"mine"}

    def test_a_link_is_not_followed(self, out, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / "elsewhere")

        with pytest.raises(StageError, match="is there already"):
            unpack_members(out, member("a"))

        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_a_missing_parent_is_an_error(self, out):
        with pytest.raises(StageError, match="cannot be unpacked: No such file"):
            unpack_members(out / "sub", member("a"))

    def test_a_full_disk_leaves_nothing(self, out):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        try:
            message = refused(out, member("a", content=bytes(3 << 20)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        assert message == "a cannot be made: File too large"

    def test_a_stream_of_whoever_reads_in_pieces_is_fine(self, out):
        class Slow(io.BytesIO):
            def read(self, size=-1):
                return super().read(min(size, 100))

        unpack(Slow(tar_bytes(member("a", content=b"1" * 5000))), out)

        assert found(out) == {b"a": b"1" * 5000}
