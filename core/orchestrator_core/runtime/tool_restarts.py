"""When the next tool process may be started, after others died."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator_core.errors import ToolError

logger = logging.getLogger(__name__)

MAX_FAILURES = 5
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0


class Restarts:
    """Counts deaths since the last success. Guarded by the pool's lock.

    One death is made good at once. From the second on there is a pause that doubles, and beyond
    ``MAX_FAILURES`` calls are better refused than kept waiting.

    Attributes:
        not_before: when the next process may start, of the monotonic clock.
        count: processes that replaced another.
    """

    def __init__(self) -> None:
        self.not_before = 0.0
        self.count = 0
        self._failures = 0
        self._lost = 0  # processes without a successor yet
        self._last_error = ""

    def failed(self, error: ToolError, *, hopeless: bool) -> None:
        """A process died; ``hopeless`` says that the next will, too."""
        self._lost += 1
        self._last_error = str(error)
        self._failures = max(self._failures + 1, MAX_FAILURES if hopeless else 0)
        if self._failures > 1:
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self._failures - 2))
            self.not_before = time.monotonic() + pause_s
            logger.warning("the next tool process starts in %.1f s: %s", pause_s, error)
        else:
            logger.warning("%s", error)

    def retired(self) -> None:
        """A process was taken out of use and is to be replaced."""
        self._lost += 1

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures = 0

    def started(self) -> None:
        """A process was started: it replaces one that was lost, if there is one."""
        if self._lost:
            self._lost -= 1
            self.count += 1

    def may_start(self) -> bool:
        """Whether no pause has to be kept now."""
        return time.monotonic() >= self.not_before

    def refusal(self) -> str:
        """Why calls are not even kept waiting; empty if they are."""
        left_s = self.not_before - time.monotonic()
        if self._failures < MAX_FAILURES or left_s <= 0:
            return ""
        return f"the tool server does not run; next try in {left_s:.1f} s; {self._last_error}"
