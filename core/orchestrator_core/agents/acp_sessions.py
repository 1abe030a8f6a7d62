"""The sessions of one agent: several in one process, used again, and closed when nobody needs them.

Each role has at most :data:`SESSIONS`. A session has a copy of the workspace of its own, is used
:data:`USES` times, and is closed after :data:`IDLE_S` without use, or when its use failed. The
process is started with the first session and ended with the last. Every :data:`HEALTH_S` it is
looked at, and replaced if it is not well, unless it is in use: whoever uses it hears whether it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from orchestrator_core.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from orchestrator_core.agents.acp_connection import AgentConnection
    from orchestrator_core.agents.acp_rest import Rest
    from orchestrator_core.agents.acp_worktree import WorkTree

logger = logging.getLogger(__name__)

SESSIONS = 5
USES = 10
IDLE_S = 300.0
HEALTH_S = 60.0
HEALTHY_WITHIN_S = 30.0


class House(Protocol):
    """Where an agent runs: makes what a session needs."""

    async def connect(self) -> AgentConnection:
        """Start the agent."""
        ...

    async def tree(self) -> WorkTree:
        """A new copy of the workspace, empty yet."""
        ...

    async def leave(self) -> None:
        """The agent has ended: nothing of it is to stay."""
        ...


class Session:
    """One session, held by one at a time.

    Attributes:
        uses: how often it was used.
        spent_usd: what it has cost so far, where the agent tells.
        idle_since_s: when it was last given back.
        rest: how its copy was left after a turn; None while it is changed, or deleted.
    """

    def __init__(self, connection: AgentConnection, session_id: str, tree: WorkTree) -> None:
        self.connection = connection
        self.id = session_id
        self.tree = tree
        self.uses = 0
        self.spent_usd = 0.0
        self.idle_since_s = 0.0
        self.rest: Rest | None = None


class SessionPool:
    """Hands sessions out. Lives on one event loop; closed by its owner.

    Args:
        house: starts the agent.
        per_role: how many sessions a role has at most.
        uses: how often one is used.
        idle_s: how long one is kept without use.
        health_s: how often the agent is looked at.
        clock_s: monotonic.
    """

    def __init__(
        self,
        house: House,
        *,
        per_role: int = SESSIONS,
        uses: int = USES,
        idle_s: float = IDLE_S,
        health_s: float = HEALTH_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._house = house
        self._per_role = per_role
        self._uses = uses
        self._idle_s = idle_s
        self._health_s = health_s
        self._clock_s = clock_s
        self._room: dict[str, asyncio.Semaphore] = {}
        self._idle: dict[str, list[Session]] = {}
        self._busy: set[Session] = set()
        self._opening = 0
        self._connection: AgentConnection | None = None
        self._connecting = asyncio.Lock()
        self._caretaker: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def connection(self) -> AgentConnection | None:
        """The agent that runs; None if there is none."""
        return self._connection

    def others(self, session: Session) -> list[Session]:
        """The other sessions of its process, at work or not."""
        idle = [one for sessions in self._idle.values() for one in sessions]
        return [
            one
            for one in (*self._busy, *idle)
            if one is not session and one.connection is session.connection
        ]

    @asynccontextmanager
    async def session(self, role: str) -> AsyncGenerator[Session]:
        """A session for one use, waited for while the role's are all in use.

        Raises:
            AgentError: none can be had.
            ToolUnavailable: the agent cannot be started.
        """
        room = self._room.setdefault(role, asyncio.Semaphore(self._per_role))
        async with room:
            if self._closed:
                raise AgentError("no session is begun any more: the program is ending")
            session = self._idle_one(role) or await self._open()
            self._busy.add(session)
            good = False
            try:
                yield session
                good = True
            finally:
                self._busy.discard(session)
                session.connection.places.pop(session.id, None)
                session.uses += 1
                session.idle_since_s = self._clock_s()
                self._take_back(role, session, good=good)

    async def close(self) -> None:
        """End the agent and all its sessions, those in use among them."""
        self._closed = True
        if self._caretaker is not None:
            self._caretaker.cancel()
            await asyncio.wait((self._caretaker,))
        idle = [session for sessions in self._idle.values() for session in sessions]
        self._idle.clear()
        async with self._connecting:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()
        for session in idle:
            await self._end(session)
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._house.leave()

    def _take_back(self, role: str, session: Session, *, good: bool) -> None:
        if self._closed:
            return  # all of it has been ended and deleted
        if good and session.uses < self._uses and session.connection.alive:
            self._idle.setdefault(role, []).append(session)
            self._take_care()
        else:
            self._in_background(self._end(session))

    def _idle_one(self, role: str) -> Session | None:
        idle = self._idle.get(role, [])
        while idle:
            session = idle.pop()
            if session.connection.alive:
                return session
            self._in_background(self._end(session))
        return None

    async def _open(self) -> Session:
        self._opening += 1
        try:
            async with self._connecting:
                if self._closed:
                    raise AgentError("no agent is started any more: the program is ending")
                if self._connection is None or not self._connection.alive:
                    await self._replace()
                connection = self._connection
                assert connection is not None
            tree = await self._house.tree()
            try:
                session_id = await connection.new_session(tree.path)
            except BaseException:
                await asyncio.to_thread(tree.remove)
                raise
            return Session(connection, session_id, tree)
        finally:
            self._opening -= 1
            self._take_care()

    async def _replace(self) -> None:
        """Start the agent, in place of one that has ended."""
        dead, self._connection = self._connection, None
        if dead is not None:
            await dead.close()
        self._connection = await self._house.connect()

    async def _end(self, session: Session) -> None:
        session.rest = None
        await session.connection.close_session(session.id)
        await asyncio.to_thread(session.tree.remove)
        self._take_care()

    def _take_care(self) -> None:
        """Have somebody look after what is idle, unless somebody does."""
        if not self._closed and (self._caretaker is None or self._caretaker.done()):
            self._caretaker = asyncio.create_task(self._look_after())

    async def _look_after(self) -> None:
        """Close what is idle for long, and see that the agent is well, while there is one."""
        looked_s = self._clock_s()
        while self._connection is not None:
            await asyncio.sleep(min(self._idle_s, self._health_s))
            now_s = self._clock_s()
            for idle in self._idle.values():
                for session in [s for s in idle if now_s - s.idle_since_s >= self._idle_s]:
                    idle.remove(session)
                    self._in_background(self._end(session))
            if now_s - looked_s >= self._health_s:
                looked_s = now_s
                await self._see_to_it()
            if not (self._in_use() or self._ending or any(self._idle.values())):
                await self._let_go()

    def _in_use(self) -> bool:
        return bool(self._busy or self._opening)

    async def _see_to_it(self) -> None:
        connection = self._connection
        if self._in_use() or connection is None or await connection.healthy(HEALTHY_WITHIN_S):
            return
        if self._in_use():
            return
        logger.warning("%s is not well: it is ended, and started anew when needed", connection.name)
        await connection.close()

    async def _let_go(self) -> None:
        """End the agent: nobody has used it for long."""
        async with self._connecting:
            if self._in_use():
                return
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()
            await self._house.leave()

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        """Do something that nobody waits for but :meth:`close`."""
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
