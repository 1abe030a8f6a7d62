"""Tasks give their results, in the order that priorities and stealing decide; the pool ends."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import traceback
import weakref
from typing import Any

import pytest

from core.runtime.pools import WAIT_S, occupied, occupied_by_one, until
from orchestrator_core.errors import PoolClosed
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.runtime.future import Future
from orchestrator_core.runtime.pool_task import current_cancelled
from orchestrator_core.runtime.worker_pool import WorkStealingPool


def test_tasks_give_their_results(pool: WorkStealingPool) -> None:
    futures = [pool.submit(divmod, number, 7) for number in range(500)]
    assert [f.result(WAIT_S) for f in futures] == [divmod(n, 7) for n in range(500)]
    assert pool.submit(dict, [("a", 1)], b=2).result(WAIT_S) == {"a": 1, "b": 2}


def test_an_exception_keeps_its_traceback_and_not_the_pools(pool: WorkStealingPool) -> None:
    def culprit() -> None:
        raise ValueError("broken")

    error = pool.submit(culprit).exception(WAIT_S)
    assert isinstance(error, ValueError)
    assert [f.name for f in traceback.extract_tb(error.__traceback__)] == ["culprit"]


async def test_a_coroutine_awaits_results(pool: WorkStealingPool) -> None:
    assert await pool.submit(sum, [1, 2]) == 3
    found = await asyncio.gather(*[pool.submit(abs, -n) for n in range(300)])
    assert found == list(range(300))


def test_a_result_is_not_kept_by_a_worker_that_sleeps(pool: WorkStealingPool) -> None:
    class Outcome:
        pass

    gc.disable()
    try:

        def work(_: Outcome) -> Outcome:
            return Outcome()

        future = pool.submit(work, Outcome())
        seen = weakref.ref(future.result(WAIT_S))
        del future
        until(lambda: seen() is None)
    finally:
        gc.enable()


def test_a_task_costs_the_collector_two_objects() -> None:
    """The future and its lock: what lives until it runs is looked at over and over."""
    count = 400
    with WorkStealingPool(1) as pool, occupied(pool):
        kept: list[Future[Any]] = [pool.submit(int) for _ in range(count)]  # all caches are warm
        gc.collect()
        gc.disable()
        try:
            before = gc.get_count()[0]
            kept.extend(pool.submit(int) for _ in range(count))
            made = gc.get_count()[0] - before
        finally:
            gc.enable()
    assert made < 2.5 * count


def test_priorities_decide_who_goes_first(pool: WorkStealingPool) -> None:
    order: list[str] = []
    with WorkStealingPool(1) as single, occupied(single) as release:
        futures = [
            single.submit(order.append, p.name, priority=p)
            for p in (Priority.LOW, Priority.NORMAL, Priority.HIGH)
        ]
        release.set()
        for future in futures:
            future.result(WAIT_S)
    assert order == ["HIGH", "NORMAL", "LOW"]


def test_longest_tasks_go_first() -> None:
    order: list[float] = []
    clock = iter(range(10**6))  # all within one epoch
    with WorkStealingPool(1, clock_ns=lambda: next(clock)) as pool, occupied(pool) as release:
        futures = [
            pool.submit(order.append, d, expected_duration_s=d) for d in (1.0, 5.0, 3.0, 4.0)
        ]
        release.set()
        for future in futures:
            future.result(WAIT_S)
    assert order == [5.0, 4.0, 3.0, 1.0]


def test_a_nested_wait_may_time_out_on_a_task_that_another_worker_runs() -> None:
    with WorkStealingPool(2) as pool, occupied_by_one(pool) as held:

        def waits() -> str:
            try:
                held.result(timeout_s=0.01)
            except TimeoutError:
                return "timed out"
            return "done"

        assert pool.submit(waits).result(WAIT_S) == "timed out"


def test_a_loop_of_nested_waits_leaves_nothing_queued() -> None:
    with WorkStealingPool(1) as pool:

        def loop() -> int:
            for _ in range(200):
                futures = [pool.submit(int) for _ in range(5)]
                for future in futures:
                    future.result()
            return sum(len(worker.seat.own) for worker in pool._workers)

        assert pool.submit(loop).result(WAIT_S) == 0
        assert pool.stats().queued == 0


def test_idle_workers_steal_what_a_busy_one_has_spawned() -> None:
    with WorkStealingPool(2) as pool:
        others = threading.Barrier(2)

        def spawner() -> list[str]:
            child = pool.submit(others.wait, WAIT_S)
            others.wait(WAIT_S)  # only another worker can run the child meanwhile
            return [str(child.exception())]

        assert pool.submit(spawner).result(WAIT_S) == ["None"]
        assert pool.stats().stolen == 1
        assert pool.stats().steal_rate > 0


def test_without_stealing_tasks_are_dealt_out_in_turn() -> None:
    with WorkStealingPool(2, stealing=False) as pool:
        names = [
            pool.submit(lambda: threading.current_thread().name).result(WAIT_S) for _ in range(6)
        ]
        assert len(set(names[::2])) == len(set(names[1::2])) == 1
        assert len(set(names)) == 2
        assert pool.stats().stolen == 0


def test_closing_cancels_what_is_queued_and_refuses_more(pool: WorkStealingPool) -> None:
    release = threading.Event()
    started = threading.Barrier(3)

    def hold() -> None:
        started.wait(WAIT_S)
        until(lambda: release.is_set() or current_cancelled())

    held = [pool.submit(hold) for _ in range(2)]
    started.wait(WAIT_S)
    queued = [pool.submit(int) for _ in range(5)]
    report = pool.close(WAIT_S)
    assert (report.cancelled, report.stuck) == (5, ())
    assert all(f.cancelled() for f in queued)
    assert all(f.done() for f in held)
    with pytest.raises(PoolClosed):
        pool.submit(int)
    with pytest.raises(PoolClosed):
        pool.submit_cpu(int)
    assert pool.close() == report
    assert pool.closed
    assert pool.stats().queued == 0


def test_closing_ends_every_thread() -> None:
    pool = WorkStealingPool(4, name="ends")
    pool.submit(int, deadline_s=60).result(WAIT_S)
    pool.close(WAIT_S)
    assert [t for t in threading.enumerate() if t.name.startswith("ends")] == []


def test_closing_reports_what_is_stuck() -> None:
    release = threading.Event()
    started = threading.Event()

    def stubborn() -> None:
        started.set()
        release.wait(WAIT_S)

    pool = WorkStealingPool(2)
    future = pool.submit(stubborn)
    started.wait(WAIT_S)
    report = pool.close(deadline_s=0.05)
    assert [t.name.rpartition(".")[2] for t in report.stuck] == ["stubborn"]
    assert report.stuck[0].running_s > 0
    release.set()
    future.result(WAIT_S)
    until(lambda: pool.close().stuck == ())


def test_a_pool_needs_a_worker() -> None:
    with pytest.raises(ValueError, match="at least one"):
        WorkStealingPool(0)


@pytest.mark.parametrize(("processors", "workers"), [(1, 2), (2, 2), (5, 5)])
def test_by_default_there_is_a_worker_for_each_processor_and_never_only_one(
    monkeypatch: pytest.MonkeyPatch, processors: int, workers: int
) -> None:
    def usable(_: int) -> set[int]:
        return set(range(processors))

    monkeypatch.setattr(os, "sched_getaffinity", usable)
    with WorkStealingPool() as pool:
        assert pool.workers == workers
