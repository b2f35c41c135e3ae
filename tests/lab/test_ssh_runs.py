"""Whole runs over SSH, from host `nas` to host `gpu`, on hosts of every kind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from checker import check_host_is_clean, check_run
from hosts import UID
from remote import Site

ODD_NAMES = [
    b"a b",
    b"new\nline",
    b"-rf",
    b"--help",
    b"back\\slash",
    "Größe-模型".encode(),
    b"\xff\xfe",
    b"x" * 255,
    b".hidden",
    b"$(id)",
]
# The late one comes in the middle of an answer: stderr has a way of its own.
NOISE = "echo noise; echo more noise >&2; (sleep 0.1; echo late noise >&2) & printf 'no line end'\n"


def test_a_run_keeps_every_promise(lab, via):
    driver = Site(lab, via).run()

    check_run(driver)
    check_host_is_clean(driver)
    assert f"by {via}" in driver.said


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish", "tcsh", "busybox"])
def test_any_login_shell_will_do(shared_lab, via, shell):
    shared_lab.login_shell("gpu", shell)
    driver = Site(shared_lab, via, name=f"{shell}-{via}").run()

    check_run(driver)


def test_noise_of_start_up_files_does_not_matter(lab, via):
    lab.write("gpu", dict.fromkeys((".bashrc", ".profile", ".zshenv"), NOISE))
    assert "noise" in lab.ssh("gpu", "true").stdout
    driver = Site(lab, via).run()

    check_run(driver)
    assert "noise" not in driver.said


def test_a_start_up_file_that_leaves_is_named(lab, via):
    lab.write("gpu", {".bashrc": "exit 0\n"})
    driver = Site(lab, via).run()

    assert driver.wait() == 1, str(driver)
    assert "the account on host 'gpu' logs in but gets no shell" in driver.said
    assert "exit` in ~/.bashrc" in driver.said
    assert driver.record.status == "failed"


@pytest.mark.parametrize(
    "line", ["ForceCommand echo go away", "ForceCommand internal-sftp", "ForceCommand nologin"]
)
def test_an_account_without_a_shell_is_told_at_once(shared_lab, via, line):
    name = f"{line.split()[1]}-{line.split()[-1]}-{via}"
    shared_lab.configure_sshd("gpu", line.replace("nologin", "/usr/sbin/nologin"))
    driver = Site(shared_lab, via, name=name).start()

    assert driver.wait(50) == 1
    shared_lab.configure_sshd("gpu")
    assert "logs in but gets no shell" in driver.said
    assert "look for" in driver.said
    assert not driver.events("training.started")


def test_one_session_at_a_time_is_enough(lab, via):
    lab.configure_sshd("gpu", "MaxSessions 1")

    check_run(Site(lab, via).run())


def test_a_host_that_is_too_busy_to_greet_is_waited_for(lab, via):
    lab.configure_sshd("gpu", "PerSourceMaxStartups 1")
    hold = "import socket; s = socket.create_connection(('gpu', 22)); print(s.recv(9)); input()"
    words = [sys.executable, "-u", "-c", hold]
    holder = lab.start("nas", words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert b"SSH" in holder.stdout.readline()
    driver = Site(lab, via).start()
    driver.until_it_says("hangs up at once")
    holder.kill()

    check_run(driver)


def test_ipv6_alone_is_enough(shared_lab, via):
    driver = Site(shared_lab, via, name=f"six-{via}", address="gpu-v6").run()

    check_run(driver)
    assert "(gpu-v6)" in driver.said


def test_any_name_comes_and_goes_as_it_is(lab, via):
    site = Site(lab, via)
    site.write({"projects/p/bin/extra.sh": "mkdir output/odd; cp odd/* odd/.hidden output/odd/\n"})
    folder = os.fsencode(site.root / "projects/p/bin/odd")
    os.mkdir(folder)
    for name in ODD_NAMES:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"in " + name)
        os.chmod(os.path.join(folder, name), 0o644)
    driver = site.run()

    check_run(driver)
    output = os.fsencode(driver.paths.output / "odd")
    assert sorted(os.listdir(output)) == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        with open(os.path.join(output, name), "rb") as file:
            assert file.read() == b"in " + name


def test_a_host_without_the_usual_programs_gives_the_same(lab, via):
    lab.hide("gpu", "rsync", "python3", "setsid", "sha256sum", "openssl")
    driver = Site(lab, via).run()

    check_run(driver, code=4)
    assert "the copies were not compared" in driver.said


def test_a_host_with_busybox_alone_gives_the_same(lab, via):
    lab.login_shell("gpu", "busybox")
    program = "mkdir /bb && busybox --install -s /bb && ln -sf busybox /usr/bin/sh && ls /bin/sh -l"
    assert "busybox" in lab.run("gpu", ["sh", "-c", program], user="root").stdout
    lab.configure_sshd("gpu", "SetEnv PATH=/bb")
    assert lab.ssh(
        "gpu", "command -v openssl python3 rsync; readlink /proc/$$/exe"
    ).stdout.endswith("busybox\n")

    check_run(Site(lab, via).run())


def test_two_runs_at_once_never_mix(lab, via):
    site = Site(lab, via)
    for number in range(0, 10, 2):
        site.finish(number)
        site.finish(number + 1)
        drivers = [site.start(number=number), site.start(number=number + 1)]
        for driver in drivers:
            driver.wait()
        assert {driver.record.id for driver in drivers} - {""}
        for driver in drivers:
            check_run(driver)
    check_host_is_clean(drivers[0])


def test_a_file_that_the_account_may_not_read_is_named_and_kept(lab, via):
    site = Site(lab, via, waits=True)
    driver = site.start()
    driver.until_it_trains()
    locked = driver.host_folder() / "work/output/locked"
    locked.write_text("of somebody else")
    os.chown(locked, 0, 0)
    locked.chmod(0o600)
    site.finish()

    assert driver.wait() == 1, str(driver)
    assert "locked" in driver.said
    assert driver.record.status == "failed"
    assert driver.record.exit_code == 0
    assert locked.exists()
    assert (driver.paths.output / "model").read_bytes() == (driver.side / "made/model").read_bytes()
    assert os.stat(locked).st_uid != UID
