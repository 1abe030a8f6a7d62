"""One use of an agent's session: turns within the budget, and what they changed in its copy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator_core.agents.acp_draft import bring_in
from orchestrator_core.agents.acp_rest import require_as_left
from orchestrator_core.agents.acp_turn import Turn
from orchestrator_core.agents.chat import CHARACTERS_A_TOKEN
from orchestrator_core.agents.role_talk import require_done
from orchestrator_core.errors import AgentError, PermissionDenied

if TYPE_CHECKING:
    from orchestrator_core.agents.acp_desk import AcpDesk
    from orchestrator_core.agents.acp_house import AgentHouse
    from orchestrator_core.agents.acp_place import Place
    from orchestrator_core.agents.acp_sessions import Session
    from orchestrator_core.agents.acp_worktree import TreeChanges
    from orchestrator_core.agents.role_desk import Job
    from orchestrator_core.agents.untrusted import Marker

_AGAIN = 3
_GO_ON = "You stopped at a limit. Go on where you stopped, in smaller steps."
_SPEAK = "You did and said nothing. Do the task, or say why it cannot be done."
_DO_WITHOUT = "You were refused: {}. Do without it, and do the task to its end."
_TAKE_BACK = "You changed what this task must not. Take that back:\n{}"

_TRIES = 2
"""A Worker that changed what it must not may take that back once."""

_SHOWN = 10


class AcpTalk:
    """What is said in one use; see :class:`~agents.role_desk.RoleTalk`.

    Args:
        desk: has the limits.
        job: what for.
        house: where the agent runs.
        session: who is talked to.
        place: what the agent works on.
        marker: marks data in what it is told.
        opening: said before anything else.
    """

    def __init__(
        self,
        desk: AcpDesk,
        job: Job,
        *,
        house: AgentHouse,
        session: Session,
        place: Place,
        marker: Marker,
        opening: str,
    ) -> None:
        self._desk = desk
        self._house = house
        self._session = session
        self._place = place
        self._job = job
        self._budget = desk.budget(job.mission_id)
        self._opening = opening
        self.marker = marker

    async def ask(self, text: str) -> str:
        """Have the agent do something; answers what it said in the end.

        Raises:
            BudgetExceeded: nothing is left, or the time was over before it ended.
            AgentError: it refused, did nothing, did not end, or left its copy.
            ModelFault: it failed in passing.
        """
        desk = self._desk
        for _ in range(_AGAIN):
            turn = Turn(
                lambda title: self._job.say(desk.clean(title)),
                self._place.astray,
                lambda cost_usd: desk.covers(self._budget, cost_usd - self._session.spent_usd),
            )
            self._place.turn = turn
            await require_as_left(self._session, desk.pool)
            self._session.rest = None
            stop = await self._turn(self._opening + text, turn)
            await desk.leave(self._session)
            self._opening = ""
            if stop == "refusal":
                raise AgentError(f"{desk.who} refused the task: {turn.text.strip() or 'no reason'}")
            if stop == "cancelled" and not turn.refused:
                raise AgentError(f"{desk.who} gave the task up of its own accord")
            if stop not in ("end_turn", "cancelled"):
                text = _GO_ON
            elif stop == "end_turn" and (turn.text.strip() or (turn.acted and not turn.refused)):
                return turn.text
            else:  # some end their turn where something is refused
                text = _DO_WITHOUT.format("; ".join(turn.refused)) if turn.refused else _SPEAK
        raise AgentError(f"{desk.who} did nothing usable in {_AGAIN} turns")

    async def carry_out(self, text: str) -> tuple[str, list[str]]:
        """Bring into the draft what the agent has changed in its copy, if it is all allowed."""
        desk, tree, problems = self._desk, self._place.tree, list[str]()
        for _ in range(_TRIES):
            said = require_done(await self.ask(text))
            listed = await desk.toolbox.code.glob(hidden=True, root=tree.path)
            changes = await desk.pool.submit(tree.changes, listed)
            problems = await self._problems(changes)
            if not problems:
                await require_as_left(self._session, desk.pool)
                notes = await desk.pool.submit(bring_in, self._job.draft, tree, changes)
                name = self._session.connection.capabilities.name
                worked = f"{name} worked on a copy, {await desk.in_force(self._house)}"
                return said, [*self._place.refusals, *notes, worked]
            text = _TAKE_BACK.format("\n".join(f"- {problem}" for problem in problems))
        raise AgentError(f"{desk.who} changed what it must not: {'; '.join(problems)}")

    async def _turn(self, text: str, turn: Turn) -> str:
        """One turn within the budget; answers why it ended."""
        desk, session, budget = self._desk, self._session, self._budget
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
                counted = told.tokens if told else None
                reservation.settle(tokens if counted is None else counted, cost_usd)
                if turn.overspent:
                    with budget.reserve(0):  # says what ran out
                        pass
        raise AgentError(f"{desk.who} took too long")

    async def _problems(self, changes: TreeChanges) -> list[str]:
        """Which of an agent's changes are not allowed, and why."""
        problems = [f"{path} is no regular file of the copy" for path in changes.refused]
        for path in (*changes.written, *changes.deleted):
            try:
                await self._place.require_write(path)
            except PermissionDenied as error:
                problems.append(str(error))
        more = len(problems) - _SHOWN
        return [*problems[:_SHOWN], f"and {more} more"] if more > 0 else problems
