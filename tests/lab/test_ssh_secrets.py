"""Passwords and passphrases: asked for, taken from where the settings say, and never left lying."""

from __future__ import annotations

import os
import sys

import pytest
from checker import check_run
from remote import Site
from terminals import Terminal

CANARY = "canary-7f3a-xyzzy"
PROMPT = "password of lab@gpu: "


@pytest.fixture
def lab(lab):
    """A host that takes passwords only."""
    lab.password("gpu", CANARY)
    lab.configure_sshd("gpu", "PasswordAuthentication yes", "PubkeyAuthentication no")
    return lab


def places_with(lab, text):
    """Return the files of both homes that hold a text."""
    found = []
    for host in ("nas", "gpu"):
        for folder, _, names in os.walk(os.fsencode(lab.home(host))):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    if text.encode() in file.read():
                        found.append(os.path.join(folder, name))
    return found


def command_lines(lab):
    """Return the arguments and variables of all that runs on both hosts, but for the test's own."""
    text = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
    return "".join(lab.run(host, ["sh", "-c", text], user="root").stdout for host in lab.hosts)


@pytest.mark.parametrize("answer", ["right", "wrong"])
def test_a_person_is_asked_for_the_password_once(lab, answer):
    site = Site(lab, "auto", waits=True)
    with Terminal(lambda **o: lab.start("nas", site.words("run"), **o)) as terminal:
        terminal.until_it_shows(PROMPT)
        terminal.type(CANARY if answer == "right" else "wrong")
        if answer == "right":
            site.finish()
        assert terminal.wait() == (0 if answer == "right" else 1), terminal.shown

    assert terminal.shown.count(PROMPT) == 1
    assert CANARY not in terminal.shown
    assert ("does not take that password" in terminal.shown) == (answer == "wrong")
    assert lab.log("gpu").count("Failed password") == (answer == "wrong")


@pytest.mark.parametrize("source", ["env: GPU_PASSWORD", "command: cat /home/lab/vault"])
@pytest.mark.parametrize("via", ["auto", "paramiko"])
def test_a_password_is_had_from_where_the_settings_say_and_left_nowhere(lab, via, source):
    lab.write("nas", {"vault": CANARY + "\n"}, mode=0o600)
    site = Site(lab, via, host_keys=f"password: {{{source}}}", waits=True)
    driver = site.start(env={"GPU_PASSWORD": CANARY})
    driver.until_it_trains()
    seen = command_lines(lab)
    lab.drop_connections("gpu")  # it logs in again, and knows the word still
    driver.until_it_says("the host answers again")
    site.finish()

    check_run(driver)
    assert "nasexp" in seen
    assert CANARY not in seen
    assert places_with(lab, CANARY) == [os.fsencode(lab.home("nas") / "vault")]


@pytest.mark.parametrize("source", ["env: GPU_PASSWORD", "env: NOT_SET", "command: exit 3"])
def test_a_password_that_is_wrong_or_not_there_is_told_without_a_loop(lab, source):
    site = Site(lab, "auto", host_keys=f"password: {{{source}}}")
    driver = site.run(env={"GPU_PASSWORD": "not it"})

    assert driver.wait() == 1, str(driver)
    assert "connect   FAILED" in driver.said
    assert lab.log("gpu").count("Failed password") == (source == "env: GPU_PASSWORD")
    assert "not it" not in driver.said


def test_without_a_terminal_the_host_that_wants_a_password_is_told(lab):
    driver = Site(lab, "auto").run()

    assert driver.wait() == 1, str(driver)
    assert "it takes password" in driver.said
    assert "set `password: {env: VARIABLE}`" in driver.said


def test_a_locked_key_is_opened_by_its_passphrase(make_lab):
    lab = make_lab("nas", "gpu")
    key = lab.home("nas") / ".ssh/id_ed25519"
    words = ["ssh-keygen", "-q", "-p", "-P", "", "-N", CANARY, "-f", "/home/lab/.ssh/id_ed25519"]
    assert lab.run("nas", words).returncode == 0
    assert key.exists()
    asked = Site(lab, "auto", name="asked")
    with Terminal(lambda **o: lab.start("nas", asked.words("run"), **o)) as terminal:
        terminal.until_it_shows("passphrase of /home/lab/.ssh/id_ed25519: ")
        terminal.type(CANARY)
        assert terminal.wait() == 0, terminal.shown
    told = Site(lab, "auto", name="told", host_keys="passphrase: {env: GPU_PHRASE}")

    check_run(told.run(env={"GPU_PHRASE": CANARY}))
    wrong = told.run(env={"GPU_PHRASE": "not it"}, number=1)
    assert wrong.wait() == 1
    assert "that is not the passphrase of /home/lab/.ssh/id_ed25519" in wrong.said
    assert places_with(lab, CANARY) == []
    assert sys.executable
