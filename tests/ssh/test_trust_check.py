"""The commands `trust` and `check`, asked about a real SSH server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from entries import host_entry
from terminals import Terminal

QUESTION = "Trust it? [y/N]"
OTHER_LINES = "# of mine\n@revoked old ssh-ed25519 AAAA\n[127.0.0.1]:1 ssh-ed25519 QUJD\nno line\n"


@pytest.fixture
def stranger(sshd, workspace):
    """A workspace that knows the server and does not trust it."""
    workspace.write({"nasexp.yaml": host_entry(sshd), "known_hosts": OTHER_LINES})
    return workspace


def known(workspace):
    return (workspace.root / "known_hosts").read_text()


def trust_on_terminal(workspace, *answers):
    """Call `trust gpu` at a terminal; return the exit code and what was shown."""
    words = [sys.executable, "-m", "nasexp", "--workspace", str(workspace.root), "trust", "gpu"]
    with Terminal(lambda **options: subprocess.Popen(words, **options)) as terminal:
        for answer in answers:
            terminal.until_it_shows(QUESTION)
            terminal.type(answer)
        return terminal.wait(), terminal.shown


# --- trust ---


@pytest.mark.parametrize("answer", ["y", "yes", "Y"])
def test_yes_trusts_and_keeps_every_other_line(stranger, sshd, answer):
    code, shown = trust_on_terminal(stranger, answer)

    assert (code, sshd.fingerprint in shown) == (0, True)
    assert known(stranger) == OTHER_LINES + sshd.host_key_line + "\n"
    assert "trusted already" in trust_on_terminal(stranger)[1]
    stranger.nasexp("check", "--host", "gpu").assert_ok()


@pytest.mark.parametrize("answer", ["n", "", "yess", "SHA256:"])
def test_anything_else_trusts_nothing(stranger, sshd, answer):
    code, shown = trust_on_terminal(stranger, answer)

    assert code == 7
    assert "nothing was changed" in shown
    assert known(stranger) == OTHER_LINES
    assert sshd.logins() == 0


def test_the_right_fingerprint_trusts_without_a_question(stranger, sshd):
    stranger.nasexp("trust", "gpu", "--fingerprint", sshd.fingerprint).assert_ok()

    assert known(stranger) == OTHER_LINES + sshd.host_key_line + "\n"


def test_a_wrong_fingerprint_trusts_nothing(stranger, sshd):
    called = stranger.nasexp("trust", "gpu", "--fingerprint", "SHA256:" + "A" * 43)

    called.assert_code(1, "shows no key with SHA256:AAAA", "nothing is trusted")
    assert known(stranger) == OTHER_LINES


def test_without_a_terminal_nothing_is_asked_and_nothing_trusted(stranger, monkeypatch):
    with open(os.devnull) as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        stranger.nasexp("trust", "gpu").assert_code(2, "nobody is here", "--fingerprint")

    assert known(stranger) == OTHER_LINES


def test_a_changed_key_is_told_as_such_and_takes_the_place_of_the_old(stranger, sshd):
    stranger.write({"known_hosts": OTHER_LINES + sshd.host_key_line + "\n"})
    before = sshd.fingerprint
    sshd.rekey()
    stranger.nasexp("check", "--host", "gpu").assert_code(7, "shows another key")
    code, shown = trust_on_terminal(stranger, "y")

    assert code == 0
    assert "CHANGED: until now it was trusted with" in shown
    assert {before, sshd.fingerprint} <= set(re.findall(r"SHA256:\S+", shown))
    assert known(stranger) == OTHER_LINES + sshd.host_key_line + "\n"


def test_an_ipv6_host_is_named_as_ssh_names_it(make_sshd, workspace):
    sshd = make_sshd(host="::1")
    address = f"'{sshd.user}@[::1]'"
    workspace.write({"nasexp.yaml": host_entry(sshd, address=address)})
    workspace.nasexp("trust", "gpu", "--fingerprint", sshd.fingerprint).assert_ok()

    assert known(workspace) == f"[::1]:{sshd.port} {sshd.host_key_line.split(' ', 1)[1]}\n"
    workspace.nasexp("check", "--host", "gpu").assert_ok()


def test_this_machine_has_no_key_to_trust(workspace):
    workspace.nasexp("trust", "local").assert_code(2, "there is no key to trust")
    workspace.nasexp("trust", "gpuu").assert_code(2, "there is no host 'gpuu'")


# --- check ---


def findings(called):
    return [(each["check"], each["state"]) for each in called.json()["checks"]]


def picture(folder):
    """Return all below a folder: names, sizes and times."""
    return sorted(
        (str(path.relative_to(folder)), path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    )


def test_a_good_host_is_ready_and_nothing_is_made_there(gpu, sshd, via):
    gpu.add_project("p", "./run.sh", files={"run.sh": "#!/bin/sh\n"})
    before, here = picture(sshd.home), picture(gpu.root)
    called = gpu.nasexp("check", "--project", "p").assert_ok()

    for text in (
        "trusted here: ssh-ed25519",
        f"logged in by {via} (`via: {via}`)",
        "gpu: ready",
        "/s, the code",
    ):
        assert text in called.output
    assert picture(sshd.home) == before == []
    assert picture(gpu.root) == here


def test_the_json_of_a_check_has_its_shape(gpu, via):
    found = gpu.nasexp("check", "--json").assert_ok().json()

    assert found["host"] == "gpu"
    assert {frozenset(each) for each in found["checks"]} == {
        frozenset(("check", "state", "text", "hint"))
    }
    names = [each["check"] for each in found["checks"]]
    assert names[:4] == ["workspace", "address", "host key", "link"]
    assert {"clock", "workdir", "tools", "gpu", "power", "line"} <= set(names)
    assert {each["state"] for each in found["checks"]} <= {"ok", "warning", "fault"}


def test_this_machine_can_be_checked_too(workspace):
    workspace.add_project("p", "./run.sh", files={"run.sh": "#!/bin/sh\n"})
    before = picture(workspace.home)
    called = workspace.nasexp("check", "--project", "p", "--json").assert_ok()

    assert ("link", "ok") in findings(called)
    assert picture(workspace.home) == before


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"port": 1}, "nothing listens"),
        ({"address": "x@no.such.host.invalid"}, "is not known"),
        ({"workdir": "/etc/passwd/x"}, "/etc/passwd cannot be written"),
    ],
)
def test_each_fault_is_told_with_exit_code_7(sshd, gpu, via, settings, text):
    gpu.write({"nasexp.yaml": host_entry(sshd, via=via, **settings)})
    called = gpu.nasexp("check").assert_code(7, " x ", text, "gpu: faults: ")

    assert "ready" not in called.output


def test_a_host_that_nobody_trusts_is_a_fault(stranger, sshd):
    called = stranger.nasexp("check", "--json").assert_code(7)

    assert ("host key", "fault") in findings(called)
    assert any("nasexp trust gpu" in each["hint"] for each in called.json()["checks"])
    assert sshd.logins() == 0


def test_a_project_that_cannot_run_is_a_fault(gpu, via):
    gpu.add_project("p", "./no-such.sh")

    called = gpu.nasexp("check", "--project", "p", "--json").assert_code(7)
    assert ("project", "fault") in findings(called)
    assert ("link", "ok") in findings(called)


def stub_tools(sshd, *names):
    """Give the account a PATH of these programs alone; a pair is a name and its own text."""
    folder = sshd.home / "tools"
    folder.mkdir()
    for name in names:
        if isinstance(name, str):
            (folder / name).symlink_to(shutil.which(name))
        else:
            (folder / name[0]).write_text(f"#!/bin/sh\n{name[1]}\n")
            (folder / name[0]).chmod(0o755)
    sshd.configure(f"SetEnv PATH={folder} HOME={sshd.home}")


BASIC = ("sh", "cat", "date", "df", "id", "tail", "uname")


def test_a_host_that_lacks_programs_is_told_which(sshd, gpu, via):
    stub_tools(sshd, *BASIC)
    called = gpu.nasexp("check").assert_code(7, "tar is missing there", "setsid is missing there")

    for text in (
        "nothing there makes SHA-256 digests",
        "no GPU was found (there is no nvidia-smi)",
    ):
        assert text in called.output


def test_gpus_clock_and_power_are_told(sshd, gpu, via):
    row = "echo 'NVIDIA RTX 9, 100, 24000, 7, 570.1'"
    clock = f"exec {shutil.which('date')} -d '+2 hours' \"$@\""
    date = ("date", clock)
    stub_tools(sshd, *BASIC[:2], *BASIC[3:], "tar", "setsid", "openssl", date, ("nvidia-smi", row))
    called = gpu.nasexp("check").assert_ok()

    assert "NVIDIA RTX 9 24000 MiB, driver 570.1" in called.output
    assert re.search(r"clock +(1:59|2:00)\S* h ahead of ours", called.output)


def test_a_disk_without_room_for_the_code_is_a_fault(sshd, gpu, via):
    rows = "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'; "
    stub_tools(
        sshd,
        *(name for name in BASIC if name != "df"),
        *("tar", "setsid", "openssl"),
        ("df", rows + "echo '/dev/x y 10 5 1 99% /'"),
    )
    gpu.add_project("p", "./run.sh", files={"run.sh": "#!/bin/sh\n", "data": b"x" * 4000})

    gpu.nasexp("check", "--project", "p").assert_code(7, "1.02kB free, too little")
