"""How a person ends a run in the foreground: Ctrl-C asks the training to stop, in good order."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class StopSwitch:
    """Pressed by whoever runs the pipeline; while training is followed it only takes note."""

    def __init__(self) -> None:
        self.asked = False
        self._armed = False

    def press(self) -> None:
        """Ask for the end. Raises KeyboardInterrupt where nothing would look at the note."""
        self.asked = True
        if not self._armed:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """Let a press only take note while the block runs."""
        self._armed = True
        try:
            yield
        finally:
            self._armed = False
