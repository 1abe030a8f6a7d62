"""A thread that does what is due, at the time when it is due."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Alarm:
    """Rings at the earliest time that was asked for.

    The thread starts when a time is first asked for and ends with :meth:`close`. Its owner's lock
    guards it: "held" means that the caller holds that lock.

    Args:
        name: of the thread.
        lock: the owner's.
        ring: called when it is time, with the lock held; what it answers is called without.
    """

    def __init__(
        self, name: str, lock: threading.Condition, ring: Callable[[float], Callable[[], None]]
    ) -> None:
        self._name = name
        self._lock = lock
        self._ring = ring
        self._at_s = math.inf
        self._closed = False
        self._thread: threading.Thread | None = None

    def wake(self, at_s: float) -> None:
        """Ring no later than ``at_s`` of the monotonic clock; held."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        if at_s < self._at_s:
            self._at_s = at_s
            self._lock.notify_all()

    def close(self) -> None:
        """Ring no more; held."""
        self._closed = True
        self._lock.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait until a closed alarm's thread has ended."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._closed and (left_s := self._at_s - time.monotonic()) > 0:
                    self._lock.wait(None if left_s == math.inf else left_s)
                if self._closed:
                    return
                self._at_s = math.inf
                afterwards = self._ring(time.monotonic())
            afterwards()
