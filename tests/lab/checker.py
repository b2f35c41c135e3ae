"""What must be true of every run over SSH that went well, whatever befell it: one checker."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from remote import files_below

if TYPE_CHECKING:
    from remote import Driver

CLOCK_SECONDS = 1.5


def check_run(
    driver: Driver, code: int = 0, *, workdir: str = ".nasexp", is_whole: bool = True
) -> None:
    """Fail unless the run kept every promise.

    Args:
        driver: it has ended, or is about to.
        code: the exit code that it should have; 4 where a warning was due.
        workdir: of the host, below the home.
        is_whole: whether the output that the script told of is all there is.
    """
    assert driver.wait() == code, str(driver)
    assert "Traceback" not in driver.said, str(driver)
    check_one_end(driver)
    check_ran_once(driver)
    check_console(driver)
    if is_whole:
        check_output(driver)
    check_manifest(driver)
    check_times(driver)
    check_nothing_is_left(driver, workdir)


def check_one_end(driver: Driver) -> None:
    """The journal is whole and has exactly one end, of the training and of the run."""
    ends = driver.events("run.finished")
    assert [end["status"] for end in ends] == ["ok"], str(driver)
    assert len(driver.events("training.started")) == 1, str(driver)
    assert len(driver.events("training.ended")) == 1, str(driver)
    assert driver.record.status == "ok"
    assert driver.record.exit_code == 0


def check_ran_once(driver: Driver) -> None:
    """Each start of the script leaves its pid in a file that nasexp knows nothing of."""
    assert len((driver.side / "ran").read_text().split()) == 1, str(driver)


def check_console(driver: Driver) -> None:
    """log.log is what the script wrote, byte for byte."""
    assert driver.paths.log.read_bytes() == (driver.side / "truth").read_bytes(), str(driver)


def check_output(driver: Driver) -> None:
    """The output is what the script made, byte for byte."""
    assert dict(files_below(driver.paths.output)) == dict(files_below(driver.side / "made"))


def check_manifest(driver: Driver) -> None:
    """`sha256sum` alone can check the folder, and every file of the output is in the list."""
    place = driver.paths.folder.relative_to(driver.site.root.parent)
    words = ["sh", "-c", f"cd '{place}' && sha256sum --quiet --strict -c manifest.sha256"]
    done = driver.site.lab.run("nas", words)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = driver.paths.manifest.read_bytes().count(b"\n")
    assert listed >= len(dict(files_below(driver.paths.output))) + 2  # and bin.tar.gz, log.log


def check_times(driver: Driver) -> None:
    """Start and end lie within what the test itself saw, and differ by what is billed."""
    record = driver.record
    assert record.started is not None
    assert record.ended is not None
    assert record.seconds is not None
    started, ended = record.started.timestamp(), record.ended.timestamp()
    assert driver.began - CLOCK_SECONDS <= started <= ended <= time.time() + CLOCK_SECONDS
    assert abs(ended - started - record.seconds) <= CLOCK_SECONDS
    ran = driver.side / "ran"
    made = driver.side / "truth"
    truth = made.stat().st_mtime - ran.stat().st_mtime
    assert abs(record.seconds - truth) <= CLOCK_SECONDS, (record.seconds, truth)


def check_nothing_is_left(driver: Driver, workdir: str = ".nasexp") -> None:
    """The host keeps nothing of the run: no folder, no name, no process."""
    home = driver.site.lab.home(driver.site.trains_on) / workdir
    assert not (home / "runs" / driver.record.id).exists(), str(driver)
    assert f"{driver.site.name}-run_{driver.number}" not in names_in(home / "by-name")
    assert not carriers_of(driver), str(driver)


def check_host_is_clean(driver: Driver, workdir: str = ".nasexp") -> None:
    """No run at all has left anything in the workdir."""
    home = driver.site.lab.home(driver.site.trains_on) / workdir
    assert names_in(home / "runs") == names_in(home / "by-name") == []


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def carriers_of(driver: Driver) -> list[str]:
    """Return the pids on the host that were started by the run: they carry its id."""
    text = 'grep -lF "NASEXP_RUN_ID=$1" /proc/[0-9]*/environ 2>/dev/null; exit 0'
    words = ["sh", "-c", text, "sh", driver.record.id]
    done = driver.site.lab.run(driver.site.trains_on, words, user="root")
    return re.findall(r"/proc/(\d+)/", done.stdout)
