"""The budget of a mission: reserved before a call, settled after it, across all its tasks."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from orchestrator_core.errors import BudgetExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from orchestrator_core.safety import BudgetLimits


class Spent(Struct, frozen=True, rename="camel"):
    """What was spent, and what is reserved by calls that have not ended.

    Attributes:
        agents: at work now.
        peak_agents: the most that were at work at once.
    """

    tokens: int = 0
    money_usd: float = 0.0
    requests: int = 0
    seconds: float = 0.0
    agents: int = 0
    peak_agents: int = 0
    reserved_tokens: int = 0
    reserved_money_usd: float = 0.0


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
            if not self._open:
                return
            self._open = False
            for budget in self._budget.line():
                budget.set_aside(-self._tokens, -self._money_usd, -1)
                budget.spend(tokens, money_usd, requests)


class Budget:
    """Limits, and what was spent of them; a child's spending counts in all its ancestors.

    Thread-safe; nothing here waits, so it may be used on the event loop.

    Args:
        limits: the most that may be spent here and in all children.
        clock: seconds that only go forward.
        spent_before: what an earlier part of the mission has spent, when it is resumed.
    """

    def __init__(
        self,
        limits: BudgetLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
        spent_before: Spent | None = None,
        parent: Budget | None = None,
    ) -> None:
        before = spent_before or Spent()
        self.lock: threading.RLock = parent.lock if parent else threading.RLock()
        self._parent = parent
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
        self._peak_agents = before.peak_agents

    @property
    def limits(self) -> BudgetLimits:
        """The limits that hold now."""
        return self._limits

    def child(self, limits: BudgetLimits) -> Budget:
        """A part of this budget with limits of its own; those above go on to hold as well."""
        return Budget(limits, clock=self._clock, parent=self)

    def extend(self, limits: BudgetLimits) -> None:
        """Go on with other limits, for a mission that is resumed with more."""
        with self.lock:
            self._limits = limits

    @contextmanager
    def reserve(self, tokens: int, money_usd: float = 0.0) -> Generator[Reservation]:
        """Set aside what one call may cost, for as long as it lasts.

        Whoever leaves without settling forfeits the reservation: a call that broke off may have
        been charged.

        Raises:
            BudgetExceeded: it is more than is left here or in an ancestor.
        """
        with self.lock:
            for budget in self.line():
                budget.require(tokens, money_usd)
            for budget in self.line():
                budget.set_aside(tokens, money_usd, 1)
        reservation = Reservation(self, tokens, money_usd)
        try:
            yield reservation
        finally:
            reservation.forfeit()

    @contextmanager
    def agent(self) -> Generator[None]:
        """Count one agent as at work, for as long as this lasts.

        Raises:
            BudgetExceeded: as many as allowed are at work here or in an ancestor.
        """
        with self.lock:
            for budget in self.line():
                budget.require_agent()
            for budget in self.line():
                budget.count_agent(1)
        try:
            yield
        finally:
            with self.lock:
                for budget in self.line():
                    budget.count_agent(-1)

    def check(self) -> None:
        """Go on only while there is time and something left of each measure.

        Raises:
            BudgetExceeded: nothing is left of one.
        """
        with self.lock:
            for budget in self.line():
                budget.require(1, 0.0)

    def spent(self) -> Spent:
        """The figures at this moment."""
        with self.lock:
            return Spent(
                tokens=self._tokens,
                money_usd=self._money_usd,
                requests=self._requests,
                seconds=self._clock() - self._started,
                agents=self._agents,
                peak_agents=self._peak_agents,
                reserved_tokens=self._reserved_tokens,
                reserved_money_usd=self._reserved_money_usd,
            )

    def seconds_left(self) -> float | None:
        """How long calls may still take, here and in all ancestors; None without a limit."""
        now = self._clock()
        left = [
            budget.limits.seconds - (now - budget._started)  # noqa: SLF001 - of its own class
            for budget in self.line()
            if budget.limits.seconds is not None
        ]
        return max(0.0, min(left)) if left else None

    # What follows is for this module, with the lock held.

    def line(self) -> Iterator[Self | Budget]:
        """This budget and its ancestors."""
        budget: Self | Budget | None = self
        while budget is not None:
            yield budget
            budget = budget._parent  # noqa: SLF001 - of its own class

    def require(self, tokens: int, money_usd: float) -> None:
        """Raise unless so much is left here."""
        limits = self._limits
        used_tokens = self._tokens + self._reserved_tokens
        used_usd = self._money_usd + self._reserved_money_usd
        used_requests = self._requests + self._reserved_requests
        used_s = self._clock() - self._started
        if limits.tokens is not None and used_tokens + tokens > limits.tokens:
            raise _exceeded("tokens", used_tokens, limits.tokens, f"{tokens} more are needed")
        if limits.money_usd is not None and used_usd + money_usd > limits.money_usd:
            wanted = f"the next call may cost {money_usd:.4g}"
            raise _exceeded("moneyUsd", used_usd, limits.money_usd, wanted)
        if limits.requests is not None and used_requests + 1 > limits.requests:
            raise _exceeded("requests", used_requests, limits.requests, "one more is needed")
        if limits.seconds is not None and used_s >= limits.seconds:
            raise _exceeded("seconds", used_s, limits.seconds, "the time is over")

    def require_agent(self) -> None:
        """Raise unless one more agent may work here."""
        limit = self._limits.agents
        if limit is not None and self._agents + 1 > limit:
            raise _exceeded("agents", self._agents, limit, "one more would work")

    def count_agent(self, change: int) -> None:
        """One agent more or less is at work."""
        self._agents += change
        self._peak_agents = max(self._peak_agents, self._agents)

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


def _exceeded(measure: str, used: float, limit: float, wanted: str) -> BudgetExceeded:
    return BudgetExceeded(
        f"the budget of {limit:g} {measure} does not suffice: {used:g} used or reserved, and "
        f"{wanted}. Raise orchestrator.budget.{measure} and run the mission again",
        measure,
    )
