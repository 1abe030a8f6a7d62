"""Tasks that say which files they will change wait for each other where those overlap."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from orchestrator_core.workspace.leases import LeaseTable, Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    Queue = deque[tuple[str, asyncio.Event]]


class Turns:
    """The turns of one workspace. Lives on one event loop.

    A task that names no files holds up nobody: where it clashes with another, its edits are
    merged or its work is done again.

    Of those that wait for one owner and name the same files, one is told when the owner is done,
    and the others wait for that one from then on: a thousand tasks on one file cost a thousand
    questions, not a million.
    """

    def __init__(self) -> None:
        self._leases = LeaseTable()
        self._waiting: dict[str, dict[tuple[str, ...], Queue]] = {}
        self._asking: dict[str, asyncio.Event] = {}

    def take(self, owner: str, globs: Sequence[str]) -> asyncio.Event | None:
        """Take the files that match, or none of them.

        Args:
            owner: a task; what it has taken before is exchanged for this. It gives back in the
                end even what it did not get, so that those behind it go on.
            globs: what it will change.

        Returns:
            None if they are taken now; else what is set when it is worth asking again.
        """
        if not globs:
            return None
        in_the_way = self._leases.acquire(owner, [Region(glob) for glob in globs])
        if not in_the_way:
            return None
        freed = self._asking[owner] = asyncio.Event()
        queues = self._waiting.setdefault(in_the_way[0], {})
        queues.setdefault(tuple(globs), deque()).append((owner, freed))
        return freed

    def give_back(self, owner: str) -> None:
        """Let others have what ``owner`` has taken, if anything."""
        self._leases.release(owner)
        self._asking.pop(owner, None)
        for globs, queue in self._waiting.pop(owner, {}).items():
            while queue:
                first, freed = queue.popleft()
                if self._asking.get(first) is not freed:
                    continue  # it has given up meanwhile
                freed.set()
                if queue:
                    behind = self._waiting.setdefault(first, {})
                    behind.setdefault(globs, deque()).extendleft(reversed(queue))
                break
