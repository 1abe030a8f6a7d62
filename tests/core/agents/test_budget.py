"""The budget: reserved before, settled after, across the whole tree, by any thread."""

from __future__ import annotations

import threading

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from orchestrator_core.agents.budget import Budget, Reservation
from orchestrator_core.errors import BudgetExceeded
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


def test_the_time_runs_out_and_more_can_be_given() -> None:
    now = 100.0
    budget = Budget(limits(seconds=10), clock=lambda: now)
    assert budget.seconds_left() == 10
    now = 110.0
    assert budget.seconds_left() == 0
    with pytest.raises(BudgetExceeded, match="time is over"):
        budget.check()
    budget.extend(limits(seconds=30))
    budget.check()
    assert budget.seconds_left() == 20


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


def test_children_share_what_their_parent_has() -> None:
    mission = Budget(limits(tokens=100, agents=2))
    one, two = mission.child(limits(tokens=80)), mission.child(limits())
    with one.reserve(70), pytest.raises(BudgetExceeded), two.reserve(40):
        pass
    assert mission.spent().tokens == one.spent().tokens == 70
    assert two.spent().tokens == 0
    with pytest.raises(BudgetExceeded), one.child(limits()).reserve(20):
        pass
    with one.agent(), two.agent():
        with pytest.raises(BudgetExceeded, match="agents"), mission.child(limits()).agent():
            pass
        assert (mission.spent().agents, one.spent().agents) == (2, 1)
    assert (mission.spent().agents, mission.spent().peak_agents) == (0, 2)


def test_many_threads_never_reserve_more_than_there_is() -> None:
    mission = Budget(limits(tokens=1000))
    children = [mission.child(limits(tokens=300)) for _ in range(8)]
    begin = threading.Barrier(len(children))
    refused: list[int] = []

    def work(budget: Budget) -> None:
        begin.wait()
        for _ in range(100):
            try:
                with budget.reserve(7) as call:
                    spent = mission.spent()
                    assert spent.tokens + spent.reserved_tokens <= 1000
                    call.settle(5)
            except BudgetExceeded:
                refused.append(1)

    threads = [threading.Thread(target=work, args=(child,)) for child in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert refused
    assert mission.spent().tokens == sum(child.spent().tokens for child in children) <= 1000
    assert mission.spent().reserved_tokens == 0


class Spending(RuleBasedStateMachine):
    """Any order of reserving and ending, in any part of the tree."""

    budgets = Bundle("budgets")
    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.root = Budget(limits(tokens=200, requests=30))
        self.all = [self.root]
        self.open: dict[Reservation, object] = {}
        self.settled = 0

    @rule(target=budgets)
    def mission(self) -> Budget:
        return self.root

    @rule(target=budgets, parent=budgets, tokens=st.none() | st.integers(0, 250))
    def child(self, parent: Budget, tokens: int | None) -> Budget:
        child = parent.child(limits() if tokens is None else limits(tokens=tokens))
        self.all.append(child)
        return child

    @rule(target=calls, budget=budgets, tokens=st.integers(0, 80))
    def reserve(self, budget: Budget, tokens: int) -> Reservation | None:
        lease = budget.reserve(tokens)
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
        for budget in self.all:
            spent, limit = budget.spent(), budget.limits.tokens
            assert limit is None or spent.tokens + spent.reserved_tokens <= limit
        assert self.root.spent().reserved_tokens == sum(call._tokens for call in self.open)


TestSpending = Spending.TestCase
