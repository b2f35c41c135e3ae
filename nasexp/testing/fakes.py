"""Fakes with declared answers, for unit tests beside a real test of the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp.connections.protocol import DEADLINE_SECONDS, Answer

if TYPE_CHECKING:
    from collections.abc import Iterable


class FakeConnection:
    """A connection that answers what it was told to, by a word in the program text.

    Args:
        answers: text that a program holds → its answer, or the error to raise.
    """

    def __init__(self, answers: dict[str, Answer | Exception]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, tuple[str | bytes, ...]]] = []
        self.sent: dict[str, bytes] = {}
        self.closed = False

    @property
    def name(self) -> str:
        """See `Connection.name`."""
        return "fake"

    def run(
        self, program: str, *words: str | bytes, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Answer:
        """Return the declared answer; an undeclared program is a failure of the test."""
        del deadline_seconds
        self.asked.append((program, words))
        return self._answer(program)

    def send(
        self, program: str, chunks: Iterable[bytes], deadline_seconds: float = DEADLINE_SECONDS
    ) -> Answer:
        """Keep what was sent and return the declared answer."""
        del deadline_seconds
        self.sent[program] = b"".join(chunks)
        return self._answer(program)

    def receive(
        self, program: str, *words: str | bytes, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Iterable[bytes]:
        """Yield the output of the declared answer."""
        del deadline_seconds
        self.asked.append((program, words))
        yield self._answer(program).output

    def close(self) -> None:
        """Take note."""
        self.closed = True

    def _answer(self, program: str) -> Answer:
        for text, answer in self.answers.items():
            if text in program:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise AssertionError(f"no answer was declared for the program {program!r}")


class QuietMonitor:
    """A monitor that keeps what it is told."""

    lost = ""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.shown = b""

    def note(self, text: str) -> None:
        """See `Monitor.note`."""
        self.notes.append(text)

    def warn(self, text: str) -> None:
        """See `Monitor.warn`."""
        self.warnings.append(text)

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """See `Monitor.progress`."""

    def console(self, data: bytes) -> None:
        """See `Monitor.console`."""
        self.shown += data

    def ask(self, prompt: str) -> str | None:
        """Answer that nobody is there."""
        del prompt
        return None
