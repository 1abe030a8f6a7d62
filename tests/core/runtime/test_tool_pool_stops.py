"""Calls of the tool pool that are cancelled or late stop their work."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from core.runtime.tool_bench import WAIT_S, Bench, eventually
from orchestrator_core.errors import (
    ToolTimeout,
)
from orchestrator_core.runtime.future import CancelledError


def test_the_deadline_of_a_call_stops_its_work(bench: Bench) -> None:
    pool = bench.pool()
    pool.submit("echo").result(WAIT_S)
    with pytest.raises(ToolTimeout):
        pool.submit("wait", {"seconds": 600}, timeout_s=0.05).result(WAIT_S)
    assert pool.submit("was_cancelled").result(WAIT_S) == {"count": 1}
    assert len(bench.starts()) == 1


def test_a_call_that_waits_for_a_process_has_a_deadline_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_START", "hang")
    with pytest.raises(ToolTimeout):
        bench.pool(stop_s=0.2).submit("echo", timeout_s=0.1).result(WAIT_S)


def test_cancelling_a_future_stops_the_work(bench: Bench) -> None:
    pool = bench.pool()
    pool.submit("echo").result(WAIT_S)
    call = pool.submit("wait", {"seconds": 600})
    assert call.cancel()
    with pytest.raises(CancelledError):
        call.result(WAIT_S)
    assert pool.submit("was_cancelled").result(WAIT_S) == {"count": 1}


async def test_cancelling_the_awaiting_task_stops_the_work(bench: Bench) -> None:
    pool = bench.pool()
    await pool.submit("echo")

    async def work() -> None:
        await pool.submit("wait", {"seconds": 600})

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.submit("was_cancelled") == {"count": 1}


def test_a_waiting_call_that_is_cancelled_is_never_sent(bench: Bench) -> None:
    pool = bench.pool(max_processes=1, calls_per_process=1)
    running = pool.submit("wait", {"seconds": 600})
    waiting = pool.submit("crash")
    assert waiting.cancel()
    assert running.cancel()
    assert pool.submit("echo").result(WAIT_S)
    assert len(bench.starts()) == 1


def test_a_process_that_does_not_stop_a_cancelled_call_is_killed(bench: Bench) -> None:
    pool = bench.pool(stop_s=0.2)
    old = pool.submit("echo").result(WAIT_S)["pid"]
    pool.submit("stubborn", {"seconds": 600}).cancel()
    eventually(lambda: not psutil.pid_exists(old))
    assert pool.submit("echo").result(WAIT_S)["pid"] != old


def test_a_stubborn_call_does_not_take_the_others_with_it(bench: Bench) -> None:
    pool = bench.pool(stop_s=0.1)
    old = pool.submit("echo").result(WAIT_S)["pid"]
    other = pool.submit("stubborn", {"seconds": 0.6})
    pool.submit("stubborn", {"seconds": 600}).cancel()
    assert other.result(WAIT_S) == {"pid": old}
    eventually(lambda: not psutil.pid_exists(old))
