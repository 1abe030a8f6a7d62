"""Calls to one model, by all who talk to it: within the budget, under the circuit, tried again.

What passes is tried again with growing pauses: too many requests, a server that fails, a stream
that is cut off or falls silent. When the model's side asks to be left alone for a while,
everybody waits. What does not pass ends the task with its reason.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from orchestrator_core.agents.chat import Usage, estimate_tokens
from orchestrator_core.errors import AgentError, CircuitOpen, ModelFault
from orchestrator_core.primitives.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.agents.budget import Budget, Reservation
    from orchestrator_core.agents.chat import ChatModel, Prompt, Reply
    from orchestrator_core.runtime.concurrency import ConcurrencyController

log = logging.getLogger(__name__)

ATTEMPTS = 6
ROLE = "model"
SESSIONS = 50
"""Calls at once, to begin with: roles have limits of their own, and failures lower this one."""

PATIENCE_S = 120.0
"""Whoever asks to be left alone for longer is not waited for."""


def pauses() -> Backoff:
    """The pauses between attempts."""
    return Backoff(0.5, 30.0, jitter=0.5)


class ModelGate:
    """The way to one model. Lives on one event loop.

    Args:
        model: who is called; closed with the gate.
        concurrency: holds a slot and a circuit for the model.
        backoff: makes the pauses of one call.
        sleep: waits.
        clock_s: monotonic.
    """

    def __init__(
        self,
        model: ChatModel,
        concurrency: ConcurrencyController,
        *,
        backoff: Callable[[], Backoff] = pauses,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        concurrency.resize("role", ROLE, SESSIONS)
        self._concurrency = concurrency
        self._backoff = backoff
        self._sleep = sleep
        self._clock_s = clock_s
        self._not_before_s = 0.0

    async def call(self, prompt: Prompt, budget: Budget, on_text: Callable[[str], None]) -> Reply:
        """One turn, tried again where that may help. Cancelling it ends the request at once.

        Raises:
            BudgetExceeded: it may cost more than is left.
            ContextOverflow: the prompt is too long.
            AgentError: it did not go well; the message says why, and how often it was tried.
        """
        waits = self._backoff()
        why = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._once(prompt, budget, on_text)
            except (ModelFault, CircuitOpen) as error:
                asked_s = None
                if isinstance(error, ModelFault):  # a circuit only tells of such
                    why, asked_s = str(error), error.retry_after_s
                if attempt == ATTEMPTS:
                    raise AgentError(f"{why or error} (tried {ATTEMPTS} times)") from error
                pause_s = max(waits.next_s(), asked_s or 0.0)
                if pause_s > PATIENCE_S:
                    raise AgentError(f"{why} (asks to wait {pause_s:.0f} s)") from error
                log.info("attempt %d, again in %.1f s: %s", attempt, pause_s, error)
                if asked_s is not None:
                    self._not_before_s = max(self._not_before_s, self._clock_s() + asked_s)
            await self._sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Give up the model's connections."""
        await self.model.close()

    async def _once(self, prompt: Prompt, budget: Budget, on_text: Callable[[str], None]) -> Reply:
        if (wait_s := self._not_before_s - self._clock_s()) > 0:
            await self._sleep(wait_s)
        await self.model.ready()
        most = Usage(estimate_tokens(prompt), prompt.max_output_tokens)
        with budget.reserve(most.total, self.model.price_usd(most)) as reservation:
            try:
                token = await self._concurrency.acquire(ROLE, model=self.model.name)
            except BaseException:
                reservation.release()  # no call was made
                raise
            with token, token.kept():
                try:
                    reply = await self._send(prompt, reservation, on_text)
                except ModelFault as error:
                    if error.retry_after_s is not None:
                        token.release(None)  # it is well, and has enough to do
                    raise
            reservation.settle(reply.usage.total, self.model.price_usd(reply.usage))
            return reply

    async def _send(
        self, prompt: Prompt, reservation: Reservation, on_text: Callable[[str], None]
    ) -> Reply:
        begun = False

        def hear(text: str) -> None:
            nonlocal begun
            begun = True
            on_text(text)

        try:
            return await self.model.reply(prompt, hear)
        except AgentError:
            if not begun:
                reservation.settle(0)  # refused before it said anything: a request, and free
            raise
