"""Many runs at once over one link, each held in another stage by each carrier: then it breaks."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from checker import check_run
from remote import CARRIERS, Site

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hosts import Lab
    from remote import Driver

STAGES = ["transfer", "train", "backup", "collect"]
LINE = "3mbit"
LOST = re.compile(r"the training goes on, still trying|the copy waits and goes on")

# The host's openssl holds the comparison of the runs named collect-… until the test lets it go.
_OPENSSL = """\
#!/bin/sh
name=${PWD#*/n/}
case $name in collect-*/work/output)
  touch "$HOME/digesting-${name%%/*}"
  while [ ! -e "$HOME/go-on" ]; do sleep 0.1; done
  ;;
esac
exec /usr/bin/openssl "$@"
"""


class Crowd:
    """A run for each stage and carrier, on one NAS and one host."""

    def __init__(self, lab: Lab, size_kb: int = 4000) -> None:
        self.lab, self.size_kb = lab, size_kb
        openssl = lab.root("gpu") / "usr/local/bin/openssl"
        openssl.write_text(_OPENSSL)
        openssl.chmod(0o755)
        self.sites = {(stage, via): self._site(stage, via) for stage in STAGES for via in CARRIERS}
        self.drivers: dict[tuple[str, str], Driver] = {}

    def _site(self, stage: str, via: str) -> Site:
        every = "1s" if stage == "backup" else "never"
        site = Site(
            self.lab,
            via,
            name=f"{stage}-{via}",
            host_keys=f"workdir: ~/n/{stage}-{via}",
            settings=f"backup: {{every: {every}}}",
            size_kb=self.size_kb if stage == "backup" else 20,
            waits=stage != "collect",
        )
        if stage == "transfer":
            site.add_code(self.size_kb * 1000)
        return site

    def start_anyhow(self) -> None:
        """Start all of them, wherever they get to."""
        self.drivers = {key: site.start() for key, site in self.sites.items()}

    def start(self) -> None:
        """Start all of them and return when each is where it should be."""
        slow = {key for key in self.sites if key[0] in ("transfer", "backup")}
        self._start(self.sites.keys() - slow)
        # What is under way lasts: for these the line is so slow that they are in the middle.
        self.lab.rate("gpu", LINE)
        self._start(slow)

    def _start(self, keys: Iterable[tuple[str, str]]) -> None:
        started = {key: self.sites[key].start() for key in sorted(keys)}
        self.drivers |= started
        for (stage, via), driver in started.items():
            driver.until(lambda d=driver, s=stage, v=via: self.is_there(d, s, v))

    def is_there(self, driver: Driver, stage: str, via: str) -> bool:
        """Whether a run is in the middle of its stage."""
        if stage == "transfer":
            folder = self.lab.home("gpu") / f"n/transfer-{via}/runs"
            return sum(file.stat().st_size for file in folder.glob("*/unpack/**/*")) > 200_000
        if stage == "backup":
            return sum(f.stat().st_size for f in driver.paths.incoming.rglob("model*")) > 100_000
        if stage == "collect":
            return (self.lab.home("gpu") / f"digesting-collect-{via}").exists()
        return driver.steps() > 1

    def noticed(self, seconds: float) -> dict[tuple[str, str], float]:
        """Wait until all have told that the link is lost; return how long each took."""
        began, found = time.monotonic(), {}
        while len(found) < len(self.drivers) and time.monotonic() < began + seconds:
            for key, driver in self.drivers.items():
                if key not in found and LOST.search(driver.said):
                    found[key] = time.monotonic() - began
            time.sleep(0.05)
        blind = [str(self.drivers[key]) for key in self.drivers if key not in found]
        assert not blind, f"not noticed within {seconds} s: {blind}"
        return found

    def check(self, *, mend: bool = True) -> None:
        """Let them all end, and end well."""
        (self.lab.home("gpu") / "go-on").touch()
        if mend:
            self.lab.rate("gpu", "0")
        for site in self.sites.values():
            site.finish()
        for key, driver in self.drivers.items():
            driver.wait(90 if mend else 300)
            check_run(driver, workdir=f"n/{'-'.join(key)}")
