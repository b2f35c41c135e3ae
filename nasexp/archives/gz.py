"""The gzip format, by isal where it is installed, by zlib elsewhere.

isal is ten times as fast at the ratio of a quick gzip. Which of the two packed a file shows in
its compressed bytes only, never in the tar stream or its digest. What does not shrink is stored
as it is: that is read again ten times as fast.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

from nasexp.archives.names import shown
from nasexp.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import IO

GZIP_WINDOW_BITS = 31

# Of isal's levels 1 to 3 the second is as fast as the first and smaller; the third takes three
# times as long on data that does not shrink. zlib's first comes nearest to it in size.
ISAL_LEVEL = 2
ZLIB_LEVEL = 1

# No name and no time, so same in, same out; made on any system.
_HEADER = bytes.fromhex("1f8b08000000000000ff")
_LAST_BLOCK = b"\x01\x00\x00\xff\xff"
_MOST_STORED = 0xFFFF
_RAW_WINDOW_BITS = -15

# Chunks of so many bytes at least are looked at in so many places before they are packed. What
# would shrink by less than that share is not worth ten times the time.
_SAMPLED_BYTES = 128 << 10
_SAMPLES, _SAMPLE_BYTES = 4, 8 << 10
_STORED_SHARE = 0.85


class Compressor(Protocol):
    """What isal and zlib have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Take more data, return what is ready."""
        ...

    def flush(self) -> bytes:
        """Return the rest and the end of the file."""
        ...


def compressor() -> Compressor:
    """Return a compressor for one gzip file; its bytes depend on how the data are cut, too."""
    return _Packer()


class _Packer:
    """Writes a gzip file of two kinds of runs: of packed chunks, and of stored ones."""

    def __init__(self) -> None:
        self._lib = _library()
        self._level = ZLIB_LEVEL if self._lib is zlib else ISAL_LEVEL
        self._crc = self._size = 0
        self._begin = _HEADER
        self._run: Any = None

    def compress(self, data: bytes, /) -> bytes:
        self._crc = self._lib.crc32(data, self._crc)
        self._size += len(data)
        begin, self._begin = self._begin, b""
        if len(data) >= _SAMPLED_BYTES and self._is_dense(data):
            return b"".join([begin, self._end_run(), *_stored(data)])
        if self._run is None:
            self._run = self._new_run()
        return begin + bytes(self._run.compress(data))

    def flush(self) -> bytes:
        sums = struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)
        return self._begin + self._end_run() + _LAST_BLOCK + sums

    def _new_run(self) -> Any:
        return self._lib.compressobj(self._level, zlib.DEFLATED, _RAW_WINDOW_BITS)

    def _end_run(self) -> bytes:
        """End at a whole byte; the next run knows nothing of this one."""
        run, self._run = self._run, None
        return b"" if run is None else bytes(run.flush(self._lib.Z_FULL_FLUSH))

    def _is_dense(self, data: bytes) -> bool:
        step = len(data) // _SAMPLES
        starts = range(0, step * _SAMPLES, step)
        sample = b"".join(data[start : start + _SAMPLE_BYTES] for start in starts)
        packer = self._new_run()
        packed = len(packer.compress(sample)) + len(packer.flush())
        return packed > _STORED_SHARE * len(sample)


def _stored(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _MOST_STORED):
        part = data[start : start + _MOST_STORED]
        yield struct.pack("<xHH", len(part), len(part) ^ _MOST_STORED)
        yield part


def _library() -> Any:
    try:
        from isal import isal_zlib  # noqa: PLC0415 - not on every platform
    except ImportError:
        return zlib
    return isal_zlib


def expanded(chunks: Iterable[bytes], most_bytes: int) -> Iterator[bytes]:
    """Yield what was packed into a gzip stream, in chunks of at most `most_bytes`.

    Raises:
        StageError: the stream is damaged. One that ends too early just ends.
    """
    packer = _library().decompressobj(GZIP_WINDOW_BITS)
    try:
        for chunk in chunks:
            packed = chunk
            while packed and not packer.eof:
                yield packer.decompress(packed, most_bytes)
                packed = packer.unconsumed_tail
    except _errors_of_damage() as error:
        raise StageError(f"what the host packed is damaged: {error}") from error


@contextmanager
def open_chunks(path: Path, chunk_bytes: int) -> Iterator[Iterator[bytes]]:
    """Open a gzip file and yield an iterator over what is in it.

    Raises:
        StageError: the file cannot be opened; or, from the iterator, it is damaged or cut short.
    """
    try:
        file = _gzip_module().open(path, "rb")
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    with file:
        yield _chunks(file, path, chunk_bytes)


def _chunks(file: IO[bytes], path: Path, chunk_bytes: int) -> Iterator[bytes]:
    chunk = _read(file, path, chunk_bytes)
    if not chunk:
        raise _damaged(path, "it is empty")
    while chunk:
        yield chunk
        chunk = _read(file, path, chunk_bytes)


def _read(file: IO[bytes], path: Path, chunk_bytes: int) -> bytes:
    try:
        return file.read(chunk_bytes)
    except EOFError as error:
        raise _damaged(path, "it ends too early") from error
    except _errors_of_damage() as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise _unreadable(path, error.strerror) from error


def _gzip_module() -> Any:
    try:
        from isal import igzip  # noqa: PLC0415 - not on every platform
    except ImportError:
        import gzip  # noqa: PLC0415 - only where isal is missing

        return gzip
    return igzip


def _errors_of_damage() -> tuple[type[Exception], ...]:
    from gzip import BadGzipFile  # noqa: PLC0415 - loaded already by whoever reads

    try:
        from isal import isal_zlib  # noqa: PLC0415 - not on every platform
    except ImportError:
        return (BadGzipFile, zlib.error)
    return (BadGzipFile, zlib.error, cast("type[Exception]", isal_zlib.error))


def _damaged(path: Path, why: str) -> StageError:
    return StageError(f"the archive {shown(str(path))} is damaged: {why}")


def _unreadable(path: Path, why: str | None) -> StageError:
    return StageError(f"the archive {shown(str(path))} cannot be read: {why}")
