"""`nasexp check` on hosts that lack something which a machine of one's own cannot."""

from __future__ import annotations

import pytest
from remote import Site

NOEXEC = "mkdir /home/lab/x && mount -t tmpfs -o noexec,mode=777 tmpfs /home/lab/x"
KILLS = "mkdir -p /etc/systemd && echo KillUserProcesses=yes >/etc/systemd/logind.conf"


def check(lab, name, **settings):
    """Return exit code and words of `check`; it must have made nothing on the host."""
    before = sorted(path.name for path in lab.home("gpu").iterdir())
    done = Site(lab, "auto", name=name, **settings).call(
        "check", "--host", "gpu", "--project", name
    )
    assert sorted([*before, "side"]) == sorted(path.name for path in lab.home("gpu").iterdir())
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def as_root(lab):
    def run(program):
        done = lab.run("gpu", ["sh", "-c", program], user="root")
        assert done.returncode == 0, done.stderr

    return run


def test_a_disk_that_lets_no_program_run_is_a_fault(lab, as_root):
    as_root(NOEXEC)
    code, told = check(lab, "p", host_keys="workdir: ~/x/runs")

    assert code == 7
    assert "programs cannot run on /home/lab/x (noexec)" in told


def test_a_host_that_ends_jobs_at_logout_is_told(lab, as_root):
    as_root(KILLS)
    code, told = check(lab, "p")

    assert code == 0
    assert "jobs end at logout (KillUserProcesses=yes)" in told
    assert "sudo loginctl enable-linger lab" in told


def test_who_may_not_switch_a_host_off_is_told(lab):
    assert "this account may not cancel a power-off" in check(lab, "p")[1]
    lab.sudo("gpu", "NOPASSWD: /sbin/shutdown")
    assert (
        "may cancel a power-off there (sudo)"
        in lab.nasexp("nas", "--workspace", "w-p", "check").stdout
    )


def test_a_venv_that_nobody_can_make_is_a_fault(lab):
    lab.hide("gpu", "python3")
    code, told = check(lab, "p", settings="environment: {venv: requirements.txt}")

    assert code == 7
    assert "no python3 with venv and pip there" in told
