"""The way to the host leads over another one (ProxyJump): its key counts too, and it may die."""

from __future__ import annotations

import re

import pytest
from checker import check_run
from remote import CARRIERS, Site
from terminals import Terminal

JUMPS = "Host gpu\n  ProxyJump jump\n"


@pytest.fixture
def lab(make_lab):
    """Three hosts: `nas` sees `gpu` only over `jump`; the user's ssh_config says so, included."""
    lab = make_lab("nas", "gpu", "jump")
    lab.part("nas", "gpu")
    lab.write("nas", {".ssh/config": "Include more/*.conf\n", ".ssh/more/way.conf": JUMPS})
    return lab


def know(lab, *hosts):
    """Let the user on the NAS know the keys of these hosts alone."""
    lab.write("nas", {".ssh/known_hosts": "".join(lab.host_key_line(h) + "\n" for h in hosts)})


def test_a_run_over_a_jump(lab, via):
    driver = Site(lab, via).run()

    check_run(driver)
    assert "Accepted publickey" in lab.log("jump")


@pytest.mark.parametrize("stranger", ["jump", "gpu"])
def test_a_machine_of_the_way_that_nobody_trusts_is_refused_and_named(lab, via, stranger):
    know(lab, *({"jump", "gpu"} - {stranger}))
    driver = Site(lab, via).run()

    assert driver.wait() == 1, str(driver)
    assert f"the key of host 'gpu' (lab@{stranger}) is not trusted yet" in driver.said
    assert "nasexp trust gpu" in driver.said
    assert "Accepted" not in lab.log(stranger)


def test_a_jump_with_another_key_is_refused_and_named(lab, via):
    lab.rekey("jump")
    driver = Site(lab, via).run()

    assert driver.wait() == 1, str(driver)
    assert "host 'gpu' (lab@jump) shows another key than the one that was trusted" in driver.said
    assert "Accepted" not in lab.log("gpu")


def test_trust_asks_for_both_in_the_order_of_the_way(lab, via):
    know(lab)
    site = Site(lab, via)
    with Terminal(lambda **o: lab.start("nas", site.words("trust", "gpu"), **o)) as terminal:
        terminal.until_it_shows("[y/N]")
        assert "lab@jump shows" in terminal.shown
        assert "lab@gpu shows" not in terminal.shown
        terminal.type("y")
        terminal.until_it_shows("[y/N]", times=2)
        assert "lab@gpu shows" in terminal.shown
        terminal.type("y")
        assert terminal.wait() == 0, terminal.shown

    check_run(site.run())
    kept = (site.root / "known_hosts").read_text()
    assert [line.split()[0] for line in kept.splitlines()] == ["jump", "gpu"]


def test_a_jump_that_dies_in_mid_run_and_comes_back(lab, via):
    site = Site(lab, via, waits=True)
    driver = site.start()
    driver.until_it_trains()
    lab.drop_connections("jump")
    lab.poweroff("jump")
    driver.until_it_says("the training goes on, still trying")
    lab.poweron("jump")
    lab.unpart("nas", "gpu")
    lab.part("nas", "gpu")
    driver.until_it_says("the host answers again")
    site.finish()

    check_run(driver)


def test_the_machine_that_is_off_is_told_from_the_jump_that_is(lab, via):
    site = Site(lab, via, settings="connect: {patience: 0s}")
    lab.poweroff("gpu")
    behind = site.run()
    lab.run("jump", ["sh", "-c", "kill $(cat /run/lab/sshd.pid)"], user="root")
    before = site.run(number=1)

    assert (behind.wait(), before.wait()) == (1, 1)
    assert "the machine before it does not get to gpu port 22 (over jump)" in behind.said
    assert "nothing listens at jump port 22" in before.said


@pytest.mark.heavy
def test_a_jump_that_is_off_is_named(lab, via):
    site = Site(lab, via, settings="connect: {patience: 0s}")
    lab.poweroff("jump")
    driver = site.run()

    assert driver.wait() == 1, str(driver)
    assert re.search("(to jump|jump port 22 does not answer): it may be off", driver.said)


@pytest.mark.heavy  # a host that freezes shows the same, sooner
def test_a_host_that_vanishes_behind_a_jump_that_lives_is_noticed(lab):
    """TCP hears of the jump alone, and that one is well."""
    sites = [Site(lab, via, name=via, waits=True) for via in CARRIERS]
    drivers = [site.start() for site in sites]
    for driver in drivers:
        driver.until_it_trains()
    lab.hole("gpu")
    for driver in drivers:
        driver.until_it_says("the training goes on, still trying", 30)
    lab.unhole("gpu")
    for site, driver in zip(sites, drivers, strict=True):
        site.finish()
        check_run(driver)
