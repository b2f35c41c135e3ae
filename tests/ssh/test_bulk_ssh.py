"""Bulk copies over both carriers: the sessions are killed in the middle, nothing is lost."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass

import pytest

from nasexp.connections.bulk import download
from nasexp.connections.bulk.download import Download
from nasexp.connections.bulk.link import Link
from nasexp.connections.bulk.redial import Clock
from nasexp.connections.bulk.upload import Source, upload
from nasexp.testing import QuietMonitor

MIB = 1 << 20
SIZE = 24 * MIB
IMPATIENT = Clock(dice=lambda: 0.0)


class KillingMonitor(QuietMonitor):
    """Kills all sessions of the server when a copy has come so far, each time once."""

    def __init__(self, sshd, *places):
        super().__init__()
        self.sshd, self.places = sshd, list(places)

    def progress(self, done_bytes, total_bytes):
        if self.places and done_bytes > self.places[0]:
            self.places.pop(0)
            self.sshd.kill_sessions()


@dataclass(frozen=True)
class Facts:
    size_bytes: int
    is_sparse: bool = False
    version: bytes = b"1"


def link_of(connection, monitor):
    return Link(connection, monitor, clock=IMPATIENT)


def test_an_upload_goes_on_behind_killed_sessions(connect, sshd, via, tmp_path):
    data = os.urandom(SIZE)
    monitor = KillingMonitor(sshd, 5 * MIB, 15 * MIB)

    @contextlib.contextmanager
    def opened():
        yield (data[at : at + MIB] for at in range(0, SIZE, MIB))

    link = link_of(connect(via=via), monitor)

    assert upload(link, Source(opened, SIZE), f"{tmp_path}/up/x")

    assert (tmp_path / "up/x").read_bytes() == data
    assert [entry.name for entry in (tmp_path / "up").iterdir()] == ["x"]
    assert len(monitor.notes) == 4


@pytest.mark.parametrize("limit", [32 * MIB, MIB])
def test_a_download_goes_on_behind_killed_sessions(
    connect, sshd, via, tmp_path, monkeypatch, limit
):
    monkeypatch.setattr(download, "LARGE_BYTES", limit)
    (tmp_path / "host").mkdir()
    files = {}
    for number in range(12):
        content = os.urandom(SIZE // 12)
        (tmp_path / f"host/{number}").write_bytes(content)
        files[b"%d" % number] = hashlib.sha256(content).hexdigest()
    facts = dict.fromkeys(files, Facts(SIZE // 12))
    monitor = KillingMonitor(sshd, 5 * MIB, 15 * MIB)
    link = link_of(connect(via=via), monitor)

    came = Download(link, f"{tmp_path}/host", tmp_path / "in", facts).fetch(files)

    assert came.digests == files
    assert (came.changed, came.unreadable) == ([], [])
    assert not monitor.places
