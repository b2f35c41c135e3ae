"""The way out to a terminal, a pipe or a file that may go away while a run goes on."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


class Outlet:
    """A stream that never fails: once nobody can be reached, all further text is dropped.

    Whatever writes for people may write to it, from any thread, as the live view's own.

    Args:
        stream: the real one; None where Python found none.

    Attributes:
        lost: why nothing is written any more; empty while it is.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.lost = "" if stream else "there is no output"

    @property
    def encoding(self) -> str:
        """The encoding of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether a person watches; a terminal that was hung up is none."""
        return self._stream is not None and not self.lost and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write a text; characters that the stream cannot show are replaced."""
        if self._stream and not self.lost:
            with self._losses_noted():
                self._stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        if self._stream and not self.lost:
            with self._losses_noted():
                self._stream.flush()

    @contextlib.contextmanager
    def _losses_noted(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError:
            pass  # a reader that is slow is not gone
        except (OSError, ValueError) as error:
            self.lost = getattr(error, "strerror", "") or str(error)
            if self._stream:
                silence(self._stream)


def silence(stream: TextIO) -> None:
    """Let what is still in a stream's buffer go nowhere; Python would fail on it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
