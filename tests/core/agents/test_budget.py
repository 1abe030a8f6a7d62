"""The budget: reserved before, settled after, across all tasks of a mission, by any thread."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from orchestrator_core.agents.budget import Budget, Budgets, Reservation
from orchestrator_core.errors import BudgetExceeded
from orchestrator_core.records import Shortage, Spent
from orchestrator_core.safety import BudgetLimits

UNLIMITED = msgspec.convert(BudgetLimits.unlimited(), BudgetLimits)


def limits(**given: float) -> BudgetLimits:
    return msgspec.structs.replace(UNLIMITED, **given)


def test_a_call_is_settled_with_what_it_cost() -> None:
    budget = Budget(limits(tokens=100, money_usd=1.0, requests=2))
    with budget.reserve(60, 0.5) as call:
        spent = budget.spent()
        assert (spent.reserved_tokens, spent.reserved_money_usd, spent.tokens) == (60, 0.5, 0)
        call.settle(40, 0.25)
    spent = budget.spent()
    assert (spent.tokens, spent.money_usd, spent.requests) == (40, 0.25, 1)
    assert (spent.reserved_tokens, spent.reserved_money_usd) == (0, 0)


def test_a_call_that_broke_off_counts_as_reserved_and_one_not_made_as_nothing() -> None:
    budget = Budget(limits(tokens=100))
    with pytest.raises(RuntimeError), budget.reserve(60):
        raise RuntimeError
    assert (budget.spent().tokens, budget.spent().requests) == (60, 1)
    with budget.reserve(40) as call:
        call.release()
        call.settle(5)  # the first word counts
    assert (budget.spent().tokens, budget.spent().requests) == (60, 1)


@pytest.mark.parametrize(
    ("limit", "measure"),
    [({"tokens": 99}, "tokens"), ({"money_usd": 0.9}, "moneyUsd"), ({"requests": 0}, "requests")],
)
def test_what_does_not_fit_is_refused_with_what_to_do(
    limit: dict[str, float], measure: str
) -> None:
    budget = Budget(limits(**limit))
    refused = pytest.raises(BudgetExceeded, match=f"orchestrator.budget.{measure}")
    with refused as error, budget.reserve(100, 1.0):
        pytest.fail("the call was made")
    assert error.value.measure == measure
    assert budget.spent().requests == 0
    assert budget.spent().reserved_tokens == 0


def test_the_time_runs_out() -> None:
    now = 100.0
    budget = Budget(limits(seconds=10), clock=lambda: now)
    now = 109.0
    with budget.reserve(1) as call:
        call.settle(1)
    now = 110.0
    over = pytest.raises(BudgetExceeded, match="time is over")
    with over, budget.reserve(1):
        pytest.fail("the call was made")
    later = Budget(limits(seconds=30), clock=lambda: now, spent_before=budget.spent())
    assert later.spent().seconds == 10


def test_a_resumed_mission_goes_on_counting() -> None:
    first = Budget(limits(tokens=100))
    with first.reserve(90) as call:
        call.settle(90)
    resumed = Budget(limits(tokens=150), spent_before=first.spent())
    with pytest.raises(BudgetExceeded), resumed.reserve(70):
        pass
    with resumed.reserve(60) as call:
        call.settle(60)
    assert resumed.spent().tokens == 150
    assert resumed.spent().requests == 2


async def test_agents_beyond_the_limit_wait_for_their_turn() -> None:
    budget = Budget(limits(agents=2))
    begun: list[str] = []
    ends = {name: asyncio.Event() for name in "abcde"}

    async def work(name: str) -> None:
        async with budget.agent():
            begun.append(name)
            await ends[name].wait()

    working = {name: asyncio.ensure_future(work(name)) for name in "abcde"}
    await settled()
    assert (begun, budget.full) == (["a", "b"], True)
    working["c"].cancel()
    ends["b"].set()
    await settled()
    assert begun == ["a", "b", "d"]
    working["a"].cancel()
    await settled()
    assert begun == ["a", "b", "d", "e"]
    for end in ends.values():
        end.set()
    await asyncio.wait(working.values())
    assert not budget.full
    assert (budget.spent().agents, budget.spent().peak_agents) == (0, 2)


async def settled() -> None:
    """Everybody has gone as far as can be."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_without_a_limit_nobody_waits() -> None:
    budget = Budget(limits())
    async with budget.agent(), budget.agent():
        assert not budget.full
        assert budget.spent().agents == 2


SPENT = Spent(tokens=90, money_usd=0.5, requests=3, seconds=9.0, peak_agents=2)


@pytest.mark.parametrize(
    ("measure", "more", "too_little", "enough"),
    [
        ("tokens", 20, 109, 110),
        ("moneyUsd", 0.25, 0.7, 0.75),
        ("requests", 1, 3, 4),
        ("seconds", 0, 9, 10),
    ],
)
def test_a_mission_goes_on_with_what_it_lacked_and_not_with_less(
    measure: str, more: float, too_little: float, enough: float
) -> None:
    held = limits()
    budgets = Budgets(lambda: held)
    name = "money_usd" if measure == "moneyUsd" else measure
    for limit in (0, too_little):
        held = limits(**{name: limit})
        with pytest.raises(BudgetExceeded, match=f"orchestrator.budget.{measure}"):
            budgets.go_on("m", SPENT, Shortage(measure, more))
        assert budgets.spent("m") is None
    held = limits(**{name: enough})
    budgets.go_on("m", SPENT, Shortage(measure, more))
    spent = budgets.spent("m")
    assert spent is not None
    assert (spent.tokens, spent.requests, spent.peak_agents) == (90, 3, 2)
    assert budgets.of("m").spent().money_usd == 0.5
    budgets.forget("m")
    assert budgets.spent("m") is None


def test_a_measure_that_was_not_lacking_must_last_as_well() -> None:
    budgets = Budgets(lambda: limits(tokens=1000, requests=3))
    with pytest.raises(BudgetExceeded, match="requests"):
        budgets.go_on("m", SPENT, Shortage("tokens", 20))


def test_a_plan_of_no_mission_has_a_budget_of_its_own() -> None:
    budgets = Budgets(lambda: limits(tokens=100))
    assert budgets.of("m") is budgets.of("m")
    assert budgets.of("") is not budgets.of("")


def test_many_threads_never_reserve_more_than_there_is() -> None:
    mission = Budget(limits(tokens=1000))
    begin = threading.Barrier(8)
    refused: list[int] = []

    def work() -> None:
        begin.wait()
        for _ in range(100):
            try:
                with mission.reserve(7) as call:
                    spent = mission.spent()
                    assert spent.tokens + spent.reserved_tokens <= 1000
                    call.settle(5)
            except BudgetExceeded:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert refused
    assert mission.spent().tokens == 5 * mission.spent().requests <= 1000
    assert mission.spent().reserved_tokens == 0


class Spending(RuleBasedStateMachine):
    """Any order of reserving and ending."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(limits(tokens=200, requests=30))
        self.open: dict[Reservation, object] = {}

    @rule(target=calls, tokens=st.integers(0, 80))
    def reserve(self, tokens: int) -> Reservation | None:
        lease = self.budget.reserve(tokens)
        try:
            call = lease.__enter__()
        except BudgetExceeded:
            return None
        self.open[call] = lease
        return call

    @rule(call=calls, share=st.floats(0, 1), how=st.sampled_from(["settle", "release", "leave"]))
    def end(self, call: Reservation | None, share: float, how: str) -> None:
        lease = self.open.pop(call, None) if call else None
        if call is None or lease is None:
            return
        if how == "settle":
            call.settle(int(call._tokens * share))
        elif how == "release":
            call.release()
        lease.__exit__(None, None, None)  # type: ignore[attr-defined]

    @invariant()
    def no_limit_is_passed_and_nothing_is_lost(self) -> None:
        spent = self.budget.spent()
        assert spent.tokens + spent.reserved_tokens <= 200
        assert spent.requests + len(self.open) <= 30
        assert spent.reserved_tokens == sum(call._tokens for call in self.open)


TestSpending = Spending.TestCase
