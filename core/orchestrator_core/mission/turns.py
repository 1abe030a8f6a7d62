"""Tasks that say which files they will change wait for each other where those overlap."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator_core.workspace.leases import LeaseTable, Region

if TYPE_CHECKING:
    from collections.abc import Sequence


class Turns:
    """The turns of one workspace. Lives on one event loop.

    A task that names no files holds up nobody: where it clashes with another, its edits are
    merged or its work is done again.
    """

    def __init__(self) -> None:
        self._leases = LeaseTable()
        self._freed: dict[str, asyncio.Event] = {}

    def take(self, owner: str, globs: Sequence[str]) -> asyncio.Event | None:
        """Take the files that match, or none of them.

        Args:
            owner: a task; what it has taken before is exchanged for this.
            globs: what it will change.

        Returns:
            None if they are taken now; else what is set when it is worth asking again.
        """
        if not globs:
            return None
        in_the_way = self._leases.acquire(owner, [Region(glob) for glob in globs])
        if not in_the_way:
            return None
        return self._freed.setdefault(in_the_way[0], asyncio.Event())

    def give_back(self, owner: str) -> None:
        """Let others have what ``owner`` has taken, if anything."""
        self._leases.release(owner)
        if (freed := self._freed.pop(owner, None)) is not None:
            freed.set()
