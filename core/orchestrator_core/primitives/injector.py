"""The queue through which work enters a pool from outside.

First in, first out within a priority, with two amendments:

* **Longest first.** Among entries of one priority that came at about the same time, those with
  a known duration go first, the longest ahead: Graham's LPT rule ("Bounds on multiprocessing
  timing anomalies", 1969), which keeps a long task from starting last.
* **Ageing.** Time is cut into epochs. An entry of epoch ``e`` and priority ``p`` (HIGH is 0)
  has the virtual time ``e + p * patience``, and the smallest goes first. So a NORMAL entry gives
  way to HIGH ones that come up to ``patience`` epochs later, but not to any later than that:
  nothing starves, and no clock is read when entries are taken.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Priority(IntEnum):
    """How urgent work is. Lower values go first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


_NORMAL = Priority.NORMAL


class _Level(Generic[T]):
    """The entries of one priority: those of known duration with the epoch they came in."""

    __slots__ = ("known", "unknown")

    def __init__(self) -> None:
        self.unknown: deque[T] = deque()
        self.known: list[tuple[int, float, int, T]] = []


class Injector(Generic[T]):
    """Entries by priority, duration and age.

    The owner's lock guards every call; what is read without it is a hint. One thing more may be
    done without it: while ``special`` is 0, anybody may take from the left of ``plain``, for a
    deque gives each entry to one caller only.

    Args:
        came_ns: when an entry came, on a clock that never goes back. Asked only where entries of
            several kinds wait, so that plain ones cost nothing but their place in a deque.
        epoch_s: the length of an epoch; entries within one are ordered longest first.
        patience: how many epochs a level gives way to the level above.

    Attributes:
        plain: the NORMAL entries of unknown duration, the oldest first.
        special: how many other entries there are. While there are none, order is plain FIFO.
    """

    __slots__ = (
        "_came_ns",
        "_epoch_ns",
        "_high",
        "_levels",
        "_patience",
        "_pushed",
        "plain",
        "special",
    )

    def __init__(
        self, came_ns: Callable[[T], int], *, epoch_s: float = 1.0, patience: int = 5
    ) -> None:
        self._came_ns = came_ns
        self._epoch_ns = max(1, int(epoch_s * 1e9))
        self._patience = patience
        self._levels: tuple[_Level[T], ...] = tuple(_Level[T]() for _ in Priority)
        self._high = self._levels[Priority.HIGH]
        self._pushed = 0
        self.plain = self._levels[Priority.NORMAL].unknown
        self.special = 0

    def __len__(self) -> int:
        return self.special + len(self.plain)

    def urgent(self) -> bool:
        """Whether a HIGH entry waits."""
        return bool(self._high.unknown or self._high.known)

    def push(
        self,
        entry: T,
        priority: Priority = Priority.NORMAL,
        expected_duration_s: float | None = None,
    ) -> None:
        """Add an entry."""
        if expected_duration_s is not None:
            self.special += 1
            self._pushed += 1
            epoch = self._came_ns(entry) // self._epoch_ns
            heappush(
                self._levels[priority].known, (epoch, -expected_duration_s, self._pushed, entry)
            )
        elif priority is _NORMAL:
            self.plain.append(entry)
        else:
            self.special += 1
            self._levels[priority].unknown.append(entry)

    def pop(self) -> T | None:
        """Take the entry whose turn it is, or None."""
        while True:
            level = self._next_level()
            if level is None:
                return None
            try:
                return self._pop_from(level)
            except IndexError:  # somebody took the last plain one meanwhile
                continue

    def _next_level(self) -> _Level[T] | None:
        """The level with the smallest virtual time; the more urgent one of equals."""
        best, best_time = None, 0
        for rank, level in enumerate(self._levels):
            epoch = self._epoch(level)
            if epoch is not None and (best is None or epoch + rank * self._patience < best_time):
                best, best_time = level, epoch + rank * self._patience
        return best

    def _epoch(self, level: _Level[T]) -> int | None:
        """The epoch of the entry of this level that goes next."""
        try:
            unknown = self._came_ns(level.unknown[0]) // self._epoch_ns
        except IndexError:
            return level.known[0][0] if level.known else None
        return min(unknown, level.known[0][0]) if level.known else unknown

    def _pop_from(self, level: _Level[T]) -> T:
        if level.known and level.known[0][0] == self._epoch(level):
            self.special -= 1
            return heappop(level.known)[-1]
        entry = level.unknown.popleft()
        self.special -= level.unknown is not self.plain
        return entry
