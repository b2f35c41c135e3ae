"""`import-bash` over folders as the old scripts left them."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import stat
import subprocess
import sys
from collections import namedtuple

import pytest

from nasexp.importing import copying

OLD_TIME = 1_700_000_000

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
#!/bin/bash
# example_proj.config
tensorflow_version=tensorflow-1.13
conda_env=tensorflow-1.13
run_script=run.sh
output_dir=output
"""


class OldFolder:
    """A folder of the old scripts that a test fills."""

    def __init__(self, root):
        self.root = root
        self.write({"auto_runner.config": GLOBAL, "auto_runner.sh": "", "scripts/runner.sh": ""})

    def write(self, files):
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def add_project(self, name="example_proj", runs=2, config=PROJECT):
        self.write({f"{name}/bin/run.sh": "#!/bin/sh\nmkdir -p output\n"})
        (self.root / name / "bin" / "run.sh").chmod(0o750)
        if config is not None:
            self.write({f"{name}/{name}.config": config})
        for number in range(runs):
            self.add_run(name, number)
        return self.root / name

    def add_run(self, name, number, *, ended=True):
        begin = OLD_TIME + number * 10_000
        info = f"start_time|Tue Nov 14 22:13:20 UTC 2023\nstart_epoch|{begin}\n"
        info += f"end_time|Tue Nov 14 23:13:20 UTC 2023\nend_epoch|{begin + 3600}\n" * ended
        folder = f"{name}/results/run_{number}"
        self.write({f"{folder}/run.info": info, f"{folder}/log.log": f"step {number}\n",
                    f"{folder}/output/checkpoint": "x" * 100})  # fmt: skip
        self.set_times()

    def set_times(self):
        for path in [*self.root.rglob("*"), self.root]:
            os.utime(path, (OLD_TIME, OLD_TIME), follow_symlinks=False)

    def digest(self):
        return digest(self.root)


def digest(root):
    """All that a person could see change: names, kinds, modes, times, content, link targets."""
    seen = hashlib.sha256()
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else ""
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        row = (os.fsencode(path), status.st_mode, status.st_mtime_ns, status.st_size, content)
        seen.update(repr(row).encode())
    return seen.hexdigest()


@pytest.fixture
def old(tmp_path):
    return OldFolder(tmp_path / "old")


@pytest.fixture
def imported(workspace, old):
    """Import, and see to it that the old folder is as it was."""

    def run(code=0, *words):
        before = old.digest()
        called = workspace.nasexp("import-bash", str(old.root), *words)
        assert old.digest() == before, "the old folder was changed"
        assert not list(workspace.root.glob("projects/.*")), "something half-made was left"
        return called.assert_code(code)

    return run


def config_of(workspace):
    return (workspace.root / "nasexp.yaml").read_text()


@pytest.mark.usefixtures("programs_found")
def test_a_whole_folder_comes_over(workspace, old, imported):
    old.add_project()

    called = imported()

    assert (
        config_of(workspace)
        == """\
# Came over from the bash scripts; behind each value stands where it was.
project: example_proj # auto_runner.config:3, target_proj
timeout: 2h # auto_runner.config:5, timeout
backup: {every: 30m} # auto_runner.config:7, backup_every_h/m/s
hosts:
  server: {address: user@server} # auto_runner.config:12, dl_user, dl_host
host: server # auto_runner.config:12, dl_host
"""
    )
    settings = (workspace.root / "projects/example_proj/project.yaml").read_text()
    assert "\nrun: ./run.sh # example_proj/example_proj.config:5, run_script\n" in settings
    assert "\noutput: output # example_proj/example_proj.config:6, output_dir\n" in settings
    assert "\n# conda_env=tensorflow-1.13 # example_proj/example_proj.config:4\n" in settings
    lines = called.output.splitlines()
    assert lines[0] == f"importing {old.root} into {workspace.root}"
    size = sum(p.stat().st_size for p in (old.root / "example_proj").rglob("*")
               if p.is_file() and p.suffix != ".config")  # fmt: skip
    assert lines[1] == f"  example_proj: bin/, 2 runs (run_0 to run_1), {size}B"
    assert "  auto_runner.config:14: working_dir=$1" in lines
    assert "  example_proj/example_proj.config:4: conda_env=tensorflow-1.13" in lines
    assert "this version of nasexp switches no host off" in called.output
    assert lines[-1] == "next: nasexp run --project example_proj --dry-run"


def test_the_settings_are_in_force(workspace, old, imported):
    old.add_project()
    imported()

    rows = workspace.nasexp("config", "--project", "example_proj", "--json").assert_ok().json()

    in_force = {row["key"]: row["value"] for row in rows}
    assert in_force["run"] == "./run.sh"
    assert in_force["timeout"] == "2h"
    assert in_force["backup.every"] == "30m"
    assert in_force["shutdown.after"] == "1h"
    assert (in_force["host"], in_force["hosts.server.address"]) == ("server", "user@server")


def test_the_commands_know_the_old_runs(workspace, old, imported):
    old.add_project()
    imported()

    runs = workspace.nasexp("runs", "--json").assert_ok().json()
    report = workspace.nasexp("report", "--json").assert_ok().json()

    assert [(r["run"], r["status"], r["seconds"]) for r in runs] == [
        ("example_proj/run_0", "ok", 3600.0), ("example_proj/run_1", "ok", 3600.0),
    ]  # fmt: skip
    assert report["rows"][0]["seconds"] == 7200.0
    workspace.nasexp("show", "example_proj/run_0").assert_ok()
    assert workspace.nasexp("logs", "example_proj/run_0").assert_ok().output == "step 0\n"
    assert workspace.nasexp("logs", "run_1").assert_ok().output == "step 1\n"


def test_the_next_run_goes_on_after_the_last_one(workspace, old, imported):
    old.add_project()
    old.add_run("example_proj", 7)
    imported()

    workspace.nasexp("run", "--dry-run", "--host", "local").assert_code(0, "example_proj/run_8")
    workspace.nasexp("run", "--host", "local").assert_code(0, "example_proj/run_8: ok")


def test_modes_times_links_and_odd_names_stay(workspace, old, imported):
    folder = old.add_project()
    old.write({"example_proj/bin/.env": "token", "example_proj/bin/deep/a b\n": "x",
               b"example_proj/bin/\xff".decode("utf-8", "surrogateescape"): "y"})  # fmt: skip
    (folder / "bin/.env").chmod(0o600)
    (folder / "bin/link").symlink_to("run.sh")
    (folder / "bin/dangling").symlink_to("/nowhere")
    (folder / "bin/deep/up").symlink_to("..", target_is_directory=True)
    (folder / "bin/empty").mkdir()
    (folder / "results/run_0/output/latest").symlink_to("checkpoint")
    (folder / "bin/deep").chmod(0o555)
    (folder / "results/run_1").chmod(0o500)
    old.set_times()

    imported()

    made = workspace.root / "projects/example_proj"
    for part in ("bin", "results/run_0", "results/run_1"):
        assert tree(made / part) == tree(folder / part)
    umask = os.umask(0)
    os.umask(umask)
    assert made.stat().st_mode & 0o777 == 0o777 & ~umask, "others may look, as in any project"


def tree(root):
    rows = [(path.lstat(), path) for path in [root, *root.rglob("*")]]
    return {
        os.fsencode(path.relative_to(root)): (
            status.st_mode, status.st_mtime_ns,
            os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes(),
        )
        for status, path in rows
    }  # fmt: skip


def test_a_link_in_the_place_of_a_folder_is_followed(workspace, old, imported, tmp_path):
    folder = old.add_project()
    shutil.move(folder / "results/run_1", tmp_path / "elsewhere")
    (folder / "results/run_1").symlink_to(tmp_path / "elsewhere")
    imported()

    assert workspace.nasexp("logs", "example_proj/run_1").assert_ok().output == "step 1\n"
    assert not (workspace.root / "projects/example_proj/results/run_1").is_symlink()


def test_a_second_import_is_harmless(workspace, old, imported):
    old.add_project()
    imported()
    before = digest(workspace.root)

    called = imported(4)

    assert digest(workspace.root) == before
    called.assert_code(4, "example_proj: projects/example_proj is there already; it stays as it is")
    assert "added to" not in called.output


def test_what_came_later_comes_with_the_next_import(workspace, old, imported):
    old.add_project()
    imported()
    old.add_project("second")

    called = imported(4, "--dry-run")
    assert "  second: bin/" in called.output
    assert "  second: bin/" in imported(4).output
    assert (workspace.root / "projects/second/bin/run.sh").is_file()


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "dangling link"])
def test_nothing_that_is_there_is_overwritten(workspace, old, imported, kind):
    old.add_project()
    place = workspace.root / "projects/example_proj"
    place.parent.mkdir()
    if kind == "folder":
        workspace.write({"projects/example_proj/mine": "x"})
    elif kind == "empty folder":
        place.mkdir()
    elif kind == "file":
        place.write_text("x")
    else:
        place.symlink_to("nowhere")
    before = digest(place.parent)

    imported(4)

    assert digest(place.parent) == before


def test_a_dry_run_changes_nothing_and_says_the_same(workspace, old, imported):
    old.add_project()
    before = digest(workspace.root)

    planned = imported(0, "--dry-run").output.splitlines()

    assert digest(workspace.root) == before
    assert planned[0].startswith("would import ")
    assert planned[-1] == "nothing was changed"
    done = imported().output.splitlines()
    assert [line for line in planned if line not in done] == [planned[0], planned[-1]]


def test_what_stands_in_the_way_of_a_first_run_is_told(workspace, old, imported):
    old.add_project()
    old.write({"example_proj/bin/run.sh": "#!/bin/sh\r\n", "auto_runner.config": ""})
    old.add_project("without", config="run_script=gone.sh\n", runs=0)

    called = imported()

    called.assert_code(
        0, "before example_proj can run: projects/example_proj/bin/run.sh has Windows"
    )
    called.assert_code(0, "before without can run: run: projects/without/bin/gone.sh is missing")
    assert "next:" not in called.output, "what is next is to mend it"
    last = called.output.splitlines()[-1]
    assert last.startswith("then: ")
    assert last.endswith(" run --project example_proj --dry-run")


def test_names_that_are_none_of_nasexp_are_told(workspace, old, imported):
    old.add_project()
    for name in ("my project", "x" * 65, "a..b", "-x", "umläut"):
        old.add_project(name)

    called = imported(4)

    assert (
        "  my project: project 'my project' is no valid name; a name has letters" in called.output
    )
    assert called.output.count("is no valid name") == 5
    assert [p.name for p in (workspace.root / "projects").iterdir()] == ["example_proj"]


def test_a_target_that_did_not_come_over_is_not_set(workspace, old, imported):
    old.write({"auto_runner.config": "target_proj='my project'\n"})
    old.add_project("my project")

    called = imported(4)

    assert config_of(workspace) == ""
    assert "auto_runner.config:1: target_proj=my project" in called.output
    assert "the workspace has no project 'my project'" in called.output


def test_what_is_neither_code_nor_a_run_is_named_and_left(workspace, old, imported):
    folder = old.add_project()
    old.write({"example_proj/notes.txt": "", "example_proj/results/run_007/log.log": "",
               "example_proj/results/backup.zip": "", "example_proj/results/run_5": "a file",
               "README": "", "data/x": "", "@eaDir/x": ""})  # fmt: skip
    os.mkfifo(folder / "bin/pipe")
    (folder / "results/latest").symlink_to("run_1")

    called = imported()

    told = called.output.partition("not copied:\n")[2]
    for name in ("README", "data/", "example_proj/notes.txt", "example_proj/results/run_007/",
                 "example_proj/results/backup.zip", "example_proj/results/run_5",
                 "example_proj/results/latest/"):  # fmt: skip
        assert f"  {name}: " in told
    assert "  example_proj/bin/pipe: no file, but a pipe" in told
    assert "@eaDir" not in told
    made = workspace.root / "projects/example_proj"
    assert sorted(os.listdir(made)) == ["bin", "project.yaml", "results"]
    assert sorted(os.listdir(made / "results")) == ["run_0", "run_1"]
    assert os.listdir(made / "bin") == ["run.sh"]


def test_a_run_without_an_end_is_told(workspace, old, imported):
    old.add_project(runs=1)
    old.add_run("example_proj", 1, ended=False)

    assert "example_proj/run_1 has no end" in imported().output


def test_nothing_of_a_config_is_executed(workspace, old, imported, tmp_path):
    mark = tmp_path / "mark"
    trap = f'touch {mark}\nx=$(touch {mark})\ny=`touch {mark}`\nexport z="$(touch {mark})"\n'
    old.write({"auto_runner.config": trap + GLOBAL})
    old.add_project(config=trap + PROJECT)

    called = imported()

    assert not mark.exists()
    assert f"auto_runner.config:1: touch {mark}" in called.output
    assert f"example_proj/example_proj.config:2: x=$(touch {mark})" in called.output


def test_configs_from_windows(workspace, old, imported):
    windows = b"\xef\xbb\xbf" + GLOBAL.replace("\n", "\r\n").encode() + b"# gr\xfc\xdfe\r\n"
    old.write({"auto_runner.config": windows})
    old.add_project(config=PROJECT.replace("\n", "\r\n"))
    imported()

    assert "timeout: 2h # auto_runner.config:5, timeout\n" in config_of(workspace)
    settings = (workspace.root / "projects/example_proj/project.yaml").read_bytes()
    assert b"\nrun: ./run.sh #" in settings
    assert b"\r" not in settings


def test_a_folder_without_its_global_config(workspace, old, imported):
    old.add_project()
    for name in ("auto_runner.config", "auto_runner.sh"):
        (old.root / name).unlink()
    imported()

    assert config_of(workspace) == ""
    assert workspace.nasexp("runs", "--json").json()[0]["run"] == "example_proj/run_0"


def test_a_project_without_its_config(workspace, old, imported):
    old.add_project(config=None)
    called = imported()

    assert "run: ./run.sh # example_proj/bin/run.sh, no run_script" in called.output
    workspace.nasexp("run", "--host", "local").assert_code(0, "example_proj/run_2: ok")


def test_a_project_without_code(workspace, old, imported):
    old.write({"bare/bare.config": "output_dir=out\n"})

    called = imported()

    assert "  bare: no bin/, no runs, 0B" in called.output
    assert "before bare can run: projects/bare/bin is missing" in called.output
    settings = (workspace.root / "projects/bare/project.yaml").read_text()
    assert "# run: ./run.sh # the command that trains: name yours\noutput: out" in settings


def test_a_config_that_is_no_text_keeps_its_project_out(workspace, old, imported):
    old.add_project(config=PROJECT)
    old.write({"bad/bad.config": PROJECT.encode("utf-16"), "bad/bin/x": ""})

    imported(4).assert_code(4, "  bad: bad/bad.config is no text that sh could read")

    assert os.listdir(workspace.root / "projects") == ["example_proj"]


def test_a_global_config_that_is_no_text_is_an_error_at_once(workspace, old, imported):
    old.add_project()
    old.write({"auto_runner.config": b"\0"})

    imported(1).assert_code(1, "auto_runner.config is no text that sh could read")

    assert not (workspace.root / "projects").exists()


def test_settings_that_are_there_already_stay(workspace, old, imported):
    workspace.write({"nasexp.yaml": "timeout: 1h # mine\n"})
    old.add_project()

    called = imported()

    assert config_of(workspace).startswith("timeout: 1h # mine\n\n# Came over")
    assert config_of(workspace).count("timeout:") == 1
    assert (
        "left as it is in nasexp.yaml:\n  timeout: 2h (auto_runner.config:5): nasexp.yaml says 1h\n"
        in called.output
    )


def test_settings_that_are_there_as_they_were_are_told(workspace, old, imported):
    workspace.write({"nasexp.yaml": "timeout: 2h\nbackup: {every: 30m}\n"})
    old.add_project()

    for words in (["--dry-run"], []):
        told = imported(0, *words).output.partition("stands in nasexp.yaml already:\n")[2]
        assert told.startswith(
            "  timeout: 2h (auto_runner.config:5)\n  backup: {every: 30m} (auto_runner.config:7)\n"
        )
    assert config_of(workspace).count("30m") == 1


def test_a_config_that_cannot_be_appended_to_gets_its_lines_told(workspace, old, imported):
    workspace.write({"nasexp.yaml": "{seed: 1}\n"})
    old.add_project()

    for words in ([], ["--dry-run"]):
        shutil.rmtree(workspace.root / "projects", ignore_errors=True)
        called = imported(4, *words)
        assert config_of(workspace) == "{seed: 1}\n"
        assert "add these lines yourself:\n  project: example_proj # auto" in called.output


def test_a_broken_config_is_an_error_before_anything_is_made(workspace, old, imported):
    workspace.write({"nasexp.yaml": "a: b: c\n"})
    old.add_project()

    imported(2).assert_code(2, "nasexp.yaml:1:5: a second `: ` in one line")

    assert not (workspace.root / "projects").exists()


def test_folders_that_are_none_of_the_old_scripts(workspace, old, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    old.add_project()
    for folder, text in [
        (tmp_path / "gone", f"{tmp_path}/gone is missing"),
        (tmp_path / "file", f"{tmp_path}/file is no folder"),
        (
            tmp_path / "usr",
            "it has no auto_runner.config, no auto_runner.sh and no NAME/NAME.config",
        ),
        (old.root / "example_proj", f"but one project\nhint:  name {old.root}"),
    ]:
        workspace.nasexp("import-bash", str(folder)).assert_code(2, text)
    workspace.nasexp("import-bash").assert_code(2, "DIR")
    assert os.listdir(workspace.root) == ["nasexp.yaml"]


def test_a_workspace_in_the_old_folder(workspace, old, tmp_path):
    old.add_project()
    for inner in (old.root, old.root / "inner"):
        old.write({f"{inner}/nasexp.yaml": ""})
        before = old.digest()
        workspace.root = inner
        called = workspace.nasexp("import-bash", str(old.root))
        called.assert_code(2, "lies in that folder, and nothing there is changed", "nasexp init")
        assert old.digest() == before


def test_a_workspace_that_is_half_in_the_old_folder(workspace, old, tmp_path):
    old.add_project()
    old.write({"inner/nasexp.yaml": ""})
    (tmp_path / "elsewhere").mkdir()
    (old.root / "inner/projects").symlink_to(tmp_path / "elsewhere")
    (workspace.root / "projects").symlink_to(old.root / "scripts")

    for root in (old.root / "inner", workspace.root):
        workspace.root = root
        workspace.nasexp("import-bash", str(old.root)).assert_code(2, "lies in that folder")


def test_the_old_folder_in_the_workspace(workspace, old, imported):
    old.add_project()
    inside = workspace.root / "old"
    shutil.copytree(old.root, inside)
    before = digest(inside)
    workspace.nasexp("import-bash", str(inside)).assert_ok()
    assert digest(inside) == before
    assert (workspace.root / "projects/example_proj").is_dir()
    shutil.move(inside, workspace.root / "projects/old")

    for name in ("old", "."):
        called = workspace.nasexp("import-bash", str(workspace.root / "projects" / name))
        called.assert_code(2)
        assert not (workspace.root / "projects/old/projects").exists()


# --- when it fails ---


def test_a_file_that_cannot_be_read_leaves_nothing_half_made(workspace, old, imported, monkeypatch):
    old.add_project("first")
    old.add_project("last")
    refuse_to_copy(monkeypatch, "first/results/run_1/log.log", errno.EACCES)

    called = imported(4)

    assert "not taken:\n  first: first/results/run_1/log.log: Permission denied\n" in called.output
    assert os.listdir(workspace.root / "projects") == ["last"]


def refuse_to_copy(monkeypatch, name, number):
    copy = shutil.copy2

    def refusing(source, target, **options):
        if str(source).endswith(name):
            raise OSError(number, os.strerror(number), source)
        return copy(source, target, **options)

    monkeypatch.setattr(shutil, "copy2", refusing)


def without_root():
    """Root may do everything, so it has to go without that right."""
    dropped = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    return dropped if os.geteuid() == 0 else []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bin/secret", "first/bin/secret: Permission denied"),
        ("results/run_1/output", "first/results/run_1/output cannot be read: Permission denied"),
        ("results", "first/results cannot be read: Permission denied"),
        ("", "first/first.config cannot be read: Permission denied"),
        ("first.config", "first/first.config cannot be read: Permission denied"),
    ],
)
def test_what_others_own_keeps_its_project_out(workspace, old, name, told):
    folder = old.add_project("first")
    old.add_project("last")
    old.write({"first/bin/secret": "x"})
    (folder / name).chmod(0)
    words = [sys.executable, "-m", "nasexp", "--workspace", str(workspace.root), "import-bash"]
    words = [*without_root(), *words, str(old.root)]

    done = subprocess.run(words, capture_output=True, text=True)
    (folder / name).chmod(0o700)

    assert (done.returncode, done.stderr) == (4, "")
    assert f"\n  first: {told}\n" in done.stdout
    assert os.listdir(workspace.root / "projects") == ["last"]


def test_a_target_that_did_not_fit_is_not_set(workspace, old, imported, monkeypatch):
    old.add_project()
    refuse_to_copy(monkeypatch, "run_1/log.log", errno.ENOSPC)

    called = imported(4)

    called.assert_code(4, "No space left on device; make room on the disk, then import again")
    assert "project:" not in config_of(workspace)
    assert "timeout: 2h" in config_of(workspace)


def test_a_real_refusal_of_the_system_leaves_nothing_half_made(workspace, old):
    old.add_project()
    old.write({"example_proj/results/run_1/output/large": b"x" * 100_000})
    (old.root / "example_proj/results/run_1/output").chmod(0o555)
    limit = (50_000, 50_000)
    done = subprocess.run(
        [sys.executable, "-m", "nasexp", "--workspace", str(workspace.root), "import-bash",
         str(old.root)],
        capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (4, "")
    assert "example_proj/results/run_1/output/large: File too large" in done.stdout
    assert os.listdir(workspace.root / "projects") == []


def test_an_interrupted_import_leaves_nothing_half_made(workspace, old, imported, monkeypatch):
    old.add_project()

    def interrupted(*_words, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copystat", interrupted)

    imported(130)

    assert os.listdir(workspace.root / "projects") == []
    assert config_of(workspace) == ""


def test_too_little_room_is_told_before_anything_is_made(workspace, old, imported, monkeypatch):
    old.add_project()
    Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as shutil's own
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, copying.RESERVE_BYTES))

    for words in ([], ["--dry-run"]):
        called = imported(1, *words)
        called.assert_code(1, "are to be copied, 1.05MB are free", "make room there")
    assert os.listdir(workspace.root) == ["nasexp.yaml"]


def test_a_project_that_appears_meanwhile_stays(workspace, old, imported, monkeypatch):
    old.add_project()
    place = workspace.root / "projects/example_proj"
    monkeypatch.setattr(os, "sync", place.mkdir)

    imported(4).assert_code(4, "File exists")

    assert os.listdir(place) == []


def test_folders_that_nobody_may_write_to_are_cleared_away_too(workspace, old):
    folder = old.add_project()
    (folder / "bin").chmod(0o555)
    place = workspace.root / "projects/example_proj"
    words = ["--workspace", str(workspace.root), "import-bash", str(old.root)]
    program = (
        "import os, sys; from nasexp.cli.argparse_front import main;"
        f"os.sync = lambda: os.mkdir({str(place)!r}); sys.exit(main({words!r}))"
    )

    done = subprocess.run(
        [*without_root(), sys.executable, "-c", program], capture_output=True, text=True
    )
    (folder / "bin").chmod(0o755)

    assert (done.returncode, done.stderr) == (4, "")
    assert "File exists" in done.stdout
    assert os.listdir(place.parent) == ["example_proj"]


def test_all_is_on_the_disk_before_it_gets_its_name(workspace, old, imported, monkeypatch):
    old.add_project()
    seen = []
    names = workspace.root / "projects"
    monkeypatch.setattr(os, "sync", lambda: seen.extend(names.rglob("log.log")))

    imported()

    assert len(seen) == 2
    assert all(path.relative_to(names).parts[0].startswith(".import-") for path in seen)


def test_what_a_killed_import_left_is_told_and_not_a_project(workspace, old):
    old.add_project()
    (workspace.root / "projects/.import-abc/example_proj").mkdir(parents=True)

    called = workspace.nasexp("import-bash", str(old.root))

    called.assert_code(0, "projects/.import-abc is left of an import that was cut off")
    assert [r["project"] for r in workspace.nasexp("runs", "--json").json()] == ["example_proj"] * 2


def test_a_nasexp_yaml_that_cannot_be_written(workspace, old, imported, monkeypatch):
    from nasexp.importing import yamltext

    def refused(*_words):
        raise OSError(errno.EACCES, "Permission denied")

    old.add_project()
    monkeypatch.setattr(yamltext, "whole_file", refused)

    called = imported(4)

    assert (
        "nasexp.yaml cannot be written: Permission denied; add these lines yourself:\n"
        in called.output
    )
    assert "  timeout: 2h # auto_runner.config:5, timeout\n" in called.output
    assert config_of(workspace) == ""


@pytest.mark.usefixtures("programs_found")
def test_invoke_takes_it_too(workspace, old):
    workspace.write(
        {"tasks.py": "from nasexp.cli.invoke_front import collection\n\nns = collection()\n"}
    )
    old.add_project()
    words = [sys.executable, "-m", "invoke", "import-bash", str(old.root)]

    done = subprocess.run(words, cwd=workspace.root, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\nnext: invoke run --project example_proj --dry-run\n")
    assert (workspace.root / "projects/example_proj/bin/run.sh").is_file()
