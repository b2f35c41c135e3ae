"""How a person ends a run in the foreground: Ctrl-C asks the training to stop, in good order;
so does a terminal that goes away.
"""

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
        self._over = False

    def press(self) -> None:
        """Ask for the end. Raises KeyboardInterrupt where nothing would look at the note."""
        self.asked = True
        if not self._armed:
            raise KeyboardInterrupt

    def hang_up(self) -> None:
        """Ask for the end as a terminal does that is gone.

        It may be told more than once, by the kernel and by the shell, and it never means that
        the results should stay away: once the training is over there is nothing to stop.
        """
        if not (self.asked or self._over):
            self.press()

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """Let a press only take note while the block runs."""
        self._armed = True
        try:
            yield
        finally:
            self._armed, self._over = False, True
