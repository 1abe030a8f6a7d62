"""One thread that ends futures whose deadline has passed.

It exists only once a deadline was ever given, and sleeps without a timeout while none is
pending, so that an idle pool has no wake-ups.
"""

from __future__ import annotations

import threading
import time
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Expiring(Protocol):
    """What can have a deadline."""

    def done(self) -> bool:
        """Whether it ended by itself."""
        ...

    def expire(self) -> None:
        """Its deadline has passed."""
        ...


class DeadlineTimer:
    """Calls ``expire`` on entries at their deadline. Thread-safe.

    Args:
        name: of the thread.
        clock_s: monotonic, in seconds.
    """

    def __init__(self, name: str, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._entries: list[tuple[float, int, Expiring]] = []
        self._count = 0
        self._done = 0  # entries that ended by themselves and are still kept
        self._clock_s = clock_s
        self._closed = False
        self._thread: threading.Thread | None = None
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, entry: Expiring, after_s: float) -> None:
        """Expire the entry ``after_s`` from now unless it is done by then."""
        at_s = self._clock_s() + after_s
        with self._changed:
            if self._closed:
                return
            self._count += 1
            heappush(self._entries, (at_s, self._count, entry))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            elif self._entries[0][2] is entry:
                self._changed.notify()

    def settled(self) -> None:
        """An entry ended by itself: with the last one, the thread goes to sleep for good."""
        with self._changed:
            self._done += 1
            if self._done * 2 > len(self._entries):
                self._entries = [e for e in self._entries if not e[2].done()]
                heapify(self._entries)
                self._done = 0
                self._changed.notify()

    def close(self) -> None:
        """Forget all deadlines and end the thread. Idempotent; does not wait for it."""
        with self._changed:
            self._closed = True
            self._entries.clear()
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        """Wait for the closed timer's thread."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                wait_s = self._entries[0][0] - self._clock_s() if self._entries else None
                if wait_s is None or wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
                entry = heappop(self._entries)[2]
            entry.expire()
            del entry  # a done entry must not live until the next deadline
