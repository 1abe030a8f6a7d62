"""One object for all equal strings that come in again and again: ids, roles, states.

What is decoded from JSON has a new string for each value. A history of many events about a few
missions and tasks repeats their ids in each of them: shared, they cost eight bytes instead of
sixty to a hundred.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.primitives.object_pool import hit_rate
from orchestrator_core.records import MissionStatus, Mode, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable

ENTRIES = 1000
LONGEST = 100
ROLES = ("commander", "planner", "worker", "reviewer")
COMMON = (
    *ROLES,
    *(str(member.value) for kind in (TaskState, MissionStatus, Mode) for member in kind),
)


class StringCounts(Struct, frozen=True, rename="camel"):
    """What a string pool did so far.

    Attributes:
        size: the most strings that it keeps.
        entries: strings that it keeps.
        asked: strings ever brought to it.
        evicted: strings that made room for others.
        hit_rate: the share of ``asked`` that it had, 0 to 1.
    """

    size: int = 0
    entries: int = 0
    asked: int = 0
    evicted: int = 0
    hit_rate: float = 0.0


class StringPool:
    """Equal strings become one. Thread-safe, with or without a GIL.

    ``sys.intern`` would do the same for good: what a pool has not seen for the longest time makes
    room for what is new.

    Args:
        entries: the most strings that are kept.
        longest: the most characters of a string that is kept; longer ones pass by.
        common: strings to begin with.

    Raises:
        ValueError: there is no room for ``common``.
    """

    def __init__(
        self, entries: int = ENTRIES, longest: int = LONGEST, common: Iterable[str] = COMMON
    ) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, str] = OrderedDict((text, text) for text in common)
        if len(self._entries) > entries:
            raise ValueError(f"{len(self._entries)} strings do not fit into {entries} entries")
        self._size = entries
        self._longest = longest
        self._asked = 0
        self._missed = 0
        self._evicted = 0

    def intern(self, text: str) -> str:
        """The string that all who ask for an equal one get."""
        with self._lock:
            self._asked += 1
            known = self._entries.get(text)
            if known is not None:
                self._entries.move_to_end(text)
                return known
            self._missed += 1
            if len(text) <= self._longest and self._size:
                if len(self._entries) == self._size:
                    self._entries.popitem(last=False)
                    self._evicted += 1
                self._entries[text] = text
        return text

    def stats(self) -> StringCounts:
        """The figures, all of one moment."""
        with self._lock:
            return StringCounts(
                size=self._size,
                entries=len(self._entries),
                asked=self._asked,
                evicted=self._evicted,
                hit_rate=hit_rate(self._asked, self._missed),
            )
