"""The deque of one pool worker: its owner works at one end, thieves take from the other.

The discipline is that of Chase and Lev, "Dynamic circular work-stealing deque" (SPAA 2005), in
the form proven for weak memory by Lê, Pop, Cohen and Zappa Nardelli, "Correct and efficient
work-stealing for weak memory models" (PPoPP 2013): the owner pushes and pops the newest entry,
so that it walks a tree of tasks depth first and finds its data in the cache; a thief takes the
oldest, which in a fork-join program is the largest piece of work left.

The circular array and its fences are not needed here: ``collections.deque`` performs each
append and pop atomically, with the GIL by holding it and in free-threaded builds by the deque's
own lock. That settles the one hard case, the last entry popped and stolen at once: one of the
two gets it and the other finds the deque empty.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class WorkStealingDeque(Generic[T]):
    """Entries of one owner, open to thieves.

    Every method may be called from any thread, but ``push`` and ``pop`` are meant for the owner.
    Entries are never None, which stands for "nothing here".

    Attributes:
        entries: what it holds, the oldest first; for a look without a call.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: deque[T] = deque()

    def __len__(self) -> int:
        return len(self.entries)

    def push(self, entry: T) -> None:
        """Add an entry at the owner's end."""
        self.entries.append(entry)

    def pop(self) -> T | None:
        """Take the newest entry, or None."""
        if not self.entries:  # cheaper than the exception, which settles the race below
            return None
        try:
            return self.entries.pop()
        except IndexError:
            return None

    def steal(self) -> T | None:
        """Take the oldest entry, or None."""
        if not self.entries:
            return None
        try:
            return self.entries.popleft()
        except IndexError:
            return None

    def trim(self, dead: Callable[[T], bool]) -> None:
        """Drop the newest entries as long as they are dead. For the owner alone."""
        entries = self.entries
        try:
            while dead(entries[-1]):
                entries.pop()
        except IndexError:  # empty, perhaps because a thief took the entry just looked at
            return
