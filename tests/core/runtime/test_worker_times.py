"""What counts as a task's time where a worker goes from one task straight to the next.

Nobody waits for a task by ``result`` here before it ends: that would be a done callback.
"""

from __future__ import annotations

from core.runtime.pools import WAIT_S, occupied, until
from orchestrator_core.runtime.pool_stats import Percentiles
from orchestrator_core.runtime.worker_pool import WorkStealingPool

HOUR_NS = 3600 * 10**9


def test_what_done_callbacks_take_is_nobody_s_run_time() -> None:
    now_ns = HOUR_NS

    def slow(_: object) -> None:
        nonlocal now_ns
        now_ns += HOUR_NS

    with WorkStealingPool(1, clock_ns=lambda: now_ns) as pool:
        with occupied(pool):
            first = pool.submit(int)
            first.add_done_callback(slow)
            second = pool.submit(int)
        second.result(WAIT_S)
        stats = pool.stats()
    assert stats.run_time.max_s == 0
    assert stats.queue_wait.max_s == 3600


def test_the_time_without_work_is_nobody_s_run_time() -> None:
    now_ns = HOUR_NS
    with WorkStealingPool(1, clock_ns=lambda: now_ns) as pool:
        first = pool.submit(int)
        until(lambda: first.done() and pool._scheduler.seats[0].idle)
        now_ns += HOUR_NS
        pool.submit(int).result(WAIT_S)
        stats = pool.stats()
    assert stats.run_time.max_s == 0
    assert stats.busy_s == 0


def test_a_task_that_came_after_its_worker_was_free_did_not_wait() -> None:
    """Its worker counts it from the moment it was free, which may be before the task came."""
    assert Percentiles.of([-5, -4]) == Percentiles()
