"""Work that takes longer than a token is held: it keeps its slots, and is no failure of anybody."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from core.agents import acp_tasks
from core.agents.acp_tasks import planned, run_planned
from core.runtime.virtual_time import now_s, run_virtual
from orchestrator_core.agents.budget import Budget
from orchestrator_core.agents.chat import Prompt, Reply, Usage
from orchestrator_core.agents.model_gate import ModelGate
from orchestrator_core.records import MissionStatus
from orchestrator_core.runtime.circuit import CircuitBreaker, CircuitState
from orchestrator_core.runtime.concurrency import ConcurrencyController
from orchestrator_core.safety import BudgetLimits
from scripted_model import rule, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.agents.conftest import OpenWith, OpenWithAgent
    from orchestrator_core.orchestrator import Orchestrator

HELD_S = 0.05
"""Every turn of a real mission takes longer: it goes through a process or two."""


class SlowModel:
    """Takes twenty minutes for an answer, and says something now and then."""

    name = "slow"

    async def ready(self) -> None:
        """At once."""

    async def reply(self, prompt: Prompt, on_text: Callable[[str], None]) -> Reply:
        """After twenty minutes."""
        del prompt
        for _ in range(20):
            await asyncio.sleep(60)
            on_text("…")
        return Reply("done", usage=Usage(1, 1))

    def price_usd(self, usage: Usage) -> float:
        """Nothing."""
        del usage
        return 0.0

    async def close(self) -> None:
        """Nothing is held."""


def test_calls_of_twenty_minutes_hold_their_slots_and_open_no_circuit() -> None:
    async def main() -> None:
        held = ConcurrencyController(
            clock_s=now_s, memory=lambda: 0.0, circuit=lambda: CircuitBreaker(clock_s=now_s)
        )
        gate = ModelGate(SlowModel(), held, clock_s=now_s)
        budget = Budget(BudgetLimits(seconds=None), clock=now_s)
        prompt = Prompt("", (), (), 10)
        calls = [asyncio.ensure_future(gate.call(prompt, budget, lambda _: None)) for _ in range(9)]
        await asyncio.sleep(1000)
        assert held.stats("model")["slow"].active == 9
        before = held.stats("role")["model"].limit
        assert [reply.text for reply in await asyncio.gather(*calls)] == ["done"] * 9
        assert held.stats("model")["slow"].circuit is CircuitState.CLOSED
        assert held.stats("role")["model"].limit >= before

    run_virtual(main())


@pytest.fixture
def short_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that nobody keeps is lost soon."""
    defaults = ConcurrencyController.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "hold_limit_s", HELD_S)


def assert_nobody_failed(engine: Orchestrator, caplog: pytest.LogCaptureFixture) -> None:
    """No token was lost, and no circuit or limit has moved for it."""
    concurrency = engine._services.engine.concurrency
    for dimension in ("role", "backend", "model"):
        for name, stats in concurrency.stats(dimension).items():
            assert stats.circuit is CircuitState.CLOSED, name
            assert stats.active == 0, name
    assert "was held for" not in caplog.text


@pytest.mark.usefixtures("short_hold")
async def test_an_agent_and_its_mission_keep_their_slots(
    with_agent: OpenWithAgent, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with with_agent(*planned(acp_tasks.WORK)) as (engine, _):
            report = await run_planned(engine)
            assert_nobody_failed(engine, caplog)
    assert report.status is MissionStatus.DONE, report.reason
    assert report.duration_s > HELD_S


@pytest.mark.usefixtures("short_hold")
async def test_a_model_and_its_mission_keep_their_slots(
    scripted: OpenWith, caplog: pytest.LogCaptureFixture
) -> None:
    edits: list[dict[str, Any]] = [
        rule(say(acp_tasks.PLAN), match=acp_tasks.PLANNER),
        rule(say("Nothing to do."), match=acp_tasks.WORKER, again=True),
    ]
    with caplog.at_level(logging.WARNING):
        async with scripted(*edits) as (engine, _):
            report = await run_planned(engine)
            assert_nobody_failed(engine, caplog)
    assert report.status is MissionStatus.DONE, report.reason
