"""The old sh files are read, never run; what is not certain is not guessed."""

from __future__ import annotations

import math
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasexp.config.units import Duration
from nasexp.config.workspace import Workspace
from nasexp.config.yamlfile import read_text
from nasexp.errors import ConfigError, StageError
from nasexp.importing.bashconfig import BashConfig, parse_config, read_config
from nasexp.importing.mapping import map_project, map_workspace, timeout_of
from nasexp.importing.yamltext import plan_addition, project_yaml, write_addition

GLOBAL = """\
#!/bin/bash
# auto_runner.config
target_proj=example_proj

timeout=2h

backup_every_h=0
backup_every_m=30
backup_every_s=0

dl_user=user
dl_host=server

working_dir=$1
source ${working_dir}/${target_proj}/${target_proj}.config
"""
PROJECT = """\
tensorflow_version=tensorflow-1.13
conda_env=tensorflow-1.13
run_script=run.sh
output_dir=output
"""


def values(text):
    return {name: old.value for name, old in parse_config(text, "c").values.items()}


def unread(text):
    return [f"{item.origin}: {item.text}" for item in parse_config(text, "c").unread]


def settings(mapped):
    return {".".join(setting.path): setting.value for setting in mapped.settings}


def refused(mapped):
    return [f"{item.origin}: {item.text}" for item in mapped.unmapped]


def from_global(text, projects=("example_proj",)):
    return map_workspace(parse_config(text, "g"), projects)


def from_project(text, base="", script=""):
    return map_project(parse_config(text, "p"), parse_config(base, "g"), script)


# --- reading ---


def test_the_old_form():
    assert values(GLOBAL) == {
        "target_proj": "example_proj", "timeout": "2h", "backup_every_h": "0",
        "backup_every_m": "30", "backup_every_s": "0", "dl_user": "user", "dl_host": "server",
    }  # fmt: skip
    assert unread(GLOBAL) == [
        "c:14: working_dir=$1",
        "c:15: source ${working_dir}/${target_proj}/${target_proj}.config",
    ]
    assert str(parse_config(GLOBAL, "c").values["timeout"].origin) == "c:5"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x=a", "a"),
        ("x=", ""),
        ("  x=a  ", "a"),
        ("x=a # comment", "a"),
        ("x=a#b", "a#b"),
        ("x='a b' # c", "a b"),
        ('x="a b"', "a b"),
        ("""x=a'b'"c"d""", "abcd"),
        (r"x=a\ b", "a b"),
        (r'x="a\"\$\\b\n"', r'a"$\b\n'),
        (r"x='a$b`c\'", "a$b`c\\"),
        ("x=a\\\nb", "ab"),
        ("x=a*?[b]", "a*?[b]"),
        ("x={a,b}", "{a,b}"),
        ("x=a=b", "a=b"),
        ("x=a~", "a~"),
        ("export x=a", "a"),
        ("readonly x=a", "a"),
        ("x=a; export x", "a"),
        ("y=1; x=a", "a"),
        ("y=1 x=a", "a"),
        ("x=a\nx=b", "b"),
        ("x=$y\nx=b", "b"),
    ],
)
def test_a_value_is_what_sh_would_make_of_it(text, value):
    assert values(text)["x"] == value
    done = subprocess.run(["sh", "-c", f'{text}\nprintf %s "$x"'], capture_output=True, text=True)
    assert done.stdout == value, "the test itself is wrong about sh"


def test_an_export_of_what_is_known_is_nothing_to_list():
    assert unread("x=a; export x\nreadonly x") == []


@pytest.mark.parametrize(
    "text",
    [
        "x=$1", "x=${y}", "x=$(date)", "x=`date`", 'x="$HOME/a"', "x=~/a", "x=a:~b", "x=$'a'",
        "x=(a b)", "x+=a", "x = a", "x=a command", "x=a | cat", "x=a && y=b", "x=a > f", "(x=a)",
        "x=a & y=b", "[ -f f ] || x=a", "eval x=a", "declare x=a", "local x=a", "'x'=a", "x='a",
        'x="a', "x=$(a; x=b; c)", "cat <<E\nx=a\nE", "cat <<-'E'\n\tx=a\n\tE", "x='a\nb'",
        "x=\x1b[31m",
    ],
)  # fmt: skip
def test_what_sh_would_work_out_is_listed_and_not_guessed(text):
    assert "x" not in values(text)
    assert unread(text)
    assert all(line.isprintable() for line in unread(text))


@pytest.mark.parametrize(
    "block",
    [
        "if true; then\n  x=b\nfi",
        "if true; then x=b; fi",
        "if a; then\n if b; then\n y=1\n fi\n x=b\nfi",
        "case $1 in\n a) x=b ;;\nesac",
        "for i in 1; do\n x=b\ndone",
        "while read l; do x=b; done",
        "f() {\n  x=b\n}",
        "f()\n{\n  x=b\n}",
        "function f {\n  x=b\n}",
        "{\n x=b\n}",
        "(\n x=b\n)",
        "true && x=b",
        "x=$(date)",
        "x+=b",
        "unset x",
        "read x",
    ],
)
def test_a_value_that_a_later_line_may_change_is_given_up(block):
    text = f"x=a\n{block}\nafter=1\n"

    assert values(text) == {"after": "1"}
    assert any(line.startswith("c:2: ") for line in unread(text))


def test_a_block_is_listed_once_with_its_first_line():
    assert unread("if [ $1 = x ]; then\n  a=1\n  b=2\nfi\nc=3") == ["c:1: if [ $1 = x ] …"]


def test_the_given_up_value_is_listed_with_the_line_that_may_change_it():
    config = parse_config("x=a\nif true; then\n  x=b\nfi", "c")

    assert [(str(u.origin), u.text, u.reason) for u in config.unread] == [
        ("c:2", "if true …", "it depends on a condition, a loop or a function"),
        ("c:1", "x=a", "line 3 may change it"),
    ]


@given(st.text(alphabet="ax=$'\"\\`#;&|<>(){} \n\t~", max_size=30))
def test_no_text_breaks_the_reader_and_no_line_is_lost(text):
    config = parse_config(text, "c")

    assert all(1 <= u.origin.line <= text.count("\n") + 1 for u in config.unread)
    if "#" not in text and "<" not in text and text.strip(" \t\n;\\"):
        assert config.values or config.unread


def test_windows_line_ends_a_byte_order_mark_and_odd_bytes(tmp_path):
    path = tmp_path / "c"
    path.write_bytes(b"\xef\xbb\xbfx=a\r\n# gr\xfc\xdfe\r\ny='b c'\r\nz=\xfc\r\n")

    config = read_config(path, "c")

    assert {name: old.value for name, old in config.values.items()} == {"x": "a", "y": "b c"}
    assert [(u.text, u.reason) for u in config.unread] == [
        ("z=\\xfc", "the value holds characters that are no plain text")
    ]


@pytest.mark.parametrize("content", ["x=a\n".encode("utf-16"), b"\0", b"#" * (2 << 20)])
def test_what_is_no_text(tmp_path, content):
    (tmp_path / "c").write_bytes(content)

    with pytest.raises(StageError, match="p/c is no text"):
        read_config(tmp_path / "c", "p/c")


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(StageError, match="p/c cannot be read: Is a directory"):
        read_config(tmp_path, "p/c")


def test_secrets_and_long_lines_are_not_shown_whole():
    assert unread("api_key=$(cat key)abc") == ["c:1: api_key=***"]
    assert refused(from_global("db_password=hunter2")) == ["g:1: db_password=***"]
    assert len(unread("x=$" + "a" * 500)[0]) < 120


# --- mapping ---


def test_the_settings_of_the_workspace():
    assert settings(from_global(GLOBAL)) == {
        "project": "example_proj", "timeout": "2h", "backup.every": "30m",
        "hosts.server.address": "user@server", "host": "server",
    }  # fmt: skip
    advice = {item.text.split("=")[0].split(" ")[0]: item.advice
              for item in from_global(GLOBAL).unmapped}  # fmt: skip
    assert advice == {
        "working_dir": "not needed: nasexp finds the workspace by itself",
        "source": "not needed: the NAME.config of every project is read",
    }


def test_the_settings_of_a_project():
    mapped = from_project(PROJECT)

    assert settings(mapped) == {"run": "./run.sh", "output": "output"}
    assert refused(mapped) == [
        "p:2: conda_env=tensorflow-1.13", "p:1: tensorflow_version=tensorflow-1.13",
    ]  # fmt: skip
    assert all("venv" in item.advice for item in mapped.unmapped)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2h", "2h"), ("90", "1m30s"), ("90s", "90s"), ("1.5h", "1.5h"), (".5h", "30m"),
        ("1.d", "1d"), ("0", "never"), ("0.0h", "never"), ("7d", "7d"), ("120m", "120m"),
    ],
)  # fmt: skip
def test_a_timeout(old, new):
    assert timeout_of(old) == new
    seconds = float(old.rstrip("smhd")) * {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(old[-1], 1)
    assert Duration.parse(new).seconds == (seconds or math.inf)


@pytest.mark.parametrize("old", ["", "h", "-1", "1w", "2 h", "1h30m", "1e3", "soon", "."])
def test_a_timeout_that_is_none(old):
    with pytest.raises(ValueError):
        timeout_of(old)
    mapped = from_global(f"timeout='{old}'")
    assert not mapped.settings
    assert refused(mapped) == [f"g:1: timeout={old}"]


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("backup_every_h=1\nbackup_every_m=30\nbackup_every_s=5", "1h30m5s"),
        ("backup_every_m=90", "1h30m"),
        ("backup_every_s=45", "45s"),
        ("backup_every_h=0\nbackup_every_m=0\nbackup_every_s=0", None),
        ("backup_every_m=030", None),
        ("backup_every_h=1\nbackup_every_m=x", None),
        ("backup_every_h=1\nbackup_every_m=$M", None),
    ],
)
def test_the_time_between_backups(text, every):
    mapped = from_global(text)

    assert settings(mapped).get("backup.every") == every
    assert bool(mapped.unmapped) == (every is None)


@pytest.mark.parametrize(
    ("user", "host", "name", "address"),
    [
        ("user", "server", "server", "user@server"),
        ("", "server", "server", None),
        (None, "gpu.example.com", "gpu.example.com", "gpu.example.com"),
        ("user", "10.0.0.5", "10.0.0.5", "user@10.0.0.5"),
        ("user", "fe80::1", "gpu-box", "user@fe80::1"),
        ("user", "local", "gpu-box", "user@local"),
        ("user", "-oProxyCommand=x", None, None),
        ("-l", "server", None, None),
        ("$USER", "server", None, None),
        ("user", "a b", None, None),
        ("user", None, None, None),
    ],
)
def test_the_host(user, host, name, address):
    lines = [f"{key}={value if '$' in value else repr(value)}"
             for key, value in (("dl_user", user), ("dl_host", host)) if value is not None]  # fmt: skip
    mapped = from_global("\n".join(lines))

    if address is None:
        assert not mapped.settings
        assert len(mapped.unmapped) == len(lines)
        return
    assert settings(mapped) == {f"hosts.{name}.address": address, "host": name}


def test_the_target_is_set_only_when_it_is_there():
    mapped = from_global("target_proj=gone", projects=["other"])

    assert not mapped.settings
    assert mapped.unmapped[0].advice == "the workspace has no project 'gone'"


@pytest.mark.parametrize(
    ("script", "run"),
    [
        ("run.sh", "./run.sh"),
        ("./run.sh", "./run.sh"),
        ("'train.sh --lr 0.1'", "./train.sh --lr 0.1"),
        ("sub/run.sh", "./sub/run.sh"),
        ("''", None),
    ],
)
def test_the_script(script, run):
    assert settings(from_project(f"run_script={script}")).get("run") == run


def test_a_script_that_is_not_named_is_looked_for():
    assert settings(from_project("", script="p/bin/run.sh")) == {"run": "./run.sh"}
    assert settings(from_project("")) == {}
    assert settings(from_project("run_script=$X", script="p/bin/run.sh")) == {}
    assert settings(from_project("run_script=a", script="p/bin/run.sh")) == {"run": "./a"}


@pytest.mark.parametrize(
    ("folder", "output"),
    [("output", "output"), ("out/put/", "out/put"), ("/tmp/x", None), ("../x", None),
     ("''", None), ("'~/x'", None)],
)  # fmt: skip
def test_the_output(folder, output):
    mapped = from_project(f"output_dir={folder}")

    assert settings(mapped).get("output") == output
    assert bool(mapped.unmapped) == (output is None)


def test_a_project_is_stronger_than_the_workspace_as_it_was():
    base = "run_script=a.sh\noutput_dir=out\ntimeout=2h\nbackup_every_h=1\nbackup_every_m=0\n"
    mapped = from_project("run_script=b.sh\ntimeout=1h\nbackup_every_m=30\n", base)

    assert settings(mapped) == {
        "run": "./b.sh", "output": "out", "timeout": "1h", "backup.every": "1h30m",
    }  # fmt: skip
    assert settings(from_project("", base)) == {"run": "./a.sh", "output": "out"}
    assert settings(from_project("output_dir=$X", base)) == {"run": "./a.sh"}


def test_what_has_no_place_is_named():
    assert refused(from_project("colour=red\ndl_host=x\ntarget_proj=y")) == [
        "p:3: target_proj=y", "p:2: dl_host=x", "p:1: colour=red",
    ]  # fmt: skip
    assert refused(from_global("colour=red")) == ["g:1: colour=red"]


# --- writing ---


def test_the_project_s_settings_read_as_a_person_would_write_them():
    assert (
        project_yaml(from_project(PROJECT))
        == """\
# Came over from the bash scripts; behind each value stands where it was.

run: ./run.sh # p:3, run_script
output: output # p:4, output_dir

# There is no conda environment in this version of nasexp: activate it in the run script, or list
# its packages in bin/requirements.txt and write `environment: {venv: requirements.txt}`.
# conda_env=tensorflow-1.13 # p:2
# tensorflow_version=tensorflow-1.13 # p:1

# client: NAME # who pays, and how much an hour: `report` counts the runs that came over with it
# rate: 45 EUR/h
"""
    )


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="'"), min_size=1))
def test_whatever_was_written_there_is_read_again_here(name):
    mapped = from_project(f"run_script='{name}'\nconda_env='{name}'")
    text = project_yaml(mapped)

    plain = read_text(text, "p").plain()
    wanted = settings(mapped).get("run")
    assert plain == ({"run": wanted} if wanted else {})


def test_text_stays_text():
    for word in ("1e3", "true", "null", "010", "a: b", "a #b", "- a", "5"):
        text = project_yaml(from_project(f"output_dir='{word}'"))
        assert read_text(text, "p").plain() == {"output": word}


@pytest.fixture
def added(tmp_path):
    def add(content, config=GLOBAL):
        path = tmp_path / "nasexp.yaml"
        path.write_bytes(content)
        addition = plan_addition(Workspace(tmp_path), from_global(config).settings)
        if addition.content is None:
            with pytest.raises(StageError, match="nothing can be appended"):
                write_addition(Workspace(tmp_path), addition)
        else:
            write_addition(Workspace(tmp_path), addition)
        return addition, path.read_bytes()

    return add


ADDED = """\
# Came over from the bash scripts; behind each value stands where it was.
project: example_proj # g:3, target_proj
timeout: 2h # g:5, timeout
backup: {every: 30m} # g:7, backup_every_h/m/s
hosts:
  server: {address: user@server} # g:12, dl_user, dl_host
host: server # g:12, dl_host
"""


@pytest.mark.parametrize(
    ("before", "gap"),
    [
        (b"", ""),
        (b"\n", ""),
        (b"# mine", "\n\n"),
        (b"# mine\n", "\n"),
        (b"seed: 1 # keep\n", "\n"),
        (b"seed: 1", "\n\n"),
        (b"\xef\xbb\xbfseed: 1\n", "\n"),
        (b"---\nseed: 1\n", "\n"),
        (b"params:\n  a: 1\n", "\n"),
    ],
)
def test_lines_are_added_at_the_end_and_the_rest_stays_as_it_is(added, before, gap):
    addition, after = added(before)

    assert after == before + (gap + ADDED).encode()
    assert not addition.kept


def test_windows_line_ends_go_on(added):
    before = b"# mine\r\nseed: 1\r\n"

    assert added(before)[1] == before + ("\n" + ADDED).replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    "before",
    [b"{seed: 1}\n", b"  seed: 1\n", b"seed: 1\n...\n", b"client: |+\n  a\n", b"client: |+\n\n"],
)
def test_a_file_to_which_nothing_can_be_added(added, before):
    addition, after = added(before)

    assert addition.content is None
    assert after == before
    assert addition.lines == ADDED.splitlines()[1:]


def test_what_is_set_already_is_left_and_told(added):
    before = b"timeout: 1h\nproject: example_proj\nbackup: {}\nhosts: {gpu: {address: x}}\n"
    addition, after = added(before)

    assert after == before
    assert [(k.setting.path[0], k.reason) for k in addition.kept] == [
        ("timeout", "nasexp.yaml says 1h"),
        ("backup", "`backup:` is there, add it by hand"),
        ("hosts", "`hosts:` is there, add it by hand"),
        ("host", "its host is not under `hosts:`"),
    ]


def test_a_host_that_is_there_already_is_used(added):
    before = b"hosts: {server: {address: user@server}}\n"

    assert added(before, "dl_user=user\ndl_host=server")[1].endswith(
        b"\nhost: server # g:2, dl_host\n"
    )


def test_nothing_to_add_changes_nothing(added):
    before = b"{seed: 1}"
    addition, after = added(before, "")

    assert (addition.taken, after) == ((), before)


def test_a_broken_file_is_refused(added):
    with pytest.raises(ConfigError, match="nasexp.yaml:1"):
        added(b"a: b: c\n")


def test_mode_and_link_of_the_file_stay(tmp_path):
    (tmp_path / "real.yaml").write_text("")
    (tmp_path / "real.yaml").chmod(0o640)
    (tmp_path / "nasexp.yaml").symlink_to("real.yaml")
    workspace = Workspace(tmp_path)

    write_addition(workspace, plan_addition(workspace, from_global(GLOBAL).settings))

    assert (tmp_path / "nasexp.yaml").is_symlink()
    assert (tmp_path / "real.yaml").read_text() == ADDED
    assert (tmp_path / "real.yaml").stat().st_mode & 0o777 == 0o640


def test_an_empty_config_maps_to_nothing():
    assert map_workspace(BashConfig(), []).settings == []
