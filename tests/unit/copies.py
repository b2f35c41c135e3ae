"""What tests of bulk copies have in common: links that break, hosts of every kind, odd names."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from nasexp.connections.bulk.link import Link
from nasexp.connections.bulk.redial import Clock
from nasexp.connections.local import job_environment
from nasexp.connections.process import ProcessStream
from nasexp.errors import ConnectionLost
from nasexp.testing import QuietMonitor

MIB = 1 << 20
SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "--posix"],
    "busybox": ["busybox", "sh"],
    "zsh": ["zsh", "--emulate", "sh"],
}
BUSYBOX_TOOLS = (
    "cat dd find grep gzip ln ls mkdir mv printf readlink rm sh sha256sum stat tar wc xargs"
)

ODD_NAMES = [
    b"-rf",
    b"--checkpoint-action=exec=sh x",
    b"new\nline",
    b"carriage\rreturn",
    b"tab\tand space ",
    b"quote'\"`$(x)",
    b"back\\slash",
    b"back\\101slash",
    b"invalid\xff\xfeutf8",
    "schön-漢字-🎉".encode(),
    b"n" * 255,
    b"*",
    b"~",
    b"deep/" + b"d" * 200 + b"/" + b"e" * 200,
]


class FakeClock:
    """Time that passes only where somebody sleeps."""

    def __init__(self):
        self.at = 1000.0
        self.slept = []

    def clock(self):
        return Clock(lambda: self.at, self.sleep, lambda: 1.0)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.at += seconds


class CutConnection:
    """A connection that is cut after so many bytes of a stream, once for each number given.

    Abruptly: the stream is closed and its shell killed. Quietly: the program on the host reads
    the end of its input and ends by itself, as behind a sshd that notices; we hear nothing of it.
    """

    def __init__(self, inner, cuts=(), quietly=False, refusals=0):
        self.inner, self.cuts, self.quietly = inner, list(cuts), quietly
        self.refusals = refusals
        self.is_cut = False
        self.carried = 0
        self.name = inner.name
        self.programs = []

    def run(self, program, *words, **options):
        self._refuse()
        self.programs.append(program)
        return self.inner.run(program, *words, **options)

    def send(self, program, chunks, **options):
        self._refuse()
        if not self.quietly:
            return self.inner.send(program, self._until_cut(chunks), **options)
        fuse = []
        answer = self.inner.send(program, self._until_cut(chunks, fuse), **options)
        if fuse:
            raise ConnectionLost("cut")
        return answer

    def receive(self, program, *words, **options):
        self._refuse()
        yield from self._until_cut(self.inner.receive(program, *words, **options))

    def _refuse(self):
        """Once cut, be away for so many calls."""
        if self.is_cut and self.refusals:
            self.refusals -= 1
            raise ConnectionLost("no route to host")

    def _until_cut(self, chunks, fuse=None):
        left = self.cuts.pop(0) if self.cuts else 1 << 62
        for chunk in chunks:
            part = chunk[:left]
            self.carried += len(part)
            left -= len(part)
            if part:
                yield part
            if not left:
                self.is_cut = True
                if fuse is not None:
                    fuse.append(1)
                    return
                raise ConnectionLost("cut")

    def close(self):
        self.inner.close()


class Carrier:
    """Runs a shell of one's choice, with programs of one's choice, maybe as another user."""

    via = "local"

    def __init__(self, command, path=None):
        self.command, self.path = [shutil.which(command[0]), *command[1:]], path

    def open(self):
        environment = job_environment()
        if self.path:
            environment["PATH"] = str(self.path)
        return ProcessStream([*self.command, "-s"], environment, "/", "this machine")

    def explain(self, stream, said):
        return ConnectionLost(f"no shell: {stream.complaints()}")

    def close(self):
        pass


class Monitor(QuietMonitor):
    def __init__(self):
        super().__init__()
        self.steps = []

    def progress(self, done_bytes, total_bytes):
        self.steps.append((done_bytes, total_bytes))


def link_to(connection, monitor=None, **options):
    clock = options.pop("clock", None) or FakeClock().clock()
    return Link(connection, monitor or QuietMonitor(), clock=clock, **options)


@dataclass(frozen=True)
class Facts:
    size_bytes: int
    is_sparse: bool = False
    version: bytes = b"1"


def make_files(root, files):
    made = {}
    for path, content in files.items():
        place = os.path.join(os.fsencode(root), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(content)
        made[path] = Facts(len(content))
    return made
