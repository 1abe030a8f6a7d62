"""Limits and circuits follow how the work of who held a slot ended."""

from __future__ import annotations

import asyncio

import pytest

from core.runtime.controllers import controller, settle, virtual
from core.runtime.virtual_time import run_virtual
from orchestrator_core.errors import (
    AcquireTimeout,
    AgentError,
    CircuitOpen,
    EditRefused,
    PoolClosed,
    StaleEdit,
    TaskTextError,
    ToolCrashed,
    ToolRejected,
)
from orchestrator_core.runtime.circuit import CircuitState
from orchestrator_core.runtime.concurrency_token import ConcurrencyToken


async def test_limits_follow_success_and_failure_and_wake_who_waits() -> None:
    subject = controller()
    tokens = [await subject.acquire("worker") for _ in range(10)]
    waiting = asyncio.ensure_future(subject.acquire("worker").__aenter__())
    also = asyncio.ensure_future(subject.acquire("worker").__aenter__())
    await settle()
    for token in tokens[:3]:
        token.release(True)
    await settle()
    assert subject.stats()["worker"].limit == 11
    assert waiting.done()
    assert also.done()
    for token in tokens[3:5]:
        token.release(False)
    assert subject.stats()["worker"].limit == 10
    for token in (*tokens[5:], waiting.result(), also.result()):
        token.release(None)
    assert subject.stats()["worker"].limit == 10


async def test_a_raised_limit_wakes_who_waits() -> None:
    subject = controller(roles={"worker": 1})
    held = await subject.acquire("worker")
    waiting = asyncio.ensure_future(subject.acquire("worker").__aenter__())
    await settle()
    assert not waiting.done()
    subject.resize("role", "worker", 2)
    (await waiting).release()
    held.release()


async def test_a_configured_limit_and_the_one_commander_are_never_exceeded() -> None:
    subject = controller(roles={"worker": 2})
    for _ in range(12):
        for role in ("commander", "worker", "planner"):
            async with subject.acquire(role):
                pass
    limits = {role: s.limit for role, s in subject.stats().items()}
    assert limits == {"commander": 1, "worker": 2, "planner": 14, "reviewer": 10}


async def test_without_auto_scaling_limits_stay() -> None:
    subject = controller(auto_scale=False)
    for _ in range(9):
        async with subject.acquire("worker"):
            pass
    assert subject.stats()["worker"].limit == 10


async def test_an_exception_counts_as_failure_and_a_cancellation_as_nothing() -> None:
    subject = controller()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            async with subject.acquire("worker"):
                raise ValueError("broken")
    assert subject.stats()["worker"].limit == 9
    for _ in range(4):
        with pytest.raises(asyncio.CancelledError):
            async with subject.acquire("worker"):
                raise asyncio.CancelledError
    assert subject.stats()["worker"].limit == 9
    assert subject.stats()["worker"].circuit is CircuitState.CLOSED


@pytest.mark.parametrize(
    "error",
    [
        TaskTextError("no verb understands this"),
        StaleEdit("a.py"),
        EditRefused("the editor refused"),
        ToolRejected("the pattern is wrong"),
        AcquireTimeout("no slot"),
        PoolClosed("the end has begun"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_nobodys_fault_moves_no_limit_and_opens_no_circuit(error: Exception) -> None:
    """Five typing errors must not keep the planner from the sixth text."""
    subject = controller()
    for _ in range(6):
        with pytest.raises(type(error)):
            async with subject.acquire("planner"):
                raise error
    stats = subject.stats()["planner"]
    assert (stats.limit, stats.circuit) == (10, CircuitState.CLOSED)


@pytest.mark.parametrize(
    "error",
    [AgentError("no answer"), ToolCrashed("gone"), TimeoutError(), ValueError("a mistake")],
    ids=lambda error: type(error).__name__,
)
async def test_failures_of_who_works_lower_its_limit_and_open_its_circuit(error: Exception) -> None:
    subject = controller()
    for _ in range(5):
        with pytest.raises(type(error)):
            async with subject.acquire("planner", backend="api"):
                raise error
    stats = subject.stats()["planner"]
    assert (stats.limit, stats.circuit) == (8, CircuitState.OPEN)
    assert subject.stats("backend")["api"].circuit is CircuitState.OPEN


def test_a_probe_that_says_nothing_makes_room_for_the_next_probe() -> None:
    async def main() -> None:
        subject = virtual()
        for _ in range(5):
            (await subject.acquire("planner")).release(False)
        await asyncio.sleep(30)
        for _ in range(3):
            (await subject.acquire("planner")).release(None)
            assert subject.stats()["planner"].circuit is CircuitState.HALF_OPEN
        for _ in range(2):
            (await subject.acquire("planner")).release(True)
        assert subject.stats()["planner"].circuit is CircuitState.CLOSED

    run_virtual(main())


def test_five_failures_refuse_everybody_for_thirty_seconds_then_admit_one() -> None:
    async def main() -> None:
        subject = virtual(backends={"api": 1})
        held = await subject.acquire("planner", backend="api")
        waiting = asyncio.ensure_future(subject.acquire("planner", backend="api").__aenter__())
        await settle()
        for _ in range(4):
            (await subject.acquire("planner")).release(False)
        held.release(False)
        with pytest.raises(CircuitOpen, match=r"planner failed too often.*in 30 s"):
            await waiting
        with pytest.raises(CircuitOpen):
            await subject.acquire("planner")
        (await subject.acquire("worker")).release()
        await asyncio.sleep(30)
        assert subject.stats()["planner"].circuit is CircuitState.HALF_OPEN
        outcomes = await asyncio.gather(
            *[subject.acquire("planner").__aenter__() for _ in range(5)], return_exceptions=True
        )
        probes = [o for o in outcomes if isinstance(o, ConcurrencyToken)]
        assert len(probes) == 1
        assert sum(isinstance(o, CircuitOpen) for o in outcomes) == 4
        probes[0].release(True)
        (await subject.acquire("planner")).release(True)
        assert subject.stats()["planner"].circuit is CircuitState.CLOSED

    run_virtual(main())
