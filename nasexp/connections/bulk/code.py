"""The code of a run to the host, unpacked there as it arrives: nothing is written twice.

Small files go as tar archives of a bounded size into a folder beside `work`, a large one goes by
itself and by offset. The host keeps how far it is, so that any driver can go on. Once all is
there and checked, the folder gets its name, and last of all `ready` is made.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nasexp.archives.ahead import ahead
from nasexp.archives.replay import Replay
from nasexp.archives.tarstream import FIXED_MTIME
from nasexp.archives.tree import safe_path
from nasexp.archives.untar import FILE
from nasexp.connections.bulk.code_programs import (
    BATCH,
    BEGIN,
    FINISH,
    KEEP,
    MAKE_ROOM,
    NOT_MY_TURN,
    PLACE,
    PYTHON_UNTAR,
    WRITER,
)
from nasexp.connections.bulk.forms import Forms
from nasexp.connections.bulk.link import ANSWER_SECONDS, CHUNK_SECONDS
from nasexp.connections.bulk.tools import DIGESTERS, GNU_TAR, PYTHON, TAR, TEE
from nasexp.connections.bulk.upload import ATTEMPTS, DamagedError, Source, upload
from nasexp.connections.protocol import set_words
from nasexp.errors import ConnectionLost, StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nasexp.archives.untar import Entry
    from nasexp.connections.bulk.link import Link
    from nasexp.connections.protocol import Answer
    from nasexp.values import Archive

LARGE_BYTES = 32 << 20

# A cut repeats one batch. Where links are cut often they get smaller.
MOST_BATCH_BYTES, LEAST_BATCH_BYTES = 64 << 20, 1 << 20
MOST_BATCH_SECONDS = 20.0

FINISH_SECONDS = 3600.0

# As the archive has it for every file and folder.
MTIME = time.strftime("%Y%m%d%H%M.%S", time.gmtime(FIXED_MTIME))

_END = re.compile(rb"\nnasexp-end (\d+)\n")
_SUMMED = re.compile(rb"\nnasexp-sum ([0-9a-f]*)\n")


def upload_code(link: Link, archive: Archive, folder: str, name: str) -> bool:
    """Bring what an archive holds into `folder/work` on the host, whole or not at all.

    What a call before this one has brought to the host is not sent again.

    Args:
        link: to the host.
        archive: what is sent.
        folder: of the run on the host, absolute; made if need be.
        name: of a link to it, for people.

    Returns:
        whether the host could check what arrived.

    Raises:
        StageError: the host's disk is full or cannot be written, or what arrived has twice
            another digest; or the archive is damaged.
        ConnectionLost: there was no progress for as long as the link's patience lasts.
    """
    with Replay(archive.path, archive.sha256) as replay:
        sending = _CodeUpload(link, archive, folder, replay)
        while not (link.keep_trying(sending.step) and sending.finish(name)):
            pass
    return sending.is_checked


class _CodeUpload:
    def __init__(self, link: Link, archive: Archive, folder: str, replay: Replay) -> None:
        self._link = link
        self._archive = archive
        self._folder = folder
        self._replay = replay
        packed_bytes = archive.path.stat().st_size
        self._forms = Forms(link, packed_bytes / max(1, archive.size_bytes))
        self._most_bytes = MOST_BATCH_BYTES
        self._nonce = ""
        self._place = 0
        self._pieces = 0
        self._damages = 0
        self.is_checked = TEE in link.tools() and not link.tools().isdisjoint(DIGESTERS)

    def step(self) -> bool:
        """Send what comes next; say whether that was all."""
        if not self._nonce:
            self._begin()
        try:
            entry = self._replay.at(self._place)
            if entry is None:
                return True
            if self._is_large(entry):
                self._send_large(entry)
            else:
                self._send_batch()
        except ConnectionLost:
            self._nonce = ""
            raise
        except DamagedError as error:
            self._send_again(error)
        except StageError:
            with suppress(ConnectionLost):
                self._link.connection.run(MAKE_ROOM, self._folder)
            raise
        else:
            self._place = self._replay.place
            self._pieces += 1
            self._damages = 0
            self._link.moved()
        return False

    def finish(self, name: str) -> bool:
        """Let the code appear; False where the host was started anew meanwhile."""
        mtime = MTIME if self._pieces > 1 else ""
        answer = self._link.keep_trying(lambda: self._run(FINISH, name, mtime))
        if answer.status == NOT_MY_TURN:
            self._nonce = ""
        elif answer.status:
            raise self._refused(answer.errors)
        return not answer.status

    def _begin(self) -> None:
        nonce = secrets.token_hex(8)
        words = (self._folder, self._archive.sha256, nonce)
        answer = self._link.connection.run(BEGIN, *words, deadline_seconds=ANSWER_SECONDS)
        if answer.status == NOT_MY_TURN:
            raise ConnectionLost(f"host '{self._link.host}' still writes what came before")
        text = answer.text()
        if answer.status or not text.isdecimal():
            raise self._refused(answer.errors)
        self._link.answered()
        self._nonce, self._place = nonce, int(text)
        self._pieces += self._place > 0

    def _is_large(self, entry: Entry) -> bool:
        return entry.kind == FILE and entry.size_bytes > min(LARGE_BYTES, self._most_bytes)

    def _send_again(self, error: DamagedError) -> None:
        self._damages += 1
        if self._damages == ATTEMPTS:
            raise StageError(
                f"the code arrived damaged on host '{self._link.host}', twice",
                hint="its disk, its memory or the link may be faulty",
            ) from error
        self._link.monitor.note("some of the code arrived damaged; it is sent again")

    def _send_batch(self) -> None:
        """Send the next small files. Raises DamagedError."""
        try:
            self._try_batch()
        except ConnectionLost:
            self._most_bytes = max(LEAST_BATCH_BYTES, self._most_bytes // 4)
            raise
        self._most_bytes = min(MOST_BATCH_BYTES, self._most_bytes * 2)

    def _try_batch(self) -> None:
        batch = self._replay.batch(self._place, self._batch_ends(self._link.clock.now()))
        answer = self._send(self._told(batch))
        end, summed = _END.search(answer.errors), _SUMMED.search(answer.errors)
        if not end or not summed or int(end[1]) == NOT_MY_TURN:
            raise ConnectionLost(f"host '{self._link.host}' did not say what arrived")
        if int(end[1]):
            raise self._refused(_SUMMED.sub(b"", answer.errors[: end.start()]))
        if self.is_checked and summed[1].decode() != self._replay.batch_sha256:
            raise DamagedError
        self._keep(self._run(KEEP, str(self._replay.place)))

    def _send(self, chunks: Iterator[bytes]) -> Answer:
        is_packed, ready = self._forms.choose(chunks)
        form = "packed" if is_packed else "plain"
        checked = "checked" if self.is_checked else "unchecked"
        words = set_words([*self._words, form, checked, WRITER, *self._unpacker()])
        program = words.decode(errors="surrogateescape") + BATCH
        return self._link.connection.send(program, ready, deadline_seconds=CHUNK_SECONDS)

    def _batch_ends(self, began: float) -> Callable[[Entry, int], bool]:
        def ends(entry: Entry, size_bytes: int) -> bool:
            return (
                self._is_large(entry)
                or size_bytes + entry.size_bytes > self._most_bytes
                or self._link.clock.now() - began > MOST_BATCH_SECONDS
            )

        return ends

    def _unpacker(self) -> list[str]:
        tools = self._link.tools()
        if TAR in tools:
            large_reads = ["-b", "256"] if GNU_TAR in tools else []
            return ["tar", *large_reads, "-xf", "-", "-C", "unpack"]
        if PYTHON in tools:
            return ["python3", "-W", "ignore", "-c", PYTHON_UNTAR]
        raise StageError(
            f"host '{self._link.host}' has neither tar nor python3: nothing can be unpacked there",
            hint="install one of them there",
        )

    def _told(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        done = self._place
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            self._progress(done)

    def _send_large(self, entry: Entry) -> None:
        """Send one large file, by offset, and put it in its place."""
        place = self._place
        there = f"large-{place}"

        @contextmanager
        def opened() -> Iterator[Iterator[bytes]]:
            # One thread reads, this one sums up and sends: each waits for something but Python.
            with ahead(self._replay.content(place)) as chunks:
                yield chunks

        self.is_checked &= upload(
            self._link,
            Source(opened, entry.size_bytes),
            f"{self._folder}/{there}",
            forms=self._forms,
            progress=lambda done: self._progress(place + done),
        )
        mode = "755" if entry.mode & 0o100 else "644"
        words = (str(self._replay.place), there, safe_path(entry.name), mode, MTIME)
        self._keep(self._run(PLACE, *words))

    @property
    def _words(self) -> tuple[str, str, str]:
        return self._folder, self._archive.sha256, self._nonce

    def _run(self, program: str, *words: str) -> Answer:
        return self._link.connection.run(
            program, *self._words, *words, deadline_seconds=FINISH_SECONDS
        )

    def _keep(self, answer: Answer) -> None:
        if answer.status == NOT_MY_TURN:
            raise ConnectionLost(f"host '{self._link.host}' was taken over or started anew")
        if answer.status:
            raise self._refused(answer.errors)

    def _progress(self, done: int) -> None:
        total = self._archive.size_bytes
        self._link.monitor.progress(min(done, total), total)

    def _refused(self, said: bytes) -> StageError:
        return StageError(
            f"host '{self._link.host}' cannot unpack: {_reason(said)}",
            hint=f"the code needs its {self._archive.size_bytes} bytes in {self._folder}; what "
            "arrived is kept",
        )


def _reason(said: bytes) -> str:
    """Return what was said of a full disk, else the first that was said: the rest follows of it."""
    lines = said.decode(errors="replace").strip().splitlines()
    full = (line for line in lines if "No space" in line or "quota" in line)
    return next(full, lines[0] if lines else "it does not say why")
