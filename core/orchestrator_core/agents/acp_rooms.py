"""Which process of the agent a session is held in: one for all, or one for each that is at work.

An agent's process may write below its own folder, all the copies in it among them. Sessions that
are at work at the same time in one process could write into each other's copies, and nobody could
tell who did; what lands in a copy that is not in use is gone when that is filled again. One process
is what agents are made for, and each more takes as much memory as the first. Where commands must be
confined (``strict``), each session at work has a process of its own instead, which can write into
no other's copy: when its use has ended, the next has that process.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from orchestrator_core.agents.acp_sessions import SESSIONS, House, SessionPool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from orchestrator_core.agents.acp_sessions import Session
    from orchestrator_core.safety import ConfinementMode

AnyHouse = TypeVar("AnyHouse", bound=House)


def apart(mode: ConfinementMode) -> bool:
    """Whether each session at work has a process of its own."""
    return mode == "strict"


def sharing(mode: ConfinementMode) -> str:
    """What of their processes sessions share, for people."""
    if apart(mode):
        return "each session at work in a process of its own"
    return "sessions share a process"


class Rooms(Generic[AnyHouse]):
    """Hands sessions out. Lives on one event loop; closed by its owner.

    Args:
        make: a house for a process.
        mode: how much is to be confined; asked at each use.
    """

    def __init__(self, make: Callable[[], AnyHouse], mode: Callable[[], ConfinementMode]) -> None:
        self._make = make
        self._mode = mode
        self._all: list[tuple[AnyHouse, SessionPool]] = []
        self._free: list[tuple[AnyHouse, SessionPool]] = []
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._shared = self._new()

    @asynccontextmanager
    async def session(self, role: str) -> AsyncGenerator[tuple[AnyHouse, Session]]:
        """A session for one use, with where it is; see :meth:`SessionPool.session`.

        Raises:
            AgentError: none can be had.
            ToolUnavailable: the agent cannot be started.
        """
        if not apart(self._mode()):
            house, pool = self._shared
            async with pool.session(role) as session:
                yield house, session
            return
        async with self._turns.setdefault(role, asyncio.Semaphore(SESSIONS)):
            house, pool = room = self._free.pop() if self._free else self._new()
            try:
                async with pool.session(role) as session:
                    yield house, session
            finally:
                self._free.append(room)

    def others(self, session: Session) -> list[Session]:
        """The other sessions of its process."""
        return [other for _, pool in self._all for other in pool.others(session)]

    async def close(self) -> None:
        """End the agent's processes and all their sessions."""
        for _, pool in self._all:
            await pool.close()

    def _new(self) -> tuple[AnyHouse, SessionPool]:
        house = self._make()
        room = house, SessionPool(house)
        self._all.append(room)
        return room
