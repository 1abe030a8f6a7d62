"""The gate that every call of an agent's tools passes: decide, ask if need be, or refuse."""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from orchestrator_core.errors import PermissionDenied
from orchestrator_core.safety import Effect

if TYPE_CHECKING:
    from orchestrator_core.agents.permissions import Decision, Permissions, ToolCall

logger = logging.getLogger(__name__)


class Answer(StrEnum):
    """What a person says when asked."""

    ONCE = "once"
    ALWAYS = "always"  # for this very call, until the mission ends
    NO = "no"


class Asker(Protocol):
    """Whoever can ask the person: the editor, or the terminal."""

    async def ask(self, call: ToolCall, decision: Decision) -> Answer:
        """Ask about one call. Cancelling takes the question back.

        No answer (the question was closed, nobody is there) is :attr:`Answer.NO`.
        """
        ...


class NobodyToAsk:
    """An :class:`Asker` for where nobody is: it says no."""

    async def ask(self, call: ToolCall, decision: Decision) -> Answer:
        """No."""
        del call, decision
        return Answer.NO


class PermissionGate:
    """Lets calls through, asks about them, or refuses them, for the agents of one mission.

    Questions are put one at a time, and one that was answered for the whole mission is not put
    again. For one event loop.

    Args:
        asker: who is asked.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._turn = asyncio.Lock()
        self._always: set[ToolCall] = set()

    async def require(self, call: ToolCall, permissions: Permissions) -> None:
        """Go on only with a call that is allowed.

        Raises:
            PermissionDenied: it is not; the message says why, for the model to read.
        """
        decision = permissions.decide(call)
        if decision.effect is Effect.ALLOW:
            return
        if decision.effect is Effect.DENY:
            raise PermissionDenied(f"{call.summary} is not allowed: {decision.reason}")
        async with self._turn:
            if call in self._always:
                return
            answer = await self._asker.ask(call, decision)
        logger.info("asked about %s: %s", call.summary, answer)
        if answer is Answer.ALWAYS:
            self._always.add(call)
        elif answer is not Answer.ONCE:
            raise PermissionDenied(
                f"{call.summary} was not allowed by the person ({decision.reason})"
            )
