"""The lab itself: each fault visibly does what it says, and nothing is ever left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hosts import REPOSITORY, Lab

from nasexp.testing import MissingError

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
LIVELY = ("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2")


def wait_until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.02)


def start_session(lab, program="echo on; exec sleep 60"):
    """Log in to gpu and leave a program running; returns once it runs."""
    words = ["ssh", "-o", "BatchMode=yes", *LIVELY, "gpu", program]
    session = lab.start("nas", words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert session.stdout.readline() == b"on\n"
    return session


def start_beat(lab):
    """Start a job on gpu that goes on by itself; returns a function that counts its beats."""
    job = "while :; do echo >>beat; sleep 0.05; done"
    done = lab.ssh("gpu", f"setsid sh -c '{job}' </dev/null >/dev/null 2>&1 & exit 0")
    assert done.returncode == 0, done.stderr
    beat = lab.home("gpu") / "beat"
    wait_until(beat.exists)
    return lambda: beat.stat().st_size


def answers(lab, host="gpu"):
    return lab.ssh(host, "true").returncode == 0


def is_silent(lab, host="gpu"):
    done = lab.ssh(host, "true", "-o", "ConnectTimeout=1")
    return done.returncode == 255 and ("timed out" in done.stderr or "No route" in done.stderr)


# --- hosts ---


def test_hosts_are_worlds_of_their_own(shared_lab):
    done = shared_lab.ssh("gpu", "hostname; id -un; ls -A; ps -e -o comm=")

    assert done.stdout.split()[:3] == ["gpu", "lab", ".ssh"], done.stderr
    assert set(done.stdout.split()[3:]) <= {"bash", "ps", "sshd", "sshd-session"}
    # Only where the repository lies there is there anything of the machine's.
    there = shared_lab.ssh("gpu", "ls -A /tmp").stdout.split()
    assert set(there) <= {part for path in (REPOSITORY, Path(sys.prefix)) for part in path.parts}
    assert shared_lab.run("gpu", ["ssh", "-o", "BatchMode=yes", "nas", "true"]).returncode == 255
    uptime = float(shared_lab.ssh("gpu", "cat /proc/uptime").stdout.split()[0])
    assert uptime < 60


def test_they_hear_ipv6_and_reach_one_another_over_a_third(make_lab):
    lab = make_lab("nas", "gpu", "jump")

    came_from = lab.ssh("gpu-v6", "echo $SSH_CONNECTION").stdout.split()[0]
    assert ":" in came_from
    lab.part("nas", "gpu")
    assert is_silent(lab)
    assert lab.ssh("gpu", "hostname", "-J", "jump").stdout == "gpu\n"
    lab.reboot("gpu")
    assert is_silent(lab)
    lab.unpart("nas", "gpu")
    assert answers(lab)


def test_nothing_leads_out_of_the_lab(shared_lab):
    assert shared_lab.run("nas", ["ip", "route"], env={"PATH": "/usr/sbin:/sbin"}).stdout.split()[
        0
    ] == ("192.0.2.0/24")


def test_what_a_host_changes_the_machine_never_sees(lab):
    files = ["/etc/passwd", "/usr/bin/tar", "/var/tmp/new"]
    before = [os.path.exists(name) and os.stat(name).st_mtime_ns for name in files]
    program = "echo x >>/etc/passwd; rm /usr/bin/tar; echo x >/var/tmp/new"
    assert lab.run("gpu", ["sh", "-c", program], user="root").returncode == 0

    assert lab.ssh("gpu", "command -v tar; cat /var/tmp/new").stdout == "x\n"
    assert [os.path.exists(name) and os.stat(name).st_mtime_ns for name in files] == before
    assert lab.run("nas", ["sh", "-c", "command -v tar"]).returncode == 0


def test_nasexp_runs_on_a_host(lab):
    lab.write("nas", {"w/nasexp.yaml": "", "w/projects/p/project.yaml": "run: id -un\n"})
    lab.write("nas", {"w/projects/p/bin/x": "x"})

    done = lab.nasexp("nas", "--workspace", "w", "run")

    assert done.returncode == 0, done.stdout + done.stderr
    [log] = lab.home("nas").glob("w/projects/p/results/*/log.log")
    assert log.read_bytes() == b"lab\n"


def test_commands_on_a_host_can_be_told_of_and_ended(lab):
    loop = "trap 'echo told; exit 7' INT; echo on; while :; do sleep 0.02; done"
    process = lab.start("gpu", ["sh", "-c", loop], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"on\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 7

    process = lab.start("gpu", ["sh", "-c", "echo on; exec sleep 77"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"on\n"
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run("gpu", ["sleep", "78"], timeout=0.2)
    assert lab.run("gpu", ["pgrep", "sleep"]).returncode == 1
    assert (
        lab.run("gpu", ["sh", "-c", 'echo "$A"; cat'], env={"A": "1"}, input="2").stdout == "1\n2"
    )


# --- the net ---


def test_a_pulled_cable(lab):
    beats = start_beat(lab)
    lab.cut("gpu")
    assert is_silent(lab)
    before = beats()
    wait_until(lambda: beats() > before)
    lab.heal("gpu")
    assert answers(lab)
    assert answers(lab, "gpu-v6")


def test_a_black_hole(lab):
    session = start_session(lab)
    lab.hole("gpu")
    assert session.wait(10) == 255
    assert b"not responding" in session.stderr.read()
    lab.unhole("gpu")
    assert answers(lab)


def test_resets(shared_lab):
    session = start_session(shared_lab)
    shared_lab.reset("gpu")
    assert session.wait(10) == 255
    assert "Connection refused" in shared_lab.ssh("gpu", "true").stderr
    shared_lab.unreset("gpu")
    assert answers(shared_lab)


def test_dropped_connections(shared_lab):
    session = start_session(shared_lab)
    shared_lab.drop_connections("gpu")
    assert session.wait(10) == 255
    assert answers(shared_lab)


def test_lost_packets(lab):
    lab.loss("gpu", 100)
    assert is_silent(lab)
    lab.loss("gpu", 5)
    assert answers(lab)
    lab.loss("gpu", 0)


def seconds_for(lab, host, count):
    """Time a transfer to gpu, the login left out."""
    program = f"head -c {count} /dev/zero | ssh -o BatchMode=yes {host} 'date +%s.%N; cat >/dev/null; date +%s.%N'"
    first, last = lab.run("nas", ["sh", "-c", program]).stdout.split()
    return float(last) - float(first)


def test_a_slow_line(shared_lab):
    assert seconds_for(shared_lab, "gpu", 250_000) < 0.5
    shared_lab.rate("gpu", "2mbit")
    assert 0.5 < seconds_for(shared_lab, "gpu", 250_000) < 5
    shared_lab.rate("gpu", "0")
    assert seconds_for(shared_lab, "gpu", 250_000) < 0.5


def test_delayed_packets(lab):
    try:
        lab.delay("gpu", "100ms")
    except MissingError as missing:
        assert "netem" in str(missing)
        return  # few kernels have it; the second line far away needs none
    began = time.monotonic()
    assert answers(lab)
    assert time.monotonic() - began > 0.5
    lab.delay("gpu", "0")


@pytest.mark.heavy
def test_a_second_line_far_away(lab):
    far = lab.wan(rtt_ms=60, mbit=8)
    connect = (
        "import socket, time; began = time.time(); socket.create_connection(('gpu-wan', 22)); "
        "print(time.time() - began)"
    )
    assert 0.06 < float(lab.run("nas", [sys.executable, "-c", connect]).stdout) < 0.2
    assert 0.2 < seconds_for(lab, far, 500_000) < 5
    lab.wan(rtt_ms=2, mbit=100)
    assert float(lab.run("nas", [sys.executable, "-c", connect]).stdout) < 0.06
    lab.unwan()
    assert lab.ssh(far, "true", "-o", "ConnectTimeout=1").returncode == 255


# --- power ---


def test_a_reboot(lab):
    beats = start_beat(lab)
    ask = "cat /proc/sys/kernel/random/boot_id"
    boot_id = lab.ssh("gpu", f"echo kept >kept; echo >/tmp/lost; {ask}").stdout
    lab.reboot("gpu", uptime_seconds=5000)

    done = lab.ssh(
        "gpu", f"cat kept; ls /tmp/lost 2>/dev/null; cut -d. -f1 /proc/uptime; {ask}"
    ).stdout.split()
    assert done[0] == "kept"
    assert 5000 <= int(done[1]) < 5060
    assert done[2] != boot_id.strip()
    before = beats()
    time.sleep(0.2)
    assert beats() == before


def test_power_off_and_on(lab):
    session = start_session(lab)
    lab.poweroff("gpu")
    assert not lab.is_up("gpu")
    assert session.wait(10) == 255
    assert is_silent(lab)
    with pytest.raises(RuntimeError, match="host gpu is down"):
        lab.freeze("gpu")
    with pytest.raises(RuntimeError, match="host gpu is down"):
        lab.run("gpu", ["true"])
    lab.poweron("gpu")
    assert answers(lab)


def test_a_power_cut_loses_what_was_not_synced(make_lab):
    lab = make_lab("nas", "gpu", disk_mb={"gpu": 16})
    lab.ssh("gpu", "echo kept >kept; sync kept .; echo lost >lost")
    lab.powercut("gpu")
    lab.poweron("gpu")

    assert (lab.home("gpu") / "kept").read_text() == "kept\n"
    lost = lab.home("gpu") / "lost"
    assert not lost.exists() or lost.read_text() == ""
    assert "No space left" in lab.ssh("gpu", "head -c 20000000 /dev/zero >fill").stderr
    assert answers(lab)


def test_a_frozen_host(lab):
    session = start_session(lab)
    here = lab.start("gpu", ["sh", "-c", "echo on; read line; exit 6"], **PIPES)
    beats = start_beat(lab)
    lab.freeze("gpu")
    before = beats()
    assert lab.ssh("gpu", "true", "-o", "ConnectTimeout=1").returncode == 255
    assert beats() == before
    lab.thaw("gpu")
    assert answers(lab)
    wait_until(lambda: beats() > before)
    here.communicate(b"\n", timeout=10)
    assert here.returncode == 6
    session.kill()


def test_stand_ins_write_down_what_they_are_asked(shared_lab):
    shared_lab.ssh(
        "gpu", "/sbin/shutdown -h '+10 min'; systemctl poweroff; systemd-run --user true || echo no"
    )
    assert [(call.user, call.words) for call in shared_lab.asked("gpu")] == [
        ("lab", ("shutdown", "-h", "+10 min")),
        ("lab", ("systemctl", "poweroff")),
        ("lab", ("systemd-run", "--user", "true")),
    ]
    assert abs(shared_lab.asked("gpu")[0].time - time.time()) < 60
    assert answers(shared_lab)


def test_a_host_can_obey_its_shutdown_and_sudo_its_rule(lab):
    assert "password is required" in lab.ssh("gpu", "sudo -n /sbin/shutdown now").stderr
    lab.sudo("gpu", "NOPASSWD: /sbin/shutdown")
    assert lab.ssh("gpu", "sudo -n /sbin/shutdown -h now").returncode == 0
    assert lab.asked("gpu")[-1].user == "root"
    assert lab.is_up("gpu")

    lab.obey("gpu")
    lab.ssh("gpu", "sudo -n /sbin/shutdown -h now", *LIVELY)
    wait_until(lambda: not lab.is_up("gpu"))
    assert is_silent(lab)
    lab.poweron("gpu")
    assert lab.ssh("gpu", "sudo -n /sbin/shutdown -c").returncode == 0
    lab.sudo("gpu", None)
    assert lab.ssh("gpu", "sudo -n /sbin/shutdown -c").returncode == 1


# --- the SSH server and the account ---


def test_killed_sessions(shared_lab):
    session = start_session(shared_lab)
    shared_lab.kill_sessions("gpu")
    assert session.wait(10) == 255
    assert answers(shared_lab)


def test_another_host_key(lab):
    before = lab.host_key_line("gpu")
    lab.rekey("gpu")
    assert "Host key verification failed" in lab.ssh("gpu", "true").stderr
    lab.reboot("gpu")
    assert "Host key verification failed" in lab.ssh("gpu", "true").stderr
    lab.trust()
    assert answers(lab)
    assert lab.host_key_line("gpu") != before


def test_lines_of_sshd(shared_lab):
    shared_lab.configure_sshd("gpu", "ForceCommand echo forced", "MaxSessions 1")
    assert shared_lab.ssh("gpu", "true").stdout == "forced\n"
    with pytest.raises(RuntimeError, match="NoSuchOption"):
        shared_lab.configure_sshd("gpu", "NoSuchOption 1")
    shared_lab.configure_sshd("gpu")
    assert shared_lab.ssh("gpu", "echo asked").stdout == "asked\n"
    assert "Server listening" in shared_lab.log("gpu")


def test_a_password_opens_the_host(shared_lab):
    shared_lab.password("gpu", "secret word")
    shared_lab.write("nas", {"askpass": "#!/bin/sh\necho 'secret word'\n"}, mode=0o700)
    words = ["ssh", "-o", "PubkeyAuthentication=no", "gpu", "hostname"]
    ask = {"SSH_ASKPASS": "/home/lab/askpass", "SSH_ASKPASS_REQUIRE": "force"}

    assert shared_lab.run("nas", words, env=ask).stdout == "gpu\n"
    assert (
        "Permission denied (publickey,password)"
        in shared_lab.ssh("gpu", "true", *words[1:3]).stderr
    )


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "fish", "tcsh", "busybox"])
def test_login_shells(shared_lab, shell):
    shared_lab.login_shell("gpu", shell)

    own = "$fish_pid" if shell == "fish" else "$$"
    done = shared_lab.ssh("gpu", f"readlink -f /proc/{own}/exe; true")

    assert Path(done.stdout.strip()).name == shell, done.stderr


def test_a_login_shell_that_talks(shared_lab):
    shared_lab.login_shell("gpu", "bash")
    shared_lab.write("gpu", {".bashrc": "echo noise\n", ".deep/er/file": b"\0"})

    noisy = shared_lab.ssh("gpu", "stat -c %U .deep/er .deep/er/file").stdout
    (shared_lab.home("gpu") / ".bashrc").unlink()

    assert noisy == "noise\nlab\nlab\n"


def test_a_plain_user_can_have_a_server_on_loopback(shared_lab):
    program = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from nasexp.testing import Sshd
with Sshd(Path("server")) as sshd:
    command = sshd.ssh_command("echo on; cat")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as client:
        assert client.stdout.readline() == b"on\\n"
        sshd.kill_sessions()
        print(sshd.user, client.wait(10), sshd.logins(), subprocess.call(sshd.ssh_command("true")))
"""
    words = [sys.executable, "-c", program, str(REPOSITORY)]

    done = shared_lab.run("gpu", words)

    assert done.stdout == "lab 255 1 0\n", done.stderr


def test_programs_can_be_missing(shared_lab):
    programs = ["rsync", "python3", "tar", "sha256sum", "setsid"]
    ask = " ".join(f"command -v {name} || echo no {name};" for name in programs)
    shared_lab.hide("gpu", *programs)
    assert shared_lab.ssh("gpu", ask).stdout.splitlines() == [f"no {name}" for name in programs]
    shared_lab.unhide("gpu", *programs)
    assert "no tar" not in shared_lab.ssh("gpu", ask).stdout


# --- the end ---


def traces(folder):
    """Return what there is of a lab: processes, mounts, loop devices."""
    mounts = Path("/proc/self/mounts").read_text() + Path("/proc/mounts").read_text()
    loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True).stdout
    found = [f"mount {line}" for line in mounts.splitlines() if str(folder) in line]
    found += [f"loop {line}" for line in loops.splitlines() if str(folder) in line]
    return found


def inhabitants(lab):
    """Return the pids of everything that runs in the pid namespaces of the hosts."""
    spaces = {os.readlink(f"/proc/{lab.pid(host)}/ns/pid") for host in lab.hosts}
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            if os.readlink(path) in spaces:
                found.append(int(path.parts[2]))
        except OSError:
            continue
    return found


def test_a_closed_lab_leaves_nothing(tmp_path, make_lab):
    folder = tmp_path / "lab"
    make_lab()  # beside another one
    with Lab(folder, "nas", "gpu", disk_mb={"gpu": 8}) as lab:
        start_beat(lab)
        session = start_session(lab)
        pids = inhabitants(lab)
        assert len(pids) >= 6
        wait_until(lambda: traces(folder) != [])

    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert session.returncode is not None
    assert not folder.exists()
    wait_until(lambda: traces(folder) == [])
    assert not re.search(
        r"\bgpu\b", subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout
    )


def test_a_killed_owner_takes_the_lab_with_it(tmp_path):
    program = (
        "import sys, time; sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path; from hosts import Lab\n"
        "lab = Lab(Path(sys.argv[3]), 'nas', disk_mb={'nas': 8}); print(lab.pid('nas'), flush=True)\n"
        "lab.start('nas', ['sleep', '79'])\n"
        "time.sleep(60)\n"
    )
    here = Path(__file__).parent
    words = [sys.executable, "-c", program, str(here), str(here.parents[1]), str(tmp_path / "lab")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as owner:
        pid = owner.stdout.readline().strip()
        if not pid:
            pytest.skip(owner.stderr.read().decode().strip().splitlines()[-1])
        owner.kill()

    wait_until(lambda: not Path(f"/proc/{int(pid)}").exists())
    wait_until(lambda: traces(tmp_path) == [])


def test_a_lab_that_cannot_be_says_why(tmp_path, lab):
    with pytest.raises(MissingError, match="unheard-of is missing"):
        lab.login_shell("gpu", "unheard-of")
    with pytest.raises(RuntimeError, match="File exists"):
        Lab(tmp_path / "twice", "nas", "nas")
    assert not (tmp_path / "twice").exists()
