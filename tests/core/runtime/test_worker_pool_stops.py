"""Tasks of the worker pool that are cancelled or late."""

from __future__ import annotations

import asyncio
import threading

import pytest

from core.runtime.pools import WAIT_S, occupied, until
from orchestrator_core.errors import DeadlineExceeded
from orchestrator_core.runtime.future import CancelledError
from orchestrator_core.runtime.pool_task import check_cancelled, current_cancelled
from orchestrator_core.runtime.worker_pool import WorkStealingPool


async def test_cancelling_the_awaiting_task_stops_a_cooperative_task(
    pool: WorkStealingPool,
) -> None:
    started, stopped = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        try:
            until(current_cancelled)
            check_cancelled()
        finally:
            stopped.set()

    async def wait() -> None:
        await pool.submit(work)

    task = asyncio.ensure_future(wait())
    await asyncio.to_thread(started.wait, WAIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(stopped.wait, WAIT_S)


def test_a_cancelled_queued_task_never_runs(pool: WorkStealingPool) -> None:
    ran: list[int] = []
    with occupied(pool):
        futures = [pool.submit(ran.append, n) for n in range(10)]
        assert all(f.cancel() for f in futures[::2])
        assert pool.stats().queued == 5
    for future in futures[1::2]:
        future.result(WAIT_S)
    assert sorted(ran) == [1, 3, 5, 7, 9]
    assert all(f.cancelled() for f in futures[::2])


def test_a_running_task_learns_that_it_is_cancelled(pool: WorkStealingPool) -> None:
    started = threading.Event()

    def work() -> None:
        started.set()
        until(current_cancelled)
        check_cancelled()

    future = pool.submit(work)
    started.wait(WAIT_S)
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(WAIT_S)
    assert future.cancelled()


def test_a_result_that_comes_despite_a_cancellation_is_kept(pool: WorkStealingPool) -> None:
    started = threading.Event()

    def work() -> str:
        started.set()
        until(current_cancelled)
        return "finished all the same"

    future = pool.submit(work)
    started.wait(WAIT_S)
    future.cancel()
    assert future.result(WAIT_S) == "finished all the same"


def test_nobody_is_cancelled_outside_a_pool() -> None:
    assert not current_cancelled()
    check_cancelled()


def test_a_queued_task_past_its_deadline_never_runs(pool: WorkStealingPool) -> None:
    ran: list[int] = []
    with occupied(pool):
        future = pool.submit(ran.append, 1, deadline_s=0.01)
        with pytest.raises(DeadlineExceeded, match=r"0\.01 s"):
            future.result(WAIT_S)
    assert pool.submit(int).result(WAIT_S) == 0
    assert ran == []
    assert pool.stats().queued == 0


def test_a_running_task_past_its_deadline_is_asked_to_stop(pool: WorkStealingPool) -> None:
    stopped = threading.Event()

    def work() -> str:
        until(current_cancelled)
        stopped.set()
        return "too late"

    future = pool.submit(work, deadline_s=0.01)
    assert isinstance(future.exception(WAIT_S), DeadlineExceeded)
    assert stopped.wait(WAIT_S)
    until(lambda: pool.stats().busy == 0)
    assert isinstance(future.exception(), DeadlineExceeded)  # the late result is dropped


def test_a_deadline_that_is_met_changes_nothing(pool: WorkStealingPool) -> None:
    futures = [pool.submit(abs, -n, deadline_s=60.0) for n in range(100)]
    assert [f.result(WAIT_S) for f in futures] == list(range(100))
    until(lambda: not pool._timer._entries)  # nothing left to wake up for
