"""Which files of bin/ go into the archive, and that each one left out is told."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.archives.excludes import default_reason
from nasexp.archives.links import link_fault
from nasexp.archives.names import listed, shown
from nasexp.archives.select import LeftOut, Member, select
from nasexp.errors import ConfigError, StageError

SECRETS = [
    (".env", "secret (.env)"),
    ("deep/down/.env", "secret (.env)"),
    (".env.production", "secret (.env.*)"),
    ("server.pem", "secret (*.pem)"),
    ("Server.PEM", "secret (*.pem)"),
    ("tls/site.key", "secret (*.key)"),
    ("store.p12", "secret (*.p12)"),
    ("store.pfx", "secret (*.pfx)"),
    (".netrc", "secret (.netrc)"),
    (".pypirc", "secret (.pypirc)"),
    (".npmrc", "secret (.npmrc)"),
    (".git-credentials", "secret (.git-credentials)"),
    ("id_rsa", "secret (id_rsa*)"),
    ("id_rsa.old", "secret (id_rsa*)"),
    ("id_dsa", "secret (id_dsa*)"),
    ("id_ecdsa_sk", "secret (id_ecdsa*)"),
    ("id_ed25519", "secret (id_ed25519*)"),
    (".aws/credentials", "secret (.aws/credentials)"),
    ("home/.aws/credentials", "secret (.aws/credentials)"),
    (".kube/config", "secret (.kube/config)"),
    (".docker/config.json", "secret (.docker/config.json)"),
    (".cache/huggingface/token", "secret (huggingface/token)"),
    (".huggingface/token", "secret (.huggingface/token)"),
    ("kaggle.json", "secret (kaggle.json)"),
    ("x.pyc", "clutter (*.pyc)"),
    (".DS_Store", "clutter (.DS_Store)"),
    ("a/Thumbs.db", "clutter (Thumbs.db)"),
]

GOES_IN = [
    "id_map.json",
    "id_rsa.pub",
    "id_ed25519.pub",
    "environment.py",
    "keys.py",
    "token",
    "config",
    "config.json",
    "credentials",
    "myhuggingface/token",
    "venv.py",
    "a.env",
    ".gitignore",
]

LEFT_OUT_FOLDERS = [
    (".git", "clutter (.git/)"),
    ("__pycache__", "clutter (__pycache__/)"),
    (".venv", "clutter (.venv/)"),
    ("@eaDir", "clutter (@eaDir/)"),
    (".ipynb_checkpoints", "clutter (.ipynb_checkpoints/)"),
    (".ssh", "secret (.ssh/)"),
]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def make(root, *paths, text=""):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def ignore(root, *lines):
    (root / ".nasexpignore").write_text("".join(f"{line}\n" for line in lines))


def chosen(root):
    """Return the paths of all files that go in, without the ignore file itself."""
    members = select(root).members
    return [x.path for x in members if x.kind != "folder" and x.path != ".nasexpignore"]


def left_out(root):
    return {left.path: left.reason for left in select(root).left_out}


@contextmanager
def without_rights():
    """Be somebody who is refused what a mode refuses: root is not."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


class TestDefaults:
    @pytest.mark.parametrize(("path", "reason"), SECRETS)
    def test_secrets_and_clutter_stay_out(self, root, path, reason):
        make(root, path)

        assert chosen(root) == []
        assert left_out(root) == {path: reason}

    @pytest.mark.parametrize("path", GOES_IN)
    def test_what_only_looks_like_it_goes_in(self, root, path):
        make(root, path)

        assert chosen(root) == [path]
        assert left_out(root) == {}

    @pytest.mark.parametrize(("name", "reason"), LEFT_OUT_FOLDERS)
    def test_a_folder_is_listed_once(self, root, name, reason):
        make(root, f"src/{name}/one", f"src/{name}/deep/two")

        assert chosen(root) == []
        assert left_out(root) == {f"src/{name}/": reason}

    def test_a_virtual_environment_of_any_name_stays_out(self, root):
        make(root, "my-env/pyvenv.cfg", "my-env/lib/x.py", "main.py")

        assert chosen(root) == ["main.py"]
        assert left_out(root) == {"my-env/": "clutter (virtual environment with pyvenv.cfg)"}

    @given(st.text(st.characters(exclude_characters="/\0"), min_size=1))
    def test_any_name_gets_an_answer(self, name):
        assert default_reason(name) is None or default_reason(f"a/{name}") is not None


class TestIgnoreFile:
    def test_the_reason_names_the_line(self, root):
        make(root, "data/a", "data/deep/b", "main.py")
        ignore(root, "# big things", "", "data/")

        assert chosen(root) == ["main.py"]
        assert left_out(root) == {"data/": ".nasexpignore line 3: data/"}

    def test_the_file_itself_goes_in(self, root):
        ignore(root, "x")

        assert select(root).members == (Member(".nasexpignore", "file"),)

    def test_a_negation_takes_a_secret_back_in(self, root):
        make(root, ".env", "deep/.env", "a.pem")
        ignore(root, "!.env")

        assert chosen(root) == [".env", "deep/.env"]
        assert left_out(root) == {"a.pem": "secret (*.pem)"}

    def test_a_negation_takes_clutter_back_in(self, root):
        make(root, "my-env/pyvenv.cfg", ".venv/x")
        ignore(root, "!my-env/", "!/.venv")

        assert chosen(root) == [".venv/x", "my-env/pyvenv.cfg"]

    def test_a_folder_taken_back_in_does_not_take_the_secrets_within(self, root):
        make(root, ".venv/.env", ".venv/x", ".venv/__pycache__/y")
        ignore(root, "!.venv/")

        assert chosen(root) == [".venv/x"]
        assert left_out(root) == {
            ".venv/.env": "secret (.env)",
            ".venv/__pycache__/": "clutter (__pycache__/)",
        }

    def test_the_last_line_that_matches_decides(self, root):
        make(root, "a.log", "b.log", "keep/a.log")
        ignore(root, "*.log", "!a.log", "keep/a.log")

        assert chosen(root) == ["a.log"]

    def test_nothing_below_a_folder_left_out_comes_back(self, root):
        make(root, "data/keep.txt")
        ignore(root, "data/", "!data/keep.txt")

        assert chosen(root) == []

    def test_all_but_some(self, root):
        make(root, "a.py", "b.txt", "deep/c.py", "deep/d.txt")
        ignore(root, "*", "!*/", "!*.py")

        assert chosen(root) == ["a.py", "deep/c.py"]

    @pytest.mark.parametrize(
        ("line", "stays"),
        [
            ("build", ["src/out"]),
            ("/build", ["src/build", "src/out"]),
            ("build/", ["build", "src/build", "src/out"]),
            ("src/build", ["build", "src/out"]),
            ("**/build", ["src/out"]),
            ("src/*", ["build"]),
            ("src/**", ["build"]),
            ("?uild", ["src/out"]),
            ("[a-c]uild", ["src/out"]),
            ("\\build", ["src/out"]),
            ("build \r", ["src/out"]),
            ("#build", ["build", "src/build", "src/out"]),
            ("!build", ["build", "src/build", "src/out"]),
            ("/", ["build", "src/build", "src/out"]),
            ("!/", ["build", "src/build", "src/out"]),
        ],
    )
    def test_lines_mean_what_they_mean_to_git(self, root, line, stays):
        make(root, "build", "src/build", "src/out")
        ignore(root, line)

        assert chosen(root) == stays

    def test_a_link_to_a_folder_is_no_folder(self, root):
        make(root, "real/x")
        (root / "data").symlink_to("real")
        ignore(root, "data/")

        assert chosen(root) == ["data", "real/x"]

    def test_a_mark_of_windows_editors_is_no_part_of_the_first_line(self, root):
        make(root, "a", "b")
        (root / ".nasexpignore").write_bytes(b"\xef\xbb\xbfa\r\n")

        assert chosen(root) == ["b"]

    def test_names_that_are_no_text_can_be_meant(self, root):
        (root / os.fsdecode(b"\xff\xfe")).touch()
        (root / "new\nline.log").touch()
        (root / ".nasexpignore").write_bytes(b"\xff*\n*.log\n")

        assert chosen(root) == []
        assert [str(left) for left in select(root).left_out] == [
            "new\\nline.log: .nasexpignore line 2: *.log",
            "\\xff\\xfe: .nasexpignore line 1: \\xff*",
        ]

    def test_a_newline_in_a_name_is_a_letter_like_others(self, root):
        make(root, "new\nline/x.log", "x.log\n", "x.log")
        ignore(root, "*.log")

        assert chosen(root) == ["x.log\n"]

    def test_a_line_that_is_no_pattern_is_named(self, root):
        ignore(root, "a", "b\\")

        with pytest.raises(ConfigError) as caught:
            select(root)

        assert caught.value.message == ".nasexpignore line 2: 'b\\\\' is no pattern"

    def test_a_folder_of_that_name_is_an_error(self, root):
        (root / ".nasexpignore").mkdir()

        with pytest.raises(StageError, match="cannot be read: Is a directory"):
            select(root)


class TestKinds:
    def test_empty_folders_and_all_kinds_are_kept(self, root):
        make(root, "a/file")
        (root / "empty").mkdir()
        (root / "link").symlink_to("a/file")
        (root / "hard").hardlink_to(root / "a/file")

        assert select(root).members == (
            Member("a", "folder"),
            Member("a/file", "file"),
            Member("empty", "folder"),
            Member("hard", "file"),
            Member("link", "link", "a/file"),
        )

    def test_the_order_is_that_of_bytes(self, root):
        make(root, "a/x", "a-b", "a.b", "B", "ä", "z", "🎉")
        (root / os.fsdecode(b"\xff")).touch()

        paths = [os.fsencode(member.path) for member in select(root).members]

        plain = [b"B", b"a", b"a-b", b"a.b", b"a/x", b"z"]
        assert paths == [*plain, "ä".encode(), "🎉".encode(), b"\xff"]

    def test_a_fifo_and_a_socket_are_named(self, root, monkeypatch):
        os.mkfifo(root / "pipe")
        monkeypatch.chdir(root)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("sock")

        assert left_out(root) == {"pipe": "fifo", "sock": "socket"}

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
    def test_a_device_is_named(self, root):
        try:
            os.mknod(root / "null", 0o600 | 0o020000, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("no devices in this container")

        assert left_out(root) == {"null": "device"}

    def test_a_missing_folder_is_an_error_with_a_hint(self, tmp_path):
        with pytest.raises(StageError, match="there is no folder") as caught:
            select(tmp_path / "bin")

        assert caught.value.hint


class TestLinks:
    @pytest.mark.parametrize(
        ("target", "reason"),
        [
            ("../outside", "symbolic link that leaves bin/"),
            ("sub/../../outside", "symbolic link that leaves bin/"),
            ("..", "symbolic link that leaves bin/"),
            ("/etc/passwd", "symbolic link that has an absolute target"),
            ("link", "symbolic link that leads in a circle"),
        ],
    )
    def test_what_does_not_stay_inside_stays_out(self, root, target, reason):
        (root / "sub").mkdir()
        (root / "link").symlink_to(target)

        assert left_out(root) == {"link": reason}

    @pytest.mark.parametrize("target", ["sub", "sub/..", ".", "sub//x", "not/there", "./sub/"])
    def test_what_stays_inside_goes_in_as_it_is(self, root, target):
        (root / "sub").mkdir()
        (root / "link").symlink_to(target)

        assert Member("link", "link", target) in select(root).members

    def test_a_way_out_through_another_link_is_seen(self, root):
        make(root, "a/b/c/x")
        (root / "a/b/c/up").symlink_to("../../..")
        (root / "sly").symlink_to("a/b/c/up/../..")

        assert left_out(root) == {"sly": "symbolic link that leaves bin/"}

    def test_a_way_that_reads_as_if_it_left_stays_out_as_well(self, root):
        """Whoever unpacks may read it as text, tarfile's filter for one."""
        make(root, "a/b/x")
        (root / "hop").symlink_to("a/b")
        (root / "sly").symlink_to("hop/../../a")

        assert left_out(root) == {"sly": "symbolic link that leaves bin/"}

    def test_a_link_through_a_link_that_leaves_leaves(self, root):
        (root / "out").symlink_to("/etc")
        (root / "sly").symlink_to("out/passwd")

        assert left_out(root) == {
            "out": "symbolic link that has an absolute target",
            "sly": "symbolic link that leaves bin/",
        }

    part = st.sampled_from(["a", "b", "c", "..", "."])
    some_links = st.dictionaries(
        st.sampled_from(["a", "b", "c", "a/b", "a/c", "b/a", "b/c", "c/a", "c/b"]),
        st.lists(part, min_size=1, max_size=4).map("/".join),
        max_size=5,
    )

    @given(some_links)
    def test_paper_and_kernel_agree(self, tmp_path_factory, links):
        """What is let through does not leave by the kernel's own reading either."""
        root = tmp_path_factory.mktemp("links").resolve() / "in" / "bin"
        for name in ("a", "b", "c"):
            if name not in links:
                (root / name).mkdir(parents=True)
        links = {path: to for path, to in links.items() if "/" not in path or path[0] not in links}
        root.mkdir(parents=True, exist_ok=True)
        for path, target in links.items():
            (root / path).symlink_to(target)

        for path in links:
            if link_fault(path, links, "bin/") is None:
                assert (root / path).resolve().is_relative_to(root)


class TestUnreadable:
    def test_all_that_cannot_be_read_is_named(self, root, monkeypatch):
        make(root, "ok", "one", "sub/two", "closed/three")
        root.parent.chmod(0o755)
        for path in ("one", "sub/two", "closed"):
            (root / path).chmod(0)
        monkeypatch.chdir(root.parent)

        with without_rights(), pytest.raises(StageError) as caught:
            select(Path("bin"))
        (root / "closed").chmod(0o755)

        assert caught.value.message == "in bin cannot be read: closed/, one, sub/two"
        assert ".nasexpignore" in caught.value.hint

    def test_what_is_left_out_need_not_be_readable(self, root, monkeypatch):
        make(root, "one", ".env")
        root.parent.chmod(0o755)
        (root / "one").chmod(0)
        (root / ".env").chmod(0)
        ignore(root, "one")
        monkeypatch.chdir(root.parent)

        with without_rights():
            paths = chosen(Path("bin"))

        assert paths == []


class TestNames:
    def test_a_left_out_file_can_be_printed_anywhere(self):
        left = LeftOut(os.fsdecode(b"\xffa\x1b[31m\nb"), "secret (.env)")

        assert str(left) == "\\xffa\\x1b[31m\\nb: secret (.env)"

    @given(st.binary())
    def test_shown_is_always_printable(self, name):
        assert shown(os.fsdecode(name)).isprintable()

    def test_a_long_list_is_cut_and_counted(self):
        assert listed([str(number) for number in range(60)], 2) == "0, 1 and 58 more"
