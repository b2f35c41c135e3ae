"""Hosts that are off, boot, freeze or are about to switch off: each is told apart, or waited for."""

from __future__ import annotations

import re
import time

import pytest
from checker import check_run
from remote import CARRIERS, Site

SCHEDULED = "USEC={}000000\nWARN_WALL=1\nMODE=poweroff\n"


def fails_to_connect(lab, via, name, **settings):
    site = Site(lab, via, name=f"{name}-{via}", settings="connect: {patience: 0s}", **settings)
    driver = site.run()
    assert driver.wait() == 1, str(driver)
    assert "Traceback" not in driver.said
    assert driver.record.status == "failed"
    return driver.said


def test_what_keeps_a_host_from_being_reached_is_told_apart(shared_lab, via):
    lab = shared_lab
    wrong_port = fails_to_connect(lab, via, "port", host_keys="port: 2222")
    no_route = fails_to_connect(lab, via, "route", address="203.0.113.7")
    no_name = fails_to_connect(lab, via, "name", address="no-such-host")

    assert "nothing listens at gpu port 2222" in wrong_port
    assert "is that its port (`port:`)?" in wrong_port
    assert "there is no way to 203.0.113.7: it may be off" in no_route
    assert "the name no-such-host is not known" in no_name
    assert "is `address:` right?" in no_name


def test_a_host_that_is_off_is_told_from_one_that_is_frozen(make_lab):
    lab = make_lab("nas", "gpu", "old")
    lab.freeze("gpu")
    lab.poweroff("old")
    sites = {
        (host, via): Site(
            lab,
            via,
            name=f"{host}-{via}",
            address=host,
            trains_on="gpu",
            settings="connect: {patience: 0s}",
        )
        for host in ("gpu", "old")
        for via in CARRIERS
    }
    drivers = {key: site.start() for key, site in sites.items()}
    for (host, _), driver in drivers.items():
        assert driver.wait() == 1
        off = "(there is no way to old|old port 22 does not answer): it may be off"
        frozen = "gpu port 22 takes the call and says nothing: it may be frozen"
        assert re.search(off if host == "old" else re.escape(frozen), driver.said), str(driver)


def test_a_host_that_boots_is_waited_for_and_that_is_shown(lab, via):
    lab.poweroff("gpu")
    driver = Site(lab, via).start()
    driver.until_it_says("; next try in ")
    lab.poweron("gpu")

    check_run(driver)


def test_a_host_that_freezes_in_mid_run_is_noticed_and_found_again(lab):
    sites = [Site(lab, via, name=via, waits=True) for via in CARRIERS]
    drivers = [site.start() for site in sites]
    for driver in drivers:
        driver.until_it_trains()
    lab.freeze("gpu")
    for driver in drivers:
        driver.until_it_says("the training goes on, still trying", 30)
    lab.thaw("gpu")
    for site, driver in zip(sites, drivers, strict=True):
        site.finish()
        check_run(driver)


@pytest.mark.parametrize("rule", ["NOPASSWD: /sbin/shutdown", None])
def test_a_pending_power_off_is_cancelled_or_told(lab, via, rule):
    lab.sudo("gpu", rule)
    folder = lab.root("gpu") / "run/systemd/shutdown"
    folder.mkdir(parents=True)
    due = int(time.time()) + 3600
    (folder / "scheduled").write_text(SCHEDULED.format(due))
    site = Site(lab, via)
    told = site.call("check", "--host", "gpu").stdout
    driver = site.run()

    may = "a run cancels it" if rule else "this account may not cancel it"
    assert f"a power-off is pending; {may}" in told
    asked = [words for each in lab.asked("gpu") if (words := each.words)[0] == "shutdown"]
    if rule:
        check_run(driver)
        assert re.search(r"was going to switch off \(at \d\d:\d\d\): cancelled", driver.said)
        assert asked == [("shutdown", "-c")]
        assert lab.asked("gpu")[-1].user == "root"
    else:
        check_run(driver, code=4)
        assert "is going to switch off" in driver.said
        assert "this account may not prevent it: sudo: a password is required" in driver.said
        assert asked == []
    assert driver.events("power_off.cancelled")[0]["ok"] == bool(rule)
