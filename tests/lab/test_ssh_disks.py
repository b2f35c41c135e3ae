"""Disks that are full over there, or here, while a run goes on: named, and nothing half-made."""

from __future__ import annotations

from checker import check_run
from hosts import UID
from remote import Site


def leave_room(lab, host, free_bytes):
    """Fill a host's disk but for so much; return the file that does it."""
    import os

    home = lab.home(host)
    status = os.statvfs(home)
    filler = home / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - free_bytes)
    os.chown(filler, UID, UID)
    return filler


def test_a_disk_that_fills_on_the_host_in_mid_transfer(make_lab, via):
    lab = make_lab("nas", "gpu", disk_mb={"gpu": 48})
    site = Site(lab, via, waits=True)
    site.add_code(12_000_000)
    filler = leave_room(lab, "gpu", 8_000_000)
    driver = site.run()

    assert driver.wait() == 1, str(driver)
    assert "No space left on device" in driver.said
    assert "host 'gpu'" in driver.said
    assert not driver.events("training.started")
    folder = driver.host_folder()
    assert not any((folder / name).exists() for name in ("ready", "work"))
    filler.unlink()
    site.finish(1)
    check_run(site.run(number=1))


def test_a_disk_that_fills_here_in_mid_backup(make_lab, via):
    lab = make_lab("nas", "gpu", disk_mb={"nas": 48})
    site = Site(lab, via, settings="backup: {every: 1s}", size_kb=12_000, waits=True)
    filler = leave_room(lab, "nas", 8_000_000)
    driver = site.start()
    driver.until_it_says("backup failed, the next one makes it good")
    assert "No space left on device" in driver.said
    assert not (driver.paths.output / "model").exists()
    steps = driver.steps()
    driver.until(lambda: driver.steps() > steps)
    filler.unlink()
    driver.until((driver.paths.output / "model").exists)
    site.finish()

    check_run(driver, code=4)
