"""Bulk copies through nasexp's own code against `tar | tar` over the same way to the host.

Trees of 10,000 files of 4 KiB and one file of 1 GiB, up and down, all in memory where there is
a /dev/shm. The peer makes one digest in the same pass (`tee >(openssl dgst -sha256)`), but
compares nothing and does not wait for the disk; nasexp makes digests on both sides. The backup
pass asks besides what there is, twice; its bars are its own. From the top of the repository:

    python -m benchmarks.bulk
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from benchmarks._compare import Case, Measured, compare, exit_code, parser
from nasexp.archives.pack import pack
from nasexp.backup.copying import copy_home
from nasexp.config.settings import Host, HostSettings
from nasexp.connections.bulk.download import Download
from nasexp.connections.bulk.link import Link
from nasexp.connections.bulk.upload import Source, upload
from nasexp.connections.dialing import connect_host
from nasexp.connections.local import connect_local
from nasexp.runs.paths import RunPaths
from nasexp.stages.transfer import nasexp_transfer
from nasexp.testing.fakes import QuietMonitor
from nasexp.testing.ssh_server import Sshd
from nasexp.values import Archive, Workdir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nasexp.connections.protocol import Connection

SMALL_FILES, SMALL_BYTES = 10_000, 4096
LARGE_BYTES, MIB = 1 << 30, 1 << 20
COMMANDS = 200


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a host.

    Attributes:
        name: as in the titles.
        connect: opens nasexp's connection.
        shell: what runs one sh text on the host, for the peer: its words, then the text.
        bars: the largest good ratios, by the kind of a tree, for a copy and for a backup pass.
    """

    name: str
    connect: Callable[[], Connection]
    shell: Sequence[str]
    bars: dict[str, float]


BARS = {
    "local": {"small": 3.0, "large": 2.0, "small pass": 4.0, "large pass": 2.0},
    "openssh": {"small": 1.3, "large": 1.25, "small pass": 2.5, "large pass": 1.5},
    "paramiko": {"small": 1.6, "large": 2.5, "small pass": 3.0, "large pass": 2.5},
}
FAST_CIPHER = "aes128-gcm@openssh.com"


@contextlib.contextmanager
def ways(folder: Path, wanted: Sequence[str]) -> Iterator[Iterator[Way]]:
    """Open the ways to a host that are measured: this machine, and itself by both carriers."""
    with contextlib.ExitStack() as stack:
        yield (_way(name, folder, stack) for name in wanted)


def _way(name: str, folder: Path, stack: contextlib.ExitStack) -> Way:
    if name == "local":
        return Way(name, lambda: connect_local("local"), ["sh", "-c"], BARS[name])
    sshd = stack.enter_context(Sshd(folder / f"sshd-{name}"))
    (folder / "known_hosts").write_text(sshd.host_key_line + "\n")
    settings = HostSettings(
        address=sshd.address, port=sshd.port, identity=str(sshd.identity), via=cast("Any", name)
    )
    # The peer logs in once too: what is compared is the copy.
    master = ["-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/{name}.ctl"]
    command = [*sshd.ssh_command(), "true"]
    command[1:1] = [*master, "-o", "ControlPersist=600", "-c", FAST_CIPHER]
    subprocess.run(command, check=True)
    stop = [command[0], *master, "-O", "exit", "-p", str(sshd.port), sshd.address]
    stack.callback(subprocess.run, stop, check=True, stderr=subprocess.DEVNULL)
    host = Host(name, settings)
    return Way(
        name, lambda: connect_host(host, folder, lambda _prompt: None), command[:-1], BARS[name]
    )


def main() -> int:
    arguments = _arguments()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    results: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="nasexp-benchmark-", dir=memory) as name:
        folder = Path(name)
        make_small(folder / "small" / "bin")
        make_large(folder / "large" / "bin")
        with ways(folder, arguments.ways.split(",")) as opened:
            for way in opened:
                results += measure(folder, way, arguments.rounds)
    if arguments.stream_gib:
        measure_memory(arguments.stream_gib)
    return exit_code(results, check=arguments.check)


def measure(folder: Path, way: Way, rounds: int) -> list[Measured]:
    """Measure all of it over one way."""
    results: list[Measured] = []
    with contextlib.closing(way.connect()) as connection:
        bench = Bench(folder, way, connection)
        for kind, about in (("small", "10,000 x 4 KiB"), ("large", "1 GiB")):
            results += bench.up(kind, about, rounds)
            results += bench.down(kind, about, rounds)
        return results + bench.commands(rounds)


def _arguments() -> Any:
    made = parser(__doc__, rounds=3)
    made.add_argument("--ways", default="local,openssh,paramiko", help="comma-joined; default: all")
    made.add_argument(
        "--stream-gib", type=int, default=0, help="measure the memory of so long a stream, too"
    )
    return made.parse_args()


class Bench:
    """The comparisons over one way."""

    def __init__(self, folder: Path, way: Way, connection: Connection) -> None:
        self._folder = folder
        self._way = way
        self._connection = connection

    def up(self, kind: str, about: str, rounds: int) -> list[Measured]:
        """Send a tree: packed before, as the stage before has done it, and unpacked there."""
        root = self._folder / kind
        there = self._folder / "there"
        archive = root / "bin.tar.gz"
        packed = pack(root / "bin", archive)
        value = Archive(archive, packed.sha256, packed.size_bytes)

        def ours() -> None:
            _remove(there)
            nasexp_transfer(self._run(there), self._connection, value)

        unpack = f"rm -rf {there} && mkdir {there} && tar -C {there} -xf - && cat"
        peer = _pipe(f"tar -C {root} -b 256 -cf - bin", _on(self._way, unpack))
        return self._compare(f"{about} up", peer, [("nasexp transfer", kind, ours)], rounds)

    def down(self, kind: str, about: str, rounds: int) -> list[Measured]:
        """Fetch a tree: as it is, and as a backup pass does, which lists and looks again."""
        root = self._folder / kind
        home = self._folder / "home"
        facts = _facts(root / "bin")

        def plain() -> None:
            _remove(home)
            link = Link(self._connection, QuietMonitor())
            Download(link, str(root / "bin"), home, facts).fetch(facts)

        def backup() -> None:
            _remove(home)
            home.mkdir()
            workdir = cast("Workdir", SimpleNamespace(work=str(root)))
            copy_home(self._run(home), self._connection, workdir)

        peer = _pipe(
            _on(self._way, f"tar -C {root} -b 256 -cf - bin"),
            f"(rm -rf {home} && mkdir {home} && tar -C {home} -xf - && cat)",
        )
        cases = [("nasexp download", kind, plain), ("nasexp backup pass", f"{kind} pass", backup)]
        return self._compare(f"{about} down", peer, cases, rounds)

    def commands(self, rounds: int) -> list[Measured]:
        """Ask many small questions; the peer starts a program here for each."""

        def ours() -> None:
            for _ in range(COMMANDS):
                self._connection.run("true")

        def peer() -> None:
            for _ in range(COMMANDS):
                subprocess.run([*self._way.shell, "true"], check=True)

        cases = [Case("one program each", peer), Case("nasexp run", ours, 1.0)]
        return compare(f"{self._way.name}: {COMMANDS} commands", cases[0].name, cases, rounds)

    def _compare(
        self, title: str, peer: str, ours: list[tuple[str, str, Callable[[], None]]], rounds: int
    ) -> list[Measured]:
        cases = [Case("tar | tar, digest", ["bash", "-c", peer])]
        cases += [Case(told, function, self._way.bars[bar]) for told, bar, function in ours]
        return compare(f"{self._way.name}: {title}", cases[0].name, cases, rounds)

    def _run(self, folder: Path) -> Any:
        """Return as much of a run as the stages ask for here."""
        settings = SimpleNamespace(
            core=SimpleNamespace(output="bin"),
            host=SimpleNamespace(settings=SimpleNamespace(workdir=str(folder))),
        )
        return SimpleNamespace(
            id="0" * 32,
            address="p/run_0",
            paths=RunPaths(folder),
            settings=settings,
            journal=SimpleNamespace(last=lambda _event: None, write=lambda *_, **__: None),
            monitor=QuietMonitor(),
        )


def _remove(folder: Path) -> None:
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def _pipe(first: str, second: str) -> str:
    digest = "tee >(openssl dgst -sha256 >/dev/null)"
    return f"set -o pipefail; {first} | {digest} | {second}"


def _on(way: Way, text: str) -> str:
    return " ".join([*way.shell, f"'{text}'"])


@dataclass(frozen=True, slots=True)
class Facts:
    """What `Download` asks of a manifest."""

    size_bytes: int
    is_sparse: bool = False
    version: bytes = b""


def _facts(root: Path) -> dict[bytes, Facts]:
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {os.fsencode(x.relative_to(root)): Facts(x.stat().st_size) for x in paths}


def make_small(folder: Path) -> None:
    """Write many files of random bytes."""
    for number in range(SMALL_FILES):
        parent = folder / f"part_{number % 100}"
        if number < 100:
            parent.mkdir(parents=True)
        (parent / f"file_{number}").write_bytes(os.urandom(SMALL_BYTES))


def make_large(folder: Path) -> None:
    """Write one file of random bytes."""
    folder.mkdir(parents=True)
    with (folder / "model").open("wb") as file:
        for _ in range(LARGE_BYTES // MIB):
            file.write(os.urandom(MIB))


def measure_memory(gibibytes: int) -> None:
    """Send a long stream that is made on the way, in a process of its own; print its peak."""
    with tempfile.TemporaryDirectory(prefix="nasexp-benchmark-") as name:
        command = [sys.executable, "-c", _STREAM, str(gibibytes), name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(f"\n{gibibytes} GiB as a stream: {done.stdout.strip()}")


_STREAM = "import sys; from benchmarks.bulk import stream; stream(int(sys.argv[1]), sys.argv[2])"


def stream(gibibytes: int, folder: str) -> None:
    """Send a stream of so many GiB and print the peak of this process's memory."""
    block = os.urandom(MIB)

    @contextlib.contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        yield (block for _ in range(gibibytes * 1024))

    with contextlib.closing(connect_local("local")) as connection:
        link = Link(connection, QuietMonitor())
        before = _peak_kib()
        upload(link, Source(opened, gibibytes << 30), f"{folder}/stream")
    print(f"peak {_peak_kib() >> 10} MiB, {(_peak_kib() - before) >> 10} MiB above the start")


def _peak_kib() -> int:
    # What getrusage says of a new process may be the peak of whoever started it.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    raise SystemExit(main())
