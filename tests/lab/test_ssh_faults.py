"""The line breaks while runs are in each of their stages: they all end well."""

from __future__ import annotations

import time

import pytest
from crowd import Crowd

NOTICED_SECONDS = 30.0


def test_a_black_hole_is_noticed_in_every_stage_and_costs_nothing_but_time(lab):
    crowd = Crowd(lab)
    crowd.start()
    lab.hole("gpu")
    took = crowd.noticed(NOTICED_SECONDS)
    print(took)
    lab.unhole("gpu")

    crowd.check()


def test_resets_are_noticed_at_once(lab):
    crowd = Crowd(lab)
    crowd.start()
    lab.reset("gpu")
    took = crowd.noticed(5)
    print(took)
    lab.unreset("gpu")

    crowd.check()


def test_a_short_cut_goes_by(lab):
    crowd = Crowd(lab)
    crowd.start()
    lab.cut("gpu")
    time.sleep(2)
    lab.heal("gpu")

    crowd.check()
