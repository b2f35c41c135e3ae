"""A byte stream into a file on the host, that goes on by offset after a cut.

The host sums up each piece while the next one arrives. While a program on the host appends, a
mark `NAME.open.NONCE` lies beside the file: after a cut the program may be alive still, with
bytes in its pipes. So where a mark is left, what arrived goes on in a new file, and the old
program keeps one that has no name any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nasexp.connections.bulk.cursor import Cursor
from nasexp.connections.bulk.forms import Forms
from nasexp.connections.bulk.link import ANSWER_SECONDS, CHUNK_SECONDS
from nasexp.connections.bulk.tools import DIGESTERS, patience
from nasexp.connections.bulk.upload_programs import APPEND, ARRIVED, FORGET, SUM
from nasexp.connections.protocol import set_words
from nasexp.errors import ConnectionLost, StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from nasexp.connections.bulk.link import Link

BLOCK_BYTES = 1 << 20

# One stream carries so much at most, in whole blocks: re-keying, a lost last answer, and the
# digest of the last piece then cost little.
PIECE_BYTES = 128 * BLOCK_BYTES

ATTEMPTS = 2

_END = re.compile(rb"\nnasexp-end (\d+) (\d+)\s*\Z")
_SUMMED = re.compile(rb"\nnasexp-sum ([0-9a-f]*)\n")
_OTHER_SIZE = 8


@dataclass(frozen=True, slots=True)
class Source:
    """What is sent: a stream that can be opened again from its beginning.

    Attributes:
        open: makes the context in which its chunks are read.
        size_bytes: of all of it.
    """

    open: Callable[[], AbstractContextManager[Iterator[bytes]]]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stream, from a whole block on, and its digest here."""

    begin: int
    end: int
    sha256: str

    @property
    def words(self) -> tuple[str, str]:
        """Its first block, and how many there are."""
        return str(self.begin // BLOCK_BYTES), str(-(-(self.end - self.begin) // BLOCK_BYTES))


NOTHING = Piece(0, 0, "")


class DamagedError(Exception):
    """A piece has another digest on the host."""


def upload(
    link: Link,
    source: Source,
    path: str,
    *,
    forms: Forms | None = None,
    progress: Callable[[int], None] | None = None,
) -> bool:
    """Send a stream into a file on the host, which is whole and checked when this returns.

    What a call before this one has brought there is not sent again.

    Args:
        link: to the host.
        source: what is sent.
        path: of the file, absolute; its folder is made if need be.
        forms: decides what goes packed; without it nothing does.
        progress: told how many bytes have gone, in place of the link's monitor.

    Returns:
        whether the host could check what arrived.

    Raises:
        StageError: the host's disk is full or cannot be written, or what arrived has twice
            another digest; or the source cannot be read.
        ConnectionLost: there was no progress for as long as the link's patience lasts.
    """

    def tell(done: int) -> None:
        link.monitor.progress(done, source.size_bytes)

    for _ in range(ATTEMPTS):
        sending = Sending(link, source, path, forms or Forms(link), progress or tell)
        try:
            sending.send()
        except DamagedError:
            link.monitor.note(f"{path} arrived damaged; it is sent again")
            sending.forget()
        else:
            return sending.is_checked
    raise StageError(
        f"{path} arrived damaged on host '{link.host}', twice",
        hint="its disk, its memory or the link may be faulty",
    )


class Sending:
    """One upload."""

    def __init__(
        self,
        link: Link,
        source: Source,
        path: str,
        forms: Forms,
        progress: Callable[[int], None],
    ) -> None:
        self._link = link
        self._source = source
        self._path = path
        self._forms = forms
        self._progress = progress
        self._arrived = -1
        self._verified = 0
        self.is_checked = not link.tools().isdisjoint(DIGESTERS)

    def send(self) -> None:
        """Send what the host does not have yet. Raises DamagedError."""
        self._link.keep_trying(self._send_rest)

    def forget(self) -> None:
        """Remove from the host what has arrived."""
        self._link.keep_trying(lambda: self._link.connection.run(FORGET, self._path))

    def _send_rest(self) -> None:
        arrived = self._ask_arrived()
        self._link.answered()
        if arrived > self._source.size_bytes:
            self.forget()
            arrived = 0
        self._note(arrived)
        whole = arrived - arrived % BLOCK_BYTES
        self._verified = min(self._verified, whole)
        with self._source.open() as chunks:
            cursor = Cursor(chunks)
            cursor.skip(self._verified)
            if whole > self._verified:
                self._ask_sum(self._passed(cursor, whole))
            self._ask_sum(self._send_pieces(cursor, arrived))
            if not cursor.is_at_end():
                raise StageError(f"what is sent to {self._path} grew meanwhile")

    def _passed(self, cursor: Cursor, end: int) -> Piece:
        """Return what arrived before this attempt as a piece."""
        digest = hashlib.sha256()
        for part in cursor.take(end - self._verified):
            digest.update(part)
        return Piece(self._verified, end, digest.hexdigest())

    def _send_pieces(self, cursor: Cursor, arrived: int) -> Piece:
        """Send all that is left; return the last piece, which nobody has checked yet."""
        size, begin, before = self._source.size_bytes, self._verified, NOTHING
        digest = hashlib.sha256()
        for part in cursor.take(arrived - begin):
            digest.update(part)
        if not size:  # an empty file is one too
            self._append(iter(()), 0, 0, before)
        while arrived < size:
            end = min(begin + PIECE_BYTES, size)
            chunks = self._told(cursor.take(end - arrived), arrived, digest)
            self._append(chunks, arrived, end, before)
            before, arrived = Piece(begin, end, digest.hexdigest()), end
            begin, digest = end, hashlib.sha256()
            self._note(arrived)
        return before if begin == arrived else Piece(begin, arrived, digest.hexdigest())

    def _append(self, chunks: Iterator[bytes], arrived: int, end: int, before: Piece) -> None:
        """Send one piece while the host sums up the one before."""
        is_packed, ready = self._forms.choose(chunks)
        form = "packed" if is_packed else "plain"
        checked = before if self.is_checked else NOTHING
        mark = secrets.token_hex(8)
        words = set_words([self._path, mark, str(arrived), form, *checked.words])
        program = words.decode(errors="surrogateescape") + APPEND
        answer = self._link.connection.send(program, ready, deadline_seconds=CHUNK_SECONDS)
        said = _END.search(answer.errors)
        if not said or int(said[1]) == _OTHER_SIZE:
            raise ConnectionLost(f"host '{self._link.host}' did not say what arrived")
        status, size = int(said[1]), int(said[2])
        if status:
            complaint = _SUMMED.sub(b"", answer.errors[: said.start()]).decode(errors="replace")
            raise self._refused(complaint.strip().rpartition("\n")[2] or f"exit status {status}")
        if size != end:
            raise ConnectionLost(f"host '{self._link.host}' has {size} bytes of {end}")
        self._compare(answer.errors, checked)

    def _compare(self, said: bytes, piece: Piece) -> None:
        """Hold what the host sums up against a piece. Raises DamagedError."""
        if piece == NOTHING:
            return
        found = _SUMMED.search(said)
        if not found or found[1].decode() != piece.sha256:
            raise DamagedError
        self._verified = piece.end - piece.end % BLOCK_BYTES

    def _told(self, chunks: Iterable[bytes], done: int, digest: hashlib._Hash) -> Iterator[bytes]:
        for chunk in chunks:
            digest.update(chunk)
            yield chunk
            done += len(chunk)
            self._progress(done)

    def _ask_arrived(self) -> int:
        answer = self._link.connection.run(
            ARRIVED, self._path, secrets.token_hex(8), deadline_seconds=ANSWER_SECONDS
        )
        if answer.status:
            raise self._refused(answer.complaint())
        with contextlib.suppress(ValueError):
            return int(answer.text())
        raise StageError(f"host '{self._link.host}' does not say how much of {self._path} it has")

    def _ask_sum(self, piece: Piece) -> None:
        """Let the host sum up a piece now. Raises DamagedError."""
        if piece == NOTHING or not self.is_checked:
            return
        words = (SUM, self._path, *piece.words)
        seconds = patience(piece.end - piece.begin)
        answer = self._link.connection.run(*words, deadline_seconds=seconds)
        self._compare(answer.output, piece)

    def _note(self, arrived: int) -> None:
        if arrived > self._arrived:
            self._arrived = arrived
            self._link.moved()

    def _refused(self, complaint: str) -> StageError:
        folder = self._path.rpartition("/")[0]
        kept = f"; the {self._arrived} bytes that arrived are kept" if self._arrived > 0 else ""
        return StageError(
            f"host '{self._link.host}' could not take {self._path}: {complaint}",
            hint=f"see to the disk of {folder} there (`df -h {folder}`; the file has "
            f"{self._source.size_bytes} bytes), then try again{kept}",
        )
