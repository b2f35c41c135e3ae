"""Host keys that are another all at once, and keys that are let in no more."""

from __future__ import annotations

from checker import check_run
from remote import Site
from terminals import Terminal


def test_a_changed_key_stops_the_run_before_anything_is_sent(lab, via):
    lab.rekey("gpu")
    site = Site(lab, via)
    driver = site.run()

    assert driver.wait() == 1, str(driver)
    assert "shows another key than the one that was trusted: nothing was sent" in driver.said
    assert "Accepted" not in lab.log("gpu")
    assert not (lab.home("gpu") / ".nasexp").exists()
    trust_again(lab, site)
    site.finish(1)
    check_run(site.run(number=1))


def test_a_key_that_changes_in_mid_run_is_told_loudly_and_trust_restores(lab, via):
    site = Site(lab, via, waits=True)
    driver = site.start()
    driver.until_it_trains()
    lab.rekey("gpu")
    logins = lab.log("gpu").count("Accepted")
    lab.drop_connections("gpu")
    driver.until_it_says("warning   host 'gpu' (lab@gpu) shows another key")
    assert lab.log("gpu").count("Accepted") == logins
    trust_again(lab, site)
    driver.until_it_says("the host answers again")
    site.finish()

    check_run(driver, code=4)


def test_a_login_that_is_taken_away_in_mid_run_is_told_loudly_and_goes_on_after_repair(lab, via):
    site = Site(lab, via, waits=True)
    driver = site.start()
    driver.until_it_trains()
    keys = lab.home("gpu") / ".ssh/authorized_keys"
    text = keys.read_text()
    keys.write_text("")
    lab.drop_connections("gpu")
    driver.until_it_says("warning   host 'gpu' does not let lab@gpu in")
    keys.write_text(text)
    driver.until_it_says("the host answers again")
    site.finish()

    check_run(driver, code=4)


def trust_again(lab, site):
    with Terminal(lambda **o: lab.start("nas", site.words("trust", "gpu"), **o)) as terminal:
        terminal.until_it_shows("CHANGED: until now it was trusted with")
        terminal.until_it_shows("[y/N]")
        terminal.type("y")
        assert terminal.wait() == 0, terminal.shown
