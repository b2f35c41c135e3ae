"""A strict reader of tar streams: ustar, GNU's long names, pax names and sizes.

tarfile reads more forms, forgives more, and takes three times as long on small files. Whatever
is not read here is refused: a header that makes no sense is damage, never the end.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple
from zlib import adler32

from nasexp.archives.names import shown
from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD_BYTES = 512
PIECE_BYTES = 1 << 20

# What is read into memory before a member is shown: long names and pax fields.
LARGEST_EXTRA_HEADER = 1 << 20

FILE, HARD_LINK, LINK, FOLDER = b"0", b"1", b"2", b"5"
OLD_FILES = (b"\0", b"7")
LONG_NAME, LONG_TARGET, PAX, PAX_FOR_ALL = b"L", b"K", b"x", b"g"
EXTRA_HEADERS = (LONG_NAME, LONG_TARGET, PAX, PAX_FOR_ALL)

USTAR = b"ustar\x00"

# Of pax's fields these say what a member is; the others tell times, owners and comments.
TELLING = (b"path", b"linkpath", b"size")

_NO_RECORD = bytes(RECORD_BYTES)
_SPACES_SUM = 8 * 0x20
_LARGEST_SUM = RECORD_BYTES * 0xFF + 1
_ADLER_BASE = 65521

# Mode, size and check sum of a plain file without a long name, as nearly all members are.
_PLAIN_FILE = re.compile(
    rb"([0-7]{7})\0[0-7]{7}\0[0-7]{7}\0([0-7]{11})\0[0-7]{11}\0([0-7]{6})\0 0\0{100}ustar  \0"
)


class CutShortError(Exception):
    """The stream ended in the middle of the archive."""


class DamagedError(Exception):
    """A header makes no sense; the text says why."""


class Entry(NamedTuple):
    """One member, by its header. `size_bytes` is that of the content that follows.

    `name` and `target` are what the archive says, unchecked; any bytes by surrogateescape.
    """

    name: str
    kind: bytes
    size_bytes: int
    mode: int
    target: str


class TarReader:
    """Reads the members of a tar stream, one after the other.

    Args:
        chunks: the stream, in chunks of any size; an empty one ends it.

    Every method raises CutShortError and DamagedError.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._data = b""
        self._before = 0
        self._at = 0
        self._left = 0
        self._padding = 0

    @property
    def offset(self) -> int:
        """How much of the stream was read so far."""
        return self._before + self._at

    def next(self) -> Entry | None:
        """Return the next member, past what was not read of the last; None at the end."""
        self.skip()
        more: dict[bytes, bytes] = {}
        while True:
            header = self._take(RECORD_BYTES)
            if header == _NO_RECORD:
                if more:
                    raise DamagedError("a long name without a member")
                return None
            plain = None if more else _PLAIN_FILE.match(header, 100)
            if plain and _has_sum(header, int(plain[3], 8)):
                return self._plain_file(header, int(plain[1], 8), int(plain[2], 8))
            _check_sum(header)
            kind, size = header[156:157], number(header[124:136])
            if kind not in EXTRA_HEADERS:
                return self._entry(header, kind, size, more)
            self._take_extra(kind, size, more)

    def skip(self) -> None:
        """Pass over what was not read of the member that `next` returned last."""
        end = self._at + self._left + self._padding
        if end <= len(self._data):
            self._at = end
            self._left = self._padding = 0
            return
        for _ in self.pieces():
            pass

    def pieces(self) -> Iterator[bytes]:
        """Yield what is left of the content of the member that `next` returned last."""
        while self._left:
            piece = self._some(min(self._left, PIECE_BYTES))
            self._left -= len(piece)
            yield piece
        if self._padding:
            padding, self._padding = self._padding, 0
            self._take(padding)

    def content(self, size_bytes: int) -> bytes | None:
        """Return all of the member's content if it is at hand; None where it comes in pieces."""
        end = self._at + size_bytes
        if size_bytes != self._left or end + self._padding > len(self._data):
            return None
        whole = self._data[self._at : end]
        self._at = end + self._padding
        self._left = self._padding = 0
        return whole

    def drain(self) -> None:
        """Read what lies behind the end of the archive: a peer may wait for that."""
        for _ in self._chunks:
            pass

    def _entry(self, header: bytes, kind: bytes, size: int, more: dict[bytes, bytes]) -> Entry:
        name = more.get(b"path") or _name_of(header)
        target = more.get(b"linkpath") or _text(header[157:257])
        if b"size" in more:
            size = decimal(more[b"size"])
        if size < 0:
            raise DamagedError(f"a header of {size} bytes")
        if kind in OLD_FILES:
            # Before ustar a folder was a file whose name ends in a slash.
            kind = FOLDER if kind == b"\0" and name.endswith(b"/") else FILE
        self._left = 0 if kind in (FOLDER, LINK, HARD_LINK) else size
        self._padding = -self._left % RECORD_BYTES
        mode = number(header[100:108])
        return Entry(os.fsdecode(name), kind, self._left, mode, os.fsdecode(target))

    def _plain_file(self, header: bytes, mode: int, size: int) -> Entry:
        self._left, self._padding = size, -size % RECORD_BYTES
        return Entry(os.fsdecode(_text(header[:100])), FILE, size, mode, "")

    def _take_extra(self, kind: bytes, size: int, more: dict[bytes, bytes]) -> None:
        if not 0 <= size <= LARGEST_EXTRA_HEADER:
            raise DamagedError(f"a header of {size} bytes")
        data = self._take(size + -size % RECORD_BYTES)[:size]
        if kind in (PAX, PAX_FOR_ALL):
            found = pax_fields(data)
        else:
            found = {b"path" if kind == LONG_NAME else b"linkpath": _text(data)}
        if kind == PAX_FOR_ALL and found:
            raise DamagedError("a name or size for all members")
        if not more.keys().isdisjoint(found):
            raise DamagedError("two long names for one member")
        more |= found

    def _take(self, count: int) -> bytes:
        end = self._at + count
        while end > len(self._data):
            chunk = next(self._chunks, b"")
            if not chunk:
                raise CutShortError
            self._before += self._at
            self._data = self._data[self._at :] + chunk
            self._at, end = 0, count
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _some(self, most: int) -> bytes:
        if self._at == len(self._data):
            self._before += self._at
            self._data, self._at = next(self._chunks, b""), 0
            if not self._data:
                raise CutShortError
        some = self._data[self._at : self._at + most]
        self._at += len(some)
        return some


def number(field: bytes) -> int:
    """Read a number of a header: octal digits, or GNU's binary for what is larger.

    Raises:
        DamagedError: it is neither.
    """
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big", signed=field[0] == 0xFF)
    digits = field.strip(b" \0")
    if digits and not (digits.isdigit() and not digits.translate(None, b"01234567")):
        raise DamagedError(f"no number: {shown(os.fsdecode(field))}")
    return int(digits or b"0", 8)


def decimal(digits: bytes) -> int:
    """Read a number of a pax field. Raises DamagedError."""
    if not digits.isdigit() or len(digits) > 20:
        raise DamagedError("a size that is no number")
    return int(digits)


def pax_fields(data: bytes) -> dict[bytes, bytes]:
    """Return the fields that say what a member is; each is `LENGTH KEY=VALUE` and a line end.

    Raises:
        DamagedError: they are not built like that, or make the member sparse.
    """
    found: dict[bytes, bytes] = {}
    start = 0
    while start < len(data):
        digits, _, _ = data[start : start + 12].partition(b" ")
        end = start + decimal(digits)
        key, equals, value = data[start + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or data[end - 1 : end] != b"\n":
            raise DamagedError("a pax field that makes no sense")
        if key.startswith(b"GNU.sparse."):
            raise DamagedError("a sparse file, which is not read here")
        if key in TELLING:
            found[key] = value
        start = end
    return found


def as_error(error: CutShortError | DamagedError) -> StageError:
    """Return what a reader found as an error for people."""
    text = str(error)
    return StageError(f"the archive is damaged{f': {text}' if text else ' or cut short'}")


def _check_sum(header: bytes) -> None:
    if not _has_sum(header, number(header[148:156])):
        raise DamagedError("a bad check sum, or the file was cut short")


def _has_sum(header: bytes, claimed: int) -> bool:
    # The check sum counts its own eight bytes as spaces. Adler's lower half is the sum of all
    # bytes, and one, modulo its base: ten times as fast as adding them up here.
    expected = claimed - _SPACES_SUM + sum(header[148:156]) + 1
    return 0 < expected <= _LARGEST_SUM and expected % _ADLER_BASE == adler32(header) & 0xFFFF


def _name_of(header: bytes) -> bytes:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == USTAR else b""
    return prefix + b"/" + name if prefix else name


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
