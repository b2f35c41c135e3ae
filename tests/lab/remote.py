"""A small real project that trains over SSH in a lab, and tells the truth beside the console."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from nasexp.errors import NasexpError
from nasexp.runs.journal import read_events
from nasexp.runs.paths import RunPaths
from nasexp.runs.record import read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hosts import HostProcess, Lab

    from nasexp.runs.record import Record

CARRIERS = ["openssh", "paramiko"]
WAIT_SECONDS = 45.0

# Says each thing twice: to the console, and to a file that nasexp never sees. It ends when the
# test says so, by the file `finish`.
RUN_SH = """\
#!/bin/sh
side=$HOME/side/$NASEXP_RUN
mkdir -p "$side" output/sub
echo $$ >>"$side/ran"
say() { printf '%s\\n' "$1" >>"$side/truth"; printf '%s\\n' "$1"; }
say begin
head -c "$1"000 /dev/urandom >output/model
echo "a small one" >output/sub/small
[ ! -e extra.sh ] || . ./extra.sh
n=0
until [ -e "$side/finish" ]; do
  n=$((n + 1))
  say "step $n"
  sleep 0.1
done
head -c 3000 /dev/urandom | tee -a "$side/truth"
cp -R output "$side/made"
say end
"""


def wait_until(
    condition: Callable[[], Any], seconds: float = WAIT_SECONDS, what: object = ""
) -> Any:
    """Return what the condition gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        told = what() if callable(what) else what
        assert time.monotonic() < deadline, f"it does not come true within {seconds} s\n{told}"
        time.sleep(0.02)
    return found


class Site:
    """A workspace on host `nas` with one project and one host, `gpu`.

    Args:
        lab: whose first host is the NAS.
        via: what carries the connection; `auto` too.
        name: of the project.
        address: of the host to train on, as nasexp.yaml has it.
        host_keys: further keys of that host.
        settings: further lines of nasexp.yaml.
        size_kb: of the file that the training writes.
        trains_on: the host's name in the lab.
        waits: whether the training waits for the test to let it finish.
    """

    def __init__(
        self,
        lab: Lab,
        via: str,
        *,
        name: str = "p",
        address: str = "gpu",
        host_keys: str = "",
        settings: str = "",
        size_kb: int = 200,
        trains_on: str = "gpu",
        waits: bool = False,
    ) -> None:
        self.lab, self.name, self.trains_on = lab, name, trains_on
        self.place = f"w-{name}"
        self.root = lab.home("nas") / self.place
        entry = f"    address: {address}\n    via: {via}\n" + "".join(
            f"    {line}\n" for line in host_keys.splitlines()
        )
        self.write({"nasexp.yaml": f"host: gpu\n{settings}\nhosts:\n  gpu:\n{entry}"})
        self.write({f"projects/{name}/project.yaml": f"run: ./run.sh {size_kb}\n"})
        self.write({f"projects/{name}/bin/run.sh": RUN_SH}, mode=0o755)
        if not waits:
            self.finish()

    def write(self, files: dict[str, str | bytes], mode: int = 0o644) -> None:
        """Write files by their path below the workspace."""
        self.lab.write("nas", {f"{self.place}/{name}": text for name, text in files.items()}, mode)

    def add_code(self, size_bytes: int) -> None:
        """Let the code be so large, and none of it shrink."""
        self.write({f"projects/{self.name}/bin/data": os.urandom(size_bytes)})

    def finish(self, number: int = 0) -> None:
        """Let the training of a run end."""
        self.lab.write(self.trains_on, {f"side/{self.name}/run_{number}/finish": ""})

    def words(self, *words: str) -> list[str]:
        """Return the command that runs `nasexp WORDS` in the workspace."""
        return [sys.executable, "-m", "nasexp", "--workspace", self.place, *words]

    def call(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `nasexp WORDS` in the workspace to its end."""
        return self.lab.run("nas", self.words(*words), **options)

    def start(self, *words: str, number: int = 0, **options: Any) -> Driver:
        """Start `nasexp run` in the workspace."""
        return Driver(self, number, words, options)

    def run(self, *words: str, **options: Any) -> Driver:
        """Take a run to its end."""
        driver = self.start(*words, **options)
        driver.wait()
        return driver


class Driver:
    """A `nasexp run` that goes on, or went: its words, its files, the truth about it."""

    def __init__(
        self, site: Site, number: int, words: tuple[str, ...], options: dict[str, Any]
    ) -> None:
        self.site, self.number, self.began = site, number, time.time()
        # Beside the hosts: their disks may be full.
        self._file = site.lab.files() / f"{site.place}-{number}.said"
        with self._file.open("wb") as file:
            self.process: HostProcess = site.lab.start(
                "nas", site.words("run", *words), stdout=file, stderr=subprocess.STDOUT, **options
            )

    def __str__(self) -> str:
        lines = [line for line in self.said.splitlines() if not re.search(r"\| +step \d+$", line)]
        return f"{self.site.name}/run_{self.number}:\n" + "\n".join(lines[-60:])

    @property
    def said(self) -> str:
        """All that it printed so far."""
        return self._file.read_text(errors="replace")

    @property
    def paths(self) -> RunPaths:
        """The run's folder on the NAS."""
        results = self.site.root / "projects" / self.site.name / "results"
        return RunPaths(results / f"run_{self.number}")

    @property
    def record(self) -> Record:
        return read_record(self.paths.folder)

    @property
    def side(self) -> Path:
        """Where the training tells the truth, on its host."""
        home = self.site.lab.home(self.site.trains_on)
        return home / "side" / self.site.name / f"run_{self.number}"

    def host_folder(self, workdir: str = ".nasexp") -> Path:
        """The run's folder on the host."""
        return self.site.lab.home(self.site.trains_on) / workdir / "runs" / self.record.id

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the facts of the journal's events of these names."""
        with contextlib.suppress(NasexpError, json.JSONDecodeError):
            found = read_events(self.paths.journal)
            return [{**e.facts, "event": e.name, "time": e.time} for e in found if e.name in names]
        return []

    def steps(self) -> int:
        """Return how far the console came home."""
        with contextlib.suppress(OSError):
            found = re.findall(rb"^step (\d+)$", self.paths.log.read_bytes(), re.MULTILINE)
            return int(found[-1]) if found else 0
        return 0

    def until(self, condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
        """Wait for something while it runs."""

        def held() -> Any:
            found = condition()
            assert found or self.process.poll() is None, f"it ended too early: {self}"
            return found

        return wait_until(held, seconds, lambda: str(self))

    def until_it_says(self, text: str, seconds: float = WAIT_SECONDS) -> None:
        self.until(lambda: text in self.said, seconds)

    def until_it_trains(self) -> None:
        """Wait until the console of the training comes home."""
        self.until(lambda: self.steps() > 1)

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for its end and return its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end: {self}") from None


def files_below(folder: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield names, as bytes, and contents of all files below a folder."""
    root = os.fsencode(folder)
    for place, _, names in os.walk(root):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                yield os.path.relpath(path, root), file.read()
