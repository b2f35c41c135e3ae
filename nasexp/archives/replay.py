"""The tar stream of an archive, once more: as short archives of small files, and large files.

What is handed on are the bytes that were packed. It can be taken up at any member again, so that
whoever was interrupted repeats one piece and not all.
"""

from __future__ import annotations

import hashlib
from collections import deque
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Self

from nasexp.archives.names import shown
from nasexp.archives.pack import open_tar
from nasexp.archives.tarstream import END_BYTES, RECORD_BYTES
from nasexp.archives.tree import RefusedError, safe_path
from nasexp.archives.untar import (
    FILE,
    FOLDER,
    LINK,
    CutShortError,
    DamagedError,
    TarReader,
    as_error,
)
from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path
    from types import TracebackType

    from nasexp.archives.untar import Entry

# Less than that is not handed on by itself, the end of an archive aside.
LEAST_BYTES = 1 << 20


class Replay:
    """The members of an archive, in their order, from wherever one wants.

    Args:
        path: of the archive.
        sha256: of its tar stream; checked where its end is reached.

    Attributes:
        place: where one is.
        batch_sha256: of the batch that was yielded last.

    Places are offsets in the tar stream, each where a member begins. Every method raises
    StageError: the archive is damaged, another one, or has a member that leaves its tree.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self._path = path
        self._sha256 = sha256
        self._links: set[str] = set()
        self._opened = ExitStack()
        self._is_open = False
        self._is_touched = False
        self._entry: Entry | None = None
        self.place = 0
        self.batch_sha256 = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def at(self, place: int) -> Entry | None:
        """Go to a place and return the member there; None at the end of the archive."""
        if not self._is_open or self.place > place or (self._is_touched and self.place == place):
            self._open()
        with _told():
            while self.place < place and self._entry:
                self._advance()
                self._tape.cut(self.place)
        if self.place != place:
            raise StageError(f"no file begins at byte {place} of {shown(str(self._path))}")
        return self._entry

    def content(self, place: int) -> Generator[bytes, None, None]:
        """Yield what is in the file at a place, and be behind it then."""
        self.at(place)
        self._is_touched = True
        with _told():
            for piece in self._reader.pieces():
                self._tape.cut(self._reader.offset)
                yield piece
            self._advance()

    def batch(
        self, place: int, is_last: Callable[[Entry, int], bool]
    ) -> Generator[bytes, None, None]:
        """Yield a tar archive of the members from a place on, and be behind them then.

        Args:
            place: where to begin; the member there is always taken.
            is_last: asked of each further member, with the number of bytes so far: whether the
                archive ends before it.
        """
        self.at(place)
        self._is_touched = True
        # One from the very beginning has the digest of the stream so far.
        digest = hashlib.sha256() if place else self._tape.digest
        with _told():
            for part in self._batch_parts(place, is_last):
                if place:
                    digest.update(part)
                yield part
        end = end_of_archive(self.place - place)
        digest = digest.copy()
        digest.update(end)
        self.batch_sha256 = digest.hexdigest()
        yield end

    def _batch_parts(self, place: int, is_last: Callable[[Entry, int], bool]) -> Iterator[bytes]:
        self._tape.cut(place)
        while self._entry and (self.place == place or not self._ends(place, is_last)):
            if self._entry.size_bytes > LEAST_BYTES:
                for _ in self._reader.pieces():
                    yield from self._tape.cut(self._reader.offset)
            self._advance()
            if self.place - self._tape.start >= LEAST_BYTES:
                yield from self._tape.cut(self.place)
        yield from self._tape.cut(self.place)

    def _ends(self, place: int, is_last: Callable[[Entry, int], bool]) -> bool:
        return self._entry is None or is_last(self._entry, self.place - place)

    def _open(self) -> None:
        self._opened.close()
        self._is_open = True
        self._links = set()
        chunks = self._opened.enter_context(open_tar(self._path))
        self._tape = _Tape(chunks)
        self._reader = TarReader(self._tape)
        with _told():
            self._advance()

    def _advance(self) -> None:
        """Go to the next member."""
        self._reader.skip()
        self.place = self._reader.offset
        self._is_touched = False
        self._entry = self._reader.next()
        if self._entry:
            self._check(self._entry)
        elif self._tape.whole_sha256() != self._sha256:
            raise StageError(
                f"{shown(str(self._path))} is not what was packed for this run",
                hint="was it replaced? run the project again",
            )

    def _check(self, entry: Entry) -> None:
        """Refuse what would lie outside: the archives of one stream know nothing of each other."""
        try:
            if entry.kind not in (FILE, FOLDER, LINK):
                raise RefusedError("neither a file nor a folder nor a link")
            path = safe_path(entry.name)
            if self._links:
                self._check_parents(path)
        except RefusedError as error:
            raise StageError(f"{shown(entry.name)} is refused: {error}") from error
        if entry.kind == LINK:
            self._links.add(path)

    def _check_parents(self, path: str) -> None:
        end = len(path)
        while end > 0:
            if path[:end] in self._links:
                raise RefusedError(f"{shown(path[:end])} is a link of this archive")
            end = path.rfind("/", 0, end)


def end_of_archive(size_bytes: int) -> bytes:
    """Return what ends a tar archive of so many bytes: two empty records, and a whole block."""
    return bytes(2 * RECORD_BYTES + -(size_bytes + 2 * RECORD_BYTES) % END_BYTES)


class _Tape:
    """Hands chunks to a reader and keeps them until they are cut off.

    Attributes:
        start: the offset of what is held.
        digest: of all that was cut off.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held: deque[bytes] = deque()
        self._at = 0
        self.start = 0
        self.digest = hashlib.sha256()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._held.append(chunk)
        return chunk

    def whole_sha256(self) -> str:
        """Read to the end; return the digest of all, what is still held included."""
        digest, skipped = self.digest.copy(), self._at
        for chunk in chain(self._held, self._chunks):
            digest.update(memoryview(chunk)[skipped:])
            skipped = 0
        return digest.hexdigest()

    def cut(self, end: int) -> list[bytes]:
        """Return what is held before an offset, which is not held any more then."""
        parts = []
        while self.start < end:
            chunk = self._held[0]
            part = chunk[self._at : self._at + end - self.start]
            self._at += len(part)
            if self._at == len(chunk):
                self._held.popleft()
                self._at = 0
            parts.append(part)
            self.digest.update(part)
            self.start += len(part)
        return parts


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (CutShortError, DamagedError) as error:
        raise as_error(error) from error
