"""The gzip format, by isal where it is installed, by zlib elsewhere.

isal is ten times as fast at the ratio of a quick gzip. Which of the two packed a file shows in
its compressed bytes only, never in the tar stream or its digest.
"""

from __future__ import annotations

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


class Compressor(Protocol):
    """What isal and zlib have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Take more data, return what is ready."""
        ...

    def flush(self) -> bytes:
        """Return the rest and the end of the file."""
        ...


def compressor() -> Compressor:
    """Return a compressor for one gzip file: no name and no time in it, so same in, same out."""
    try:
        from isal import isal_zlib  # noqa: PLC0415 - not on every platform
    except ImportError:
        return zlib.compressobj(ZLIB_LEVEL, zlib.DEFLATED, GZIP_WINDOW_BITS)
    made = isal_zlib.compressobj(ISAL_LEVEL, isal_zlib.DEFLATED, GZIP_WINDOW_BITS)
    return cast("Compressor", made)


def expanded(chunks: Iterable[bytes], most_bytes: int) -> Iterator[bytes]:
    """Yield what was packed into a gzip stream, in chunks of at most `most_bytes`.

    Raises:
        StageError: the stream is damaged. One that ends too early just ends.
    """
    packer = _decompressor()
    try:
        for chunk in chunks:
            packed = chunk
            while packed and not packer.eof:
                yield packer.decompress(packed, most_bytes)
                packed = packer.unconsumed_tail
    except _errors_of_damage() as error:
        raise StageError(f"what the host packed is damaged: {error}") from error


def _decompressor() -> Any:
    try:
        from isal import isal_zlib  # noqa: PLC0415 - not on every platform
    except ImportError:
        return zlib.decompressobj(GZIP_WINDOW_BITS)
    return isal_zlib.decompressobj(GZIP_WINDOW_BITS)


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
