"""What an agent's roles share besides the desk of all roles: sessions, and turns within a budget.

What may pass (an agent that died, fell silent, or answered nonsense) has the whole use begin
again with a fresh session and a fresh copy, after a pause, under the circuit of the agent.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orchestrator_core.agents.acp_place import Place
from orchestrator_core.agents.acp_turn import Turn
from orchestrator_core.agents.chat import CHARACTERS_A_TOKEN
from orchestrator_core.agents.role_desk import RoleDesk
from orchestrator_core.agents.roles import system_prompt
from orchestrator_core.agents.untrusted import Marker
from orchestrator_core.errors import AgentError, CircuitOpen, ModelFault, OrchestratorError
from orchestrator_core.primitives.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orchestrator_core.agents.acp_house import AgentHouse
    from orchestrator_core.agents.acp_sessions import Session, SessionPool
    from orchestrator_core.agents.budget import Budget, Budgets
    from orchestrator_core.agents.desk import Rights
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.agents.roles import Role
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.workspace.draft import Draft

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 3
ROLE = "agent"
SESSIONS = 50
"""Uses at once: roles have limits of their own."""

_AGAIN = 3
_GO_ON = "You stopped at a limit. Go on where you stopped, in smaller steps."
_SPEAK = "You did and said nothing. Do the task, or say why it cannot be done."
_DO_WITHOUT = "You were refused: {}. Do without it, and do the task to its end."


def pauses() -> Backoff:
    """The pauses between attempts."""
    return Backoff(0.5, 30.0, jitter=0.5)


class Talk:
    """One use of a session: what is said in it. Not to be used by two at once.

    Attributes:
        place: what the agent works on.
        marker: marks data in what it is told.
    """

    def __init__(
        self, desk: AcpDesk, session: Session, place: Place, marker: Marker, opening: str
    ) -> None:
        self._desk = desk
        self._session = session
        self._opening = opening
        self.place = place
        self.marker = marker

    @property
    def agent(self) -> str:
        """What the agent calls itself, with its version."""
        return self._session.connection.capabilities.name

    async def ask(
        self, text: str, budget: Budget, say: Callable[[str], None] = lambda _: None
    ) -> str:
        """Have the agent do something; answers what it said in the end.

        Raises:
            BudgetExceeded: nothing is left, or the time was over before it ended.
            AgentError: it refused, did nothing, did not end, or left its copy.
            ModelFault: it failed in passing.
        """
        name = self._desk.agent_name
        for _ in range(_AGAIN):
            turn = Turn(
                lambda title: say(self._desk.clean(title)),
                self.place.astray,
                lambda cost_usd: self._desk.covers(budget, cost_usd - self._session.spent_usd),
            )
            self.place.turn = turn
            stop = await self._turn(self._opening + text, turn, budget)
            self._opening = ""
            if stop == "refusal":
                raise AgentError(f"{name} refused the task: {turn.text.strip() or 'no reason'}")
            if stop == "cancelled":
                raise AgentError(f"{name} gave the task up of its own accord")
            if stop != "end_turn":
                text = _GO_ON
            elif turn.text.strip() or (turn.acted and not turn.refused):
                return turn.text
            else:  # some end their turn where something is refused
                text = _DO_WITHOUT.format("; ".join(turn.refused)) if turn.refused else _SPEAK
        raise AgentError(f"{name} did nothing usable in {_AGAIN} turns")

    async def _turn(self, text: str, turn: Turn, budget: Budget) -> str:
        """One turn within the budget; answers why it ended."""
        desk, session = self._desk, self._session
        tokens = int(len(text) / CHARACTERS_A_TOKEN) + 1
        with budget.reserve(tokens) as reservation:
            told = None
            try:
                async with asyncio.timeout(desk.seconds_left(budget)):
                    told = await session.connection.prompt(
                        session.id, desk.clean(text), turn, silent_s=desk.silent_s
                    )
                return told.stop
            except TimeoutError:
                turn.overspent = True
            finally:
                cost_usd = max(0.0, (turn.cost_usd or 0.0) - session.spent_usd)
                session.spent_usd += cost_usd
                reservation.settle(told.tokens if told else tokens, cost_usd)
                if turn.overspent:
                    with budget.reserve(0):  # says what ran out
                        pass
        raise AgentError(f"{desk.agent_name} took too long")


class AcpDesk(RoleDesk):
    """Made once for a backend; lives on the event loop.

    Args:
        engine: the workspace's services.
        budgets: what each mission may spend.
        asker: whoever can ask the person.
        house: where the agent runs.
        sessions: its sessions.
        agent_name: what it is called.
        backoff: makes the pauses between attempts.
    """

    def __init__(
        self,
        engine: Engine,
        budgets: Budgets,
        asker: Asker,
        *,
        house: AgentHouse,
        sessions: SessionPool,
        agent_name: str,
        backoff: Callable[[], Backoff] = pauses,
    ) -> None:
        super().__init__(engine, budgets, asker)
        engine.concurrency.resize("role", ROLE, SESSIONS)
        self._house = house
        self._sessions = sessions
        self.agent_name = agent_name
        self._backoff = backoff

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

    async def in_force(self) -> str:
        """What keeps the agent from the rest of the system, in a few words."""
        return await self.pool.submit(self._house.in_force)

    async def listed(self, place: Place) -> Sequence[str]:
        """The files that are in a copy now, without those that ignore rules hide."""
        return await self.toolbox.code.glob(hidden=True, root=place.tree.path)

    async def use(
        self,
        role: Role,
        draft: Draft,
        rights: Rights,
        work: Callable[[Talk], Awaitable[T]],
        *,
        prompt: str = "",
        files: Sequence[str] = (),
        changing: Callable[[str], bool] = lambda _: False,
    ) -> T:
        """Have something done with a session whose copy holds the texts of a draft.

        Args:
            role: whose session, and prompt.
            draft: what the copy is to hold.
            rights: what the agent may do.
            work: does it; begins again from the start if the agent fails in passing.
            prompt: the role's usual prompt, where that is another than for models.
            files: what it is about, files or globs of files: their conventions are told.
            changing: which files it is about to change.

        Raises:
            AgentError: it did not go well; the message says why, and how often it was tried.
            OrchestratorError: as ``work`` does.
        """
        conventions = await self.conventions(files)
        waits = self._backoff()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with await self._engine.concurrency.acquire(ROLE, model=self.agent_name) as token:
                    try:
                        async with self._sessions.session(role) as session:
                            opening = partial(
                                system_prompt,
                                role,
                                self.workspace,
                                usual=prompt,
                                conventions=conventions,
                            )
                            talk = await self._begin(session, draft, rights, opening)
                            await self.pool.submit(session.tree.remember, changing)
                            return await work(talk)
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

    async def _begin(
        self, session: Session, draft: Draft, rights: Rights, prompt: Callable[..., str]
    ) -> Talk:
        texts = await self.pool.submit(_texts, draft)
        await self._house.fill(session.tree, texts, lambda path: rights.readable("read", path))
        place = Place(
            tree=session.tree,
            root=self.workspace.root,
            copies=self._house.copies,
            rights=rights,
            turn=Turn(),
            require_trust=self.toolbox.shell.require_trust,
        )
        session.connection.places[session.id] = place
        marker = Marker()
        opening = await self.pool.submit(prompt, marker=marker)
        if session.uses:
            opening = f"This is a new task; what came before is done with.\n\n{opening}"
        return Talk(self, session, place, marker, f"{opening}\n\n")


def _texts(draft: Draft) -> dict[str, bytes | None]:
    """What differs from the disk: unsaved texts, and what the draft has changed."""
    found: dict[str, bytes | None] = {}
    for path, text in {**draft.workspace.unsaved(), **draft.documents()}.items():
        found[path] = None if text is None else draft.read(path).encode()
    return found
