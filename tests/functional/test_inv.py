"""The wrapper ./inv, really run; only pip is a small program of ours, as the real one takes long.

What the real pip does with it is tests/heavy/test_fresh_clone.py.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

INV = Path(__file__).parents[2] / "inv"
PYTHON = os.path.realpath(sys._base_executable)
SHELLS = [["dash"], ["bash"], ["busybox", "sh"]]

PYTHON_PROGRAM = """#!/bin/sh
case "$*" in
"-I -m venv "*)
  "{python}" -I -m venv --without-pip "$4" && cp -r "{pip}" "$4"/lib/python*/site-packages/ ;;
*) exec "{python}" "$@" ;;
esac
"""

PIP_PROGRAM = """
import os, pathlib, sys, sysconfig, time
calls = open("pip-calls", "a", buffering=1)
print("start", *sys.argv[1:], file=calls)
if os.path.exists("pip-is-slow"):
    time.sleep(float(open("pip-is-slow").read()))
if os.path.exists("pip-fails"):
    sys.exit("no route to the package index")
site = pathlib.Path(sysconfig.get_path("purelib"))
for name in ("invoke", "nasexp"):
    (site / name).mkdir(exist_ok=True)
    (site / name / "__init__.py").touch()
(site / "invoke" / "__main__.py").write_text('''
import json, os, sys
json.dump({
    "arguments": sys.argv[1:], "folder": os.getcwd(), "prefix": sys.prefix,
    "workspace": os.environ.get("NASEXP_WORKSPACE"), "called": os.environ["NASEXP_INV"],
}, sys.stdout)
''')
print("end", file=calls)
"""


class Copy:
    """A folder with `inv` in it, and how to call it."""

    def __init__(self, folder, programs):
        self.folder = folder
        self.programs = programs
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("NASEXP_")
        }
        self.environment["PATH"] = f"{programs}:{os.environ['PATH']}"

    def start(self, *arguments, prefix=(), cwd=None, program=None, **environment):
        return subprocess.Popen(
            [*prefix, program or self.folder / "inv", *arguments],
            cwd=cwd or self.folder,
            env=self.environment | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def fails(self, *arguments, **how):
        """Call it, see it fail; return its exit code and what it said."""
        process = self.start(*arguments, **how)
        _, said = process.communicate(timeout=60)
        assert process.returncode != 0
        return process.returncode, said

    def __call__(self, *arguments, **how):
        """Call it, see it succeed; return what its Invoke saw."""
        return self.result(self.start(*arguments, **how))

    def result(self, process):
        output, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        return json.loads(output) | {"said": said}

    def installs(self):
        calls = self.folder / "pip-calls"
        return calls.read_text().count("start") if calls.exists() else 0

    def wait_for_pip(self, *, calls=1):
        deadline = time.monotonic() + 20
        while self.installs() < calls:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def environments(self):
        return sorted(
            path for path in self.folder.glob(".venv*") if (path / "nasexp-stamp").exists()
        )

    def left_over(self):
        return [*self.folder.glob(".venv*lock*"), *self.folder.glob(".venv*/nasexp-unfinished")]


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def inv(tmp_path):
    """Return a copy of inv in a folder with an odd name."""
    folder = tmp_path / "my wörk*"
    folder.mkdir()
    shutil.copy(INV, folder)
    (folder / "pyproject.toml").write_text("[project]\n")
    programs = tmp_path / "programs"
    (programs / "pip").mkdir(parents=True)
    (programs / "pip" / "__main__.py").write_text(PIP_PROGRAM)
    program(programs / "python3", PYTHON_PROGRAM.format(python=PYTHON, pip=programs / "pip"))
    program(programs / "sync", "#!/bin/sh\n")  # the disk of a test machine has better things to do
    return Copy(folder, programs)


# --- every call


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_first_use_installs_and_later_ones_do_not(inv, shell):
    if not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} missing")

    first = inv("run", "--project", "a b", prefix=shell)
    second = inv("--list", prefix=shell)

    assert first["arguments"][-3:] == ["run", "--project", "a b"]
    assert first["said"].count("\n") == 1
    assert "first use" in first["said"]
    assert second["said"] == ""
    assert second["prefix"] == str(inv.folder / ".venv")
    assert inv.installs() == 1
    assert inv.left_over() == []


def test_later_use_starts_one_python_and_one_other_program(inv):
    if not shutil.which("strace"):
        pytest.skip("strace missing")
    inv()
    trace = inv.folder.parent / "trace"
    inv(prefix=["strace", "-f", "-o", str(trace), "-e", "trace=execve", "-e", "signal=none"])

    started = [line.split('"')[1] for line in trace.read_text().splitlines() if "= 0" in line]
    assert [Path(name).name for name in started] == ["inv", "cksum", "python"]


def test_works_from_any_folder_and_by_a_chain_of_links(inv, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "second").symlink_to(inv.folder / "inv")
    (elsewhere / "first").symlink_to("second")
    (tmp_path / "folder link").symlink_to(inv.folder)

    for name in ("first", "./first", tmp_path / "folder link" / "inv"):
        seen = inv("runs", prefix=["sh"], program=name, cwd=elsewhere)

        assert seen["folder"] == str(elsewhere)
        assert seen["arguments"][-3:] == ["--search-root", str(inv.folder), "runs"]


def test_names_its_workspace_only_where_it_would_not_be_found(inv, tmp_path):
    inside = inv.folder / "projects"
    inside.mkdir()

    assert inv(cwd=tmp_path)["workspace"] == str(inv.folder)
    assert inv(cwd=inside)["workspace"] is None
    assert inv(cwd=tmp_path, NASEXP_WORKSPACE="/other")["workspace"] == "/other"


def test_another_workspace_that_one_stands_in_is_the_one_meant(inv, tmp_path):
    other = tmp_path / "other" / "projects" / "p"
    other.mkdir(parents=True)
    (inv.folder / "nasexp.yaml").touch()

    assert inv(cwd=other)["workspace"] == str(inv.folder)
    (tmp_path / "other" / "nasexp.yaml").touch()
    assert inv(cwd=other)["workspace"] is None
    assert inv(cwd=tmp_path / "other")["workspace"] is None
    assert inv(cwd=tmp_path)["workspace"] == inv(cwd="/")["workspace"] == str(inv.folder)
    (tmp_path / "linked").symlink_to(other)
    assert inv(cwd=tmp_path / "linked")["workspace"] is None


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_says_by_which_path_it_can_be_called(inv, tmp_path, shell):
    if not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} missing")
    (tmp_path / "link").symlink_to(inv.folder / "inv")

    for program in ("./inv", tmp_path / "link"):
        assert inv(prefix=shell, program=program)["called"] == str(inv.folder / "inv")


def test_files_of_the_current_folder_are_not_taken_for_modules(inv, tmp_path):
    for name in ("venv", "pip", "invoke", "json", "compileall"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')")

    assert inv(cwd=tmp_path)["folder"] == str(tmp_path)


def test_environment_can_be_elsewhere(inv, tmp_path):
    inv(NASEXP_VENV=str(tmp_path / "disk" / "environment"))
    seen = inv(cwd=tmp_path, NASEXP_VENV="disk/environment")

    assert seen["prefix"] == str(tmp_path / "disk" / "environment")
    assert inv.environments() == []
    assert inv.installs() == 1


# --- when an environment is made again, and where


def test_a_changed_pyproject_is_installed_into_the_same_environment(inv):
    inv()
    (inv.folder / ".venv" / "mine").touch()
    (inv.folder / "pyproject.toml").write_text("[project]\nname = 'other'\n")

    assert "pyproject.toml changed" in inv()["said"]
    assert inv.installs() == 2
    assert (inv.folder / ".venv" / "mine").exists()
    assert inv()["said"] == ""


def test_a_failed_update_leaves_the_earlier_install(inv):
    inv()
    (inv.folder / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    (inv.folder / "pip-fails").touch()

    assert inv.fails()[0] == 1
    (inv.folder / "pip-fails").unlink()
    assert "pyproject.toml changed" in inv()["said"]
    assert inv.left_over() == []


@pytest.mark.parametrize("lost", ["bin/python", "lib", "nasexp-stamp"])
def test_a_broken_environment_is_made_anew(inv, lost):
    inv()
    path = inv.folder / ".venv" / lost
    if lost == "nasexp-stamp":  # as after a kill between the two
        path.rename(path.with_name("nasexp-unfinished"))
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
        path.symlink_to("/usr/bin/python3.0")

    assert "first use" in inv()["said"]
    assert inv.environments() == [inv.folder / ".venv"]
    assert inv.left_over() == []


def test_an_environment_whose_python_was_upgraded_away_is_made_anew(inv):
    inv()
    change_stamp(inv, 3, "/usr/bin/python3.0")

    assert "first use" in inv()["said"]
    assert inv()["said"] == ""


def change_stamp(inv, number, line):
    stamp = inv.folder / ".venv" / "nasexp-stamp"
    lines = stamp.read_text().splitlines()
    lines[number] = line
    stamp.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "owner", ["0123456789abcdef {arch} {place}", "{machine} vax {place}", "{machine} {arch} /old"]
)
def test_another_machine_architecture_or_place_gets_its_own_environment(inv, owner):
    inv()
    stamp = inv.folder / ".venv" / "nasexp-stamp"
    machine, arch, place = stamp.read_text().splitlines()[0].split(" ", 2)
    change_stamp(inv, 0, owner.format(machine=machine, arch=arch, place=place))
    theirs = stamp.read_text()

    first, second = inv(), inv()

    assert "belongs to another machine" in first["said"]
    assert second["said"] == ""
    assert second["prefix"] != str(inv.folder / ".venv")
    assert second["prefix"].startswith(str(inv.folder / ".venv-"))
    assert stamp.read_text() == theirs


def test_an_environment_that_someone_made_by_hand_is_left_alone(inv):
    (inv.folder / ".venv").mkdir()
    (inv.folder / ".venv" / "mine").touch()

    assert inv()["prefix"].startswith(str(inv.folder / ".venv-"))
    assert [path.name for path in (inv.folder / ".venv").iterdir()] == ["mine"]


def test_a_named_environment_that_is_not_ours_is_refused(inv, tmp_path):
    (tmp_path / "mine").touch()

    code, said = inv.fails(NASEXP_VENV=str(tmp_path))

    assert code == 1
    assert "remove it" in said
    assert (tmp_path / "mine").exists()


# --- several at once, and kills


def test_two_at_once_install_once(inv):
    (inv.folder / "pip-is-slow").write_text("1")
    first = inv.start("one")
    inv.wait_for_pip()
    second = inv.result(inv.start("two"))

    assert "waiting" in second["said"]
    assert inv.result(first)["arguments"][-1] == "one"
    assert second["arguments"][-1] == "two"
    assert inv.installs() == 1
    assert inv.left_over() == []


@pytest.mark.parametrize("whole_group", [True, False])
def test_a_kill_in_the_first_set_up_is_repaired_by_the_next_call(inv, whole_group):
    (inv.folder / "pip-is-slow").write_text("1.5")
    killed = inv.start()
    inv.wait_for_pip()
    (inv.folder / "pip-is-slow").unlink()
    (os.killpg if whole_group else os.kill)(killed.pid, signal.SIGKILL)
    killed.wait()

    assert inv.left_over() != []
    assert "first use" in inv()["said"]
    assert inv.left_over() == []
    calls = (inv.folder / "pip-calls").read_text().split("\n")
    words = [line.split(" ")[0] for line in calls if line]
    # a pip that outlives its inv is waited for: two in one folder would spoil it
    assert words == (["start", "start", "end"] if whole_group else ["start", "end", "start", "end"])
    killed.communicate()


def test_all_who_find_a_dead_lock_take_turns(inv):
    (inv.folder / "pip-is-slow").write_text("3")
    killed = inv.start()
    inv.wait_for_pip()
    (inv.folder / "pip-is-slow").write_text("0.2")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    (inv.folder / "pip-calls").unlink()

    for process in [inv.start() for _ in range(6)]:
        inv.result(process)

    assert inv.installs() == 1
    assert inv.left_over() == []


@pytest.mark.parametrize("holder", ["", "{machine} an-earlier-boot pid:[1] 1 1\n"])
def test_a_lock_without_a_living_holder_is_broken(inv, holder):
    inv()
    machine = (inv.folder / ".venv" / "nasexp-stamp").read_text().split()[0]
    (inv.folder / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    lock = inv.folder / ".venv.lock"
    lock.mkdir()
    if holder:
        (lock / "holder").write_text(holder.format(machine=machine))

    assert inv()["prefix"] == str(inv.folder / ".venv")
    assert inv.left_over() == []


def test_a_lock_that_another_machine_holds_is_not_waited_for(inv):
    lock = inv.folder / ".venv.lock"
    lock.mkdir()
    (lock / "holder").write_text("0123456789abcdef boot pid:[1] 1 1\n")

    assert inv()["prefix"].startswith(str(inv.folder / ".venv-"))
    assert lock.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_set_up_ends_at_once_and_leaves_no_lock(inv, number, code):
    (inv.folder / "pip-is-slow").write_text("20")
    process = inv.start()
    inv.wait_for_pip()
    began = time.monotonic()
    process.send_signal(number)
    process.communicate()

    assert process.returncode == code
    assert time.monotonic() - began < 5
    assert not (inv.folder / ".venv.lock").exists()


# --- what it says when it cannot


def test_a_failing_pip_is_shown_and_tried_again(inv):
    (inv.folder / "pip-fails").touch()

    code, said = inv.fails()

    assert code == 1
    assert "no route to the package index" in said
    log = inv.folder / ".venv" / "nasexp-setup.log"
    assert str(log) in said
    assert "no route to the package index" in log.read_text()
    (inv.folder / "pip-fails").unlink()
    assert "first use" in inv()["said"]


def test_no_python_at_all_is_said_in_one_line(inv, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cksum", "ls", "mkdir", "chmod", "rm", "readlink", "cat"):
        (tools / name).symlink_to(shutil.which(name))

    code, said = inv.fails(PATH=str(tools))

    assert code == 2
    assert said.count("\n") == 1
    assert "no Python 3.11 or newer" in said
    assert not (inv.folder / ".venv").exists()


def test_a_named_python_is_used_or_refused(inv, tmp_path):
    program(tmp_path / "old", "#!/bin/sh\nexit 1\n")
    shutil.copy(inv.programs / "python3", tmp_path / "good")
    program(inv.programs / "python3", "#!/bin/sh\nexit 1\n")

    code, said = inv.fails(NASEXP_PYTHON=str(tmp_path / "old"))

    assert code == 2
    assert f"NASEXP_PYTHON={tmp_path / 'old'}" in said
    assert inv(NASEXP_PYTHON=str(tmp_path / "good"))["prefix"] == str(inv.folder / ".venv")


def test_a_python_without_venv_is_passed_over_and_named_if_there_is_no_other(inv):
    whole = (inv.programs / "python3").read_text()
    bare = whole.replace(
        'case "$*" in', 'case "$*" in\n*"import ensurepip"*) echo /opt/python; exit 1 ;;'
    )
    for name in ("python3", "python3.14", "python3.13", "python3.12"):
        program(inv.programs / name, bare)
    program(inv.programs / "python3.11", bare)

    code, said = inv.fails()
    program(inv.programs / "python3.11", whole)

    assert code == 2
    assert "ensurepip" in said
    assert inv()["prefix"] == str(inv.folder / ".venv")


# --- what takes mounts of its own


@pytest.fixture
def mounted(inv):
    """Return how to call inv after some commands in a mount namespace of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs mount namespaces")

    def prefix(commands):
        script = f'set -e; cd "$(dirname "$1")"; {commands}\nexec "$@"'
        return ["unshare", "-m", "sh", "-c", script, "sh"]

    return prefix


@pytest.mark.lab
def test_a_second_machine_on_the_share_has_its_own_environment(inv, mounted):
    inv()
    (inv.folder / "id").write_text("0123456789abcdef0123456789abcdef\n")
    other = mounted("mount --bind id /etc/machine-id")

    first, second, here = inv(prefix=other), inv(prefix=other), inv()

    assert first["prefix"] == second["prefix"] != here["prefix"] == str(inv.folder / ".venv")
    assert second["said"] == here["said"] == ""
    assert inv.installs() == 2


@pytest.mark.lab
def test_a_machine_without_an_id_goes_by_its_name(inv, mounted):
    nameless = mounted("mount --bind /dev/null /etc/machine-id")

    inv(prefix=nameless)

    stamp = (inv.folder / ".venv" / "nasexp-stamp").read_text()
    assert stamp.startswith(os.uname().nodename + " ")


@pytest.mark.lab
def test_a_read_only_folder_is_said_but_what_is_there_is_used(inv, mounted):
    read_only = mounted("mount --bind . .; mount -o remount,bind,ro .")

    code, said = inv.fails(prefix=read_only)
    inv()

    assert code == 1
    assert f"cannot write in {inv.folder}" in said
    assert "NASEXP_VENV=" in said
    assert inv(prefix=read_only)["prefix"] == str(inv.folder / ".venv")


@pytest.mark.lab
def test_a_noexec_disk_is_said_before_anything_is_made(inv, mounted, tmp_path):
    noexec = mounted("mount --bind . .; mount -o remount,bind,noexec .")

    code, said = inv.fails(prefix=[*noexec, "sh"], cwd=inv.folder, program=inv.folder / "inv")

    assert code == 1
    assert "noexec" in said
    assert not (inv.folder / ".venv").exists()


@pytest.mark.parametrize("root", [True, False])
def test_debian_without_its_venv_package(inv, mounted, root):
    system = os.path.realpath("/usr/bin/python3")
    name = Path(system).name
    library = f"/usr/lib/{name}/ensurepip"
    if not Path("/etc/debian_version").exists() or not Path(library).exists():
        pytest.skip("needs Debian with python3-venv")
    if name in {"python3.9", "python3.10"}:
        pytest.skip("needs a system Python 3.11 or newer")
    text = (inv.programs / "python3").read_text().replace(PYTHON, system)
    program(inv.programs / "python3", text)
    for other in ("python3.14", "python3.13", "python3.12", "python3.11"):
        program(inv.programs / other, "#!/bin/sh\nexit 1\n")
    program(
        inv.programs / "apt-get",
        f'#!/bin/sh\necho "$*" >>"{inv.folder}/apt-calls"\n[ "$1" = update ] || umount {library}\n',
    )
    if not root:
        program(inv.programs / "id", "#!/bin/sh\necho 1000\n")
    without = mounted(f"mount -t tmpfs none {library}")

    if root:
        assert f"Debian package {name}-venv" in inv(prefix=without)["said"]
        calls = (inv.folder / "apt-calls").read_text()
        assert calls == f"update\ninstall -y {name}-venv\n"
    else:
        code, said = inv.fails(prefix=without)
        assert code == 2
        assert said.endswith(f"sudo apt-get install {name}-venv\n")
