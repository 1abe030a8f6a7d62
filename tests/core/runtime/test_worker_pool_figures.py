"""The worker pool's statistics are true."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from core.runtime.pools import WAIT_S, occupied, occupied_by_one, until
from orchestrator_core.runtime.future import Future
from orchestrator_core.runtime.worker_pool import WorkStealingPool


def test_statistics_are_true(pool: WorkStealingPool) -> None:
    def fail() -> None:
        raise ValueError

    futures: list[Future[Any]] = [pool.submit(int) for _ in range(50)]
    futures += [pool.submit(fail) for _ in range(5)]
    for future in futures:
        future.exception(WAIT_S)
    stats = pool.stats()
    assert (stats.total, stats.queued, stats.submitted) == (2, 0, 55)
    assert (stats.executed, stats.failed) == (55, 5)
    assert 0 <= stats.utilization <= 1
    assert len(stats.worker_utilization) == 2
    assert 0 < stats.run_time.p50_s <= stats.run_time.p90_s <= stats.run_time.max_s
    with occupied(pool):
        for _ in range(3):
            pool.submit(int)
        busy = pool.stats()
        assert (busy.busy, busy.queued) == (2, 3)


def test_times_are_those_of_the_clock() -> None:
    now_ns = 1_000_000_000

    def clock() -> int:
        return now_ns

    with WorkStealingPool(1, clock_ns=clock) as pool:
        before = pool.stats()
        started, release = threading.Event(), threading.Event()

        def hold() -> None:
            started.set()
            release.wait(WAIT_S)

        held = pool.submit(hold)
        started.wait(WAIT_S)
        queued = pool.submit(int)
        now_ns += 3_000_000_000
        assert [t.running_s for t in pool.running()] == [3.0]
        assert pool.running(longer_than_s=3.5) == ()
        release.set()
        held.result(WAIT_S)
        queued.result(WAIT_S)
        until(lambda: pool.stats().busy == 0)
        now_ns += 1_000_000_000
        stats = pool.stats()
        assert stats.busy_s == 3.0
        assert stats.available_s == 4.0
        assert stats.utilization == 0.75
        assert stats.utilization_since(before) == pytest.approx(0.75)
        assert stats.queue_wait.max_s == 3.0
        assert stats.run_time.max_s == 3.0


def test_waiting_for_another_task_is_not_busy_time() -> None:
    now_ns = 1_000_000_000

    def busy_s() -> list[float]:
        return sorted(w.meter.busy_at(now_ns) / 1e9 for w in pool._workers)

    with WorkStealingPool(2, clock_ns=lambda: now_ns) as pool:
        with occupied_by_one(pool) as held:
            waiter = pool.submit(held.result)
            until(lambda: any(w.meter.blocked_since_ns for w in pool._workers))
            now_ns += 2_000_000_000
            assert busy_s() == [0, 2]
            assert not waiter.done()
        waiter.result(WAIT_S)
        until(lambda: pool.stats().busy == 0)
        assert busy_s() == [0, 2]
