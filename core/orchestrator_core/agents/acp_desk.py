"""What an agent's roles share besides the desk of all roles: its sessions, each on a copy.

The agent speaks the Agent Client Protocol. It is a program of the person's: opencode, claude-code,
gemini, codex, or any command line (``orchestrator.agent.command``, or the variable
``OPENCODE_ORCHESTRATOR_AGENT``); by default the first that is on ``PATH``. It is started when it is
first needed, in a process group of its own, and ended with this process, or when nobody has used it
for some minutes.

::

    AcpDesk                answers the prompts of roles (prompted_roles)
      AcpTalk              one use of a session: turns, and what they changed
      Rooms                which process: one for all, or one for each session at work
      SessionPool          which session; five a role, ten uses, five idle minutes
        AgentHouse         the agent's folder, confinement, environment; fills copies
          WorkTree         a copy of the workspace that is a git snapshot (acp_snapshot)
        AgentConnection    handshake, sessions, turns, cancelling (the SDK is imported here)
          AgentProcess     process, pipes, bounds
          AgentClient      what the agent asks: files, permission

An agent works on a copy of the workspace, never in it: where no copy can be made the task fails.
What it changed there becomes the task's draft, and goes the way of any other work; what roles other
than Workers change is dropped with their copy. Where the system can (Landlock), writes are confined
to the copies and the agent's own folders; every receipt's notes say what was in force, and whether
sessions share a process (:mod:`~agents.acp_rooms`). In a
workspace that nobody trusts, its files that make agents run code are left out, and what an agent
asks to run is refused.

What may pass (an agent that died, fell silent, or answered nonsense) has the whole use begin
again with a fresh session and a fresh copy, after a pause, under the circuit of the agent.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orchestrator_core.agents.acp_house import AgentHouse
from orchestrator_core.agents.acp_place import Place
from orchestrator_core.agents.acp_rest import leave
from orchestrator_core.agents.acp_rooms import Rooms, apart, sharing
from orchestrator_core.agents.acp_talk import AcpTalk
from orchestrator_core.agents.acp_turn import Turn
from orchestrator_core.agents.path_globs import matches_path
from orchestrator_core.agents.role_desk import RoleDesk
from orchestrator_core.agents.roles import system_prompt
from orchestrator_core.agents.untrusted import Marker
from orchestrator_core.errors import AgentError, CircuitOpen, ModelFault, OrchestratorError
from orchestrator_core.primitives.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from orchestrator_core.agents.acp_sessions import Session
    from orchestrator_core.agents.agent_choice import Agent
    from orchestrator_core.agents.budget import Budget, Budgets
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.agents.role_desk import Job, RoleTalk
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.workspace.draft import Draft

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 3
ROLE = "agent"
SESSIONS = 50
"""Uses at once: roles have limits of their own."""


def pauses() -> Backoff:
    """The pauses between attempts."""
    return Backoff(0.5, 30.0, jitter=0.5)


class AcpDesk(RoleDesk):
    """Made once for a backend; lives on the event loop.

    Args:
        engine: the workspace's services.
        agent: which agent.
        budgets: what each mission may spend.
        asker: whoever can ask the person about a call that is not settled.
        environment: this process's.
        backoff: makes the pauses between attempts.
    """

    def __init__(
        self,
        engine: Engine,
        agent: Agent,
        budgets: Budgets,
        asker: Asker,
        environment: Mapping[str, str],
        *,
        backoff: Callable[[], Backoff] = pauses,
    ) -> None:
        super().__init__(engine, budgets, asker)
        engine.concurrency.resize("role", ROLE, SESSIONS)
        self._agent = agent
        self._rooms = Rooms(
            partial(AgentHouse, engine, agent, environment),
            lambda: engine.toolbox.shell.confinement.mode,
        )
        self._backoff = backoff

    @property
    def who(self) -> str:
        """What the agent is called."""
        return self._agent.name

    @property
    def silent_s(self) -> float:
        """A turn of which nothing is heard for so long is given up."""
        return self._engine.settings.agent.silent_s

    def covers(self, budget: Budget, cost_usd: float) -> bool:
        """Whether there is money for a turn that has cost so much already."""
        limit_usd = self._engine.settings.budget.money_usd
        return limit_usd is None or budget.spent().money_usd + cost_usd <= limit_usd

    def seconds_left(self, budget: Budget) -> float | None:
        """How long a turn may take; None without a limit."""
        limit_s = self._engine.settings.budget.seconds
        return None if limit_s is None else max(0.0, limit_s - budget.spent().seconds)

    async def in_force(self, house: AgentHouse) -> str:
        """What keeps the agent from the rest of the system, in a few words."""
        held = await self.pool.submit(house.in_force)
        return f"{held}; {sharing(self.toolbox.shell.confinement.mode)}"

    async def _prompt(self, job: Job, work: Callable[[RoleTalk], Awaitable[T]]) -> T:
        """Use a session whose copy holds the texts of the job's draft; see :meth:`RoleDesk.use`.

        Raises:
            AgentError: it did not go well; the message says how often it was tried.
        """
        waits = self._backoff()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with await self._engine.concurrency.acquire(ROLE, model=self.who) as token:
                    try:
                        with token.kept():
                            async with self._rooms.session(job.role) as (house, session):
                                return await work(await self._begin(house, session, job))
                    except ModelFault:
                        raise
                    except OrchestratorError:
                        if not token.released:
                            token.release(None)  # the agent is well: it is the task that failed
                        raise
            except (ModelFault, CircuitOpen) as error:
                if attempt == ATTEMPTS:
                    raise AgentError(f"{error} (tried {ATTEMPTS} times)") from error
                log.info("attempt %d did not count: %s", attempt, error)
            await asyncio.sleep(waits.next_s())
        raise AssertionError("the last attempt returns or raises")

    async def leave(self, session: Session) -> None:
        """A turn has ended; see :func:`~agents.acp_rest.leave`."""
        if not apart(self.toolbox.shell.confinement.mode):  # else nobody can reach its copy
            await leave(session, self._rooms.others(session), self.pool)

    async def close(self) -> None:
        """End the agent, and delete all that it had."""
        await self._rooms.close()

    async def _begin(self, house: AgentHouse, session: Session, job: Job) -> AcpTalk:
        rights = await self.pool.submit(self.rights, job)
        texts = await self.pool.submit(_texts, job.draft)
        session.rest = None
        await house.fill(session.tree, texts, lambda path: rights.readable("read", path))
        await self.pool.submit(session.tree.remember, partial(_may_change, job))
        place = Place(
            tree=session.tree,
            root=self.workspace.root,
            copies=house.copies,
            rights=rights,
            turn=Turn(),
            require_trust=self.toolbox.shell.require_trust,
        )
        session.connection.places[session.id] = place
        marker = Marker()
        opening = await self.pool.submit(
            system_prompt,
            job.role,
            self.workspace,
            marker,
            usual="agent" if job.role == "worker" else "",
            conventions=await self.conventions(job.files),
        )
        if hint := self._agent.manners.hint:
            opening = f"{opening}\n\n{hint}"
        if session.uses:
            opening = f"This is a new task; what came before is done with.\n\n{opening}"
        return AcpTalk(
            self,
            job,
            house=house,
            session=session,
            place=place,
            marker=marker,
            opening=f"{opening}\n\n",
        )


def _may_change(job: Job, path: str) -> bool:
    """Whether a file is one that a job's task may change."""
    if job.role != "worker":
        return False
    return not job.files or any(matches_path(glob, path) for glob in job.files)


def _texts(draft: Draft) -> dict[str, bytes | None]:
    """What differs from the disk: unsaved texts, and what the draft has changed."""
    found: dict[str, bytes | None] = {}
    for path, text in {**draft.workspace.unsaved(), **draft.documents()}.items():
        found[path] = None if text is None else draft.read(path).encode()
    return found
