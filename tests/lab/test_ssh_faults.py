"""The line breaks while runs are in each of their stages: they all end well."""

from __future__ import annotations

import os
import time

import pytest
from checker import check_run
from crowd import Crowd
from remote import CARRIERS, Site

from nasexp.testing.processes import children_of

NOTICED_SECONDS = 30.0


def test_a_black_hole_is_noticed_in_every_stage_and_costs_nothing_but_time(lab):
    crowd = Crowd(lab)
    crowd.start()
    lab.hole("gpu")
    crowd.noticed(NOTICED_SECONDS)
    lab.unhole("gpu")

    crowd.check()


def test_resets_are_noticed_at_once(lab):
    crowd = Crowd(lab)
    crowd.start()
    lab.reset("gpu")
    crowd.noticed(5)
    lab.unreset("gpu")

    crowd.check()


@pytest.mark.heavy
def test_a_short_cut_goes_by(lab):
    crowd = Crowd(lab)
    crowd.start()
    lab.cut("gpu")
    time.sleep(2)
    lab.heal("gpu")

    crowd.check()


@pytest.mark.heavy
def test_a_long_cut_is_noticed_and_healed(lab):
    crowd = Crowd(lab)
    crowd.start()
    lab.cut("gpu")
    crowd.noticed(NOTICED_SECONDS)
    lab.heal("gpu")

    crowd.check()


@pytest.mark.heavy
@pytest.mark.timeout(400)
def test_a_link_that_flaps_for_two_minutes(lab):
    crowd = Crowd(lab)
    crowd.start()
    for _ in range(24):
        lab.hole("gpu")
        time.sleep(3)
        lab.unhole("gpu")
        time.sleep(2)

    crowd.check()


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("line", ["20 % lost", "1mbit"])
def test_a_line_that_is_bad_all_the_time(lab, line):
    crowd = Crowd(lab, size_kb=600)
    if line == "1mbit":
        lab.rate("gpu", line)
    else:
        lab.loss("gpu", 20)
    crowd.start_anyhow()

    crowd.check(mend=False)


@pytest.mark.heavy
@pytest.mark.timeout(400)
def test_fifty_cuts_let_neither_threads_nor_files_grow(lab):
    sites = [Site(lab, via, name=via, waits=True) for via in CARRIERS]
    drivers = [site.start() for site in sites]
    for driver in drivers:
        driver.until_it_trains()
    used = []
    for cut in range(1, 51):
        lab.drop_connections("gpu")
        for driver in drivers:
            driver.until(lambda d=driver, n=cut: len(d.events("link.back")) >= n)
        used.append([threads_and_files(driver) for driver in drivers])
    assert max(used[25:]) <= max(used[:5]), used
    for site, driver in zip(sites, drivers, strict=True):
        site.finish()
        check_run(driver)


def threads_and_files(driver):
    """Return how many of both a `nasexp run` has."""
    [pid] = children_of(driver.process.pid)
    return len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd"))
