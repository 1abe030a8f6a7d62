"""The budget of a mission: reserved before a call, settled after it, across all its tasks."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from orchestrator_core.errors import BudgetExceeded
from orchestrator_core.records import Spent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from orchestrator_core.records import Shortage
    from orchestrator_core.safety import BudgetLimits


class Reservation:
    """What one call may cost. Made by :meth:`Budget.reserve`; ended once, from any thread."""

    def __init__(self, budget: Budget, tokens: int, money_usd: float) -> None:
        self._budget = budget
        self._tokens = tokens
        self._money_usd = money_usd
        self._open = True

    def settle(self, tokens: int, money_usd: float = 0.0) -> None:
        """Say what the call really cost, be it more than was reserved."""
        self._end(max(0, tokens), max(0.0, money_usd), requests=1)

    def release(self) -> None:
        """Say that the call was never made: it costs nothing, and is no request."""
        self._end(0, 0.0, requests=0)

    def forfeit(self) -> None:
        """Count the whole reservation: the call was made, and nobody knows what it cost."""
        self._end(self._tokens, self._money_usd, requests=1)

    def _end(self, tokens: int, money_usd: float, *, requests: int) -> None:
        with self._budget.lock:
            if self._open:
                self._open = False
                self._budget.set_aside(-self._tokens, -self._money_usd, -1)
                self._budget.spend(tokens, money_usd, requests)


class Budget:
    """Limits, and what was spent of them by all tasks of a mission, their parts included.

    Thread-safe, and nothing waits but :meth:`agent`, which is for one event loop.

    Args:
        limits: the most that may be spent.
        clock: seconds that only go forward.
        spent_before: what an earlier part of the mission has spent, when it is resumed.
    """

    def __init__(
        self,
        limits: BudgetLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
        spent_before: Spent | None = None,
    ) -> None:
        before = spent_before or Spent()
        self.lock = threading.RLock()
        self._limits = limits
        self._clock = clock
        self._started = clock() - before.seconds
        self._tokens = before.tokens
        self._money_usd = before.money_usd
        self._requests = before.requests
        self._reserved_tokens = 0
        self._reserved_money_usd = 0.0
        self._reserved_requests = 0
        self._agents = 0
        self._places = asyncio.Semaphore(limits.agents) if limits.agents is not None else None
        self._peak_agents = before.peak_agents

    @contextmanager
    def reserve(self, tokens: int, money_usd: float = 0.0) -> Generator[Reservation]:
        """Set aside what one call may cost, for as long as it lasts.

        Whoever leaves without settling forfeits the reservation: a call that broke off may have
        been charged.

        Raises:
            BudgetExceeded: it is more than is left.
        """
        with self.lock:
            self._require(tokens, money_usd)
            self.set_aside(tokens, money_usd, 1)
        reservation = Reservation(self, tokens, money_usd)
        try:
            yield reservation
        finally:
            reservation.forfeit()

    @property
    def full(self) -> bool:
        """Whether as many agents as may are at work, so that one more waits."""
        return self._places is not None and self._places.locked()

    @asynccontextmanager
    async def agent(self) -> AsyncGenerator[None]:
        """Be one of the agents at work, for as long as this lasts.

        Where as many as may are at work already, wait for a place, each in its turn.
        """
        async with self._places or nullcontext():
            with self.lock:
                self._agents += 1
                self._peak_agents = max(self._peak_agents, self._agents)
            try:
                yield
            finally:
                with self.lock:
                    self._agents -= 1

    def require(self, shortage: Shortage) -> None:
        """Go on only if there is room for what was lacking, and something left of all else.

        Raises:
            BudgetExceeded: it would lack again.
        """
        tokens = int(shortage.more) if shortage.measure == "tokens" else 1
        money_usd = shortage.more if shortage.measure == "moneyUsd" else 0.0
        with self.lock:
            self._require(tokens, money_usd)

    def spent(self) -> Spent:
        """The figures at this moment."""
        with self.lock:
            return Spent(
                tokens=self._tokens,
                money_usd=self._money_usd,
                requests=self._requests,
                seconds=round(self._clock() - self._started, 3),
                agents=self._agents,
                peak_agents=self._peak_agents,
                reserved_tokens=self._reserved_tokens,
                reserved_money_usd=self._reserved_money_usd,
            )

    # What follows is for this module, with the lock held.

    def set_aside(self, tokens: int, money_usd: float, requests: int) -> None:
        """So much more is reserved, or less."""
        self._reserved_tokens += tokens
        self._reserved_money_usd += money_usd
        self._reserved_requests += requests

    def spend(self, tokens: int, money_usd: float, requests: int) -> None:
        """So much more is spent."""
        self._tokens += tokens
        self._money_usd += money_usd
        self._requests += requests

    def _require(self, tokens: int, money_usd: float) -> None:
        limits = self._limits
        used_tokens = self._tokens + self._reserved_tokens
        used_usd = self._money_usd + self._reserved_money_usd
        used_requests = self._requests + self._reserved_requests
        used_s = self._clock() - self._started
        if limits.tokens is not None and used_tokens + tokens > limits.tokens:
            wanted = f"{tokens} more are needed"
            raise _exceeded("tokens", used_tokens, limits.tokens, tokens, wanted)
        if limits.money_usd is not None and used_usd + money_usd > limits.money_usd:
            wanted = f"the next call may cost {money_usd:.4g}"
            raise _exceeded("moneyUsd", used_usd, limits.money_usd, money_usd, wanted)
        if limits.requests is not None and used_requests + 1 > limits.requests:
            raise _exceeded("requests", used_requests, limits.requests, 1, "one more is needed")
        if limits.seconds is not None and used_s >= limits.seconds:
            raise _exceeded("seconds", used_s, limits.seconds, 0, "the time is over")


class Budgets:
    """The budgets of a workspace's missions. Lives on the event loop.

    Args:
        limits: those in force when a mission begins, or goes on.
    """

    def __init__(self, limits: Callable[[], BudgetLimits]) -> None:
        self._limits = limits
        self._budgets: dict[str, Budget] = {}

    def of(self, mission_id: str) -> Budget:
        """The budget of a mission; a plan that belongs to none has one of its own."""
        if not mission_id:
            return Budget(self._limits())
        if mission_id not in self._budgets:
            self._budgets[mission_id] = Budget(self._limits())
        return self._budgets[mission_id]

    def go_on(self, mission_id: str, spent: Spent | None, shortage: Shortage | None) -> None:
        """Have a mission that is resumed begin with what it has spent before.

        Args:
            mission_id: which mission.
            spent: what it has spent; None where it has called no model.
            shortage: what its budget lacked, if that is why it was stopped.

        Raises:
            BudgetExceeded: it would lack again.
        """
        budget = Budget(self._limits(), spent_before=spent)
        if shortage is not None:
            budget.require(shortage)
        if spent is not None:
            self._budgets[mission_id] = budget

    def spent(self, mission_id: str) -> Spent | None:
        """What a mission has spent; None where it has called no model."""
        budget = self._budgets.get(mission_id)
        return budget.spent() if budget else None

    def forget(self, mission_id: str) -> None:
        """A mission has ended."""
        self._budgets.pop(mission_id, None)


def _exceeded(measure: str, used: float, limit: float, more: float, wanted: str) -> BudgetExceeded:
    return BudgetExceeded(
        f"the budget of {limit:g} {measure} does not suffice: {used:g} used or reserved, and "
        f"{wanted}. Raise orchestrator.budget.{measure} to go on",
        measure,
        more,
    )
