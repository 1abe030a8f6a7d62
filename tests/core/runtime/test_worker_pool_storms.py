"""Storms of work: whatever comes together, everything adds up."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from core.runtime.pools import WAIT_S, until
from orchestrator_core.errors import PoolClosed
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.runtime.future import CancelledError, Future
from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tiny_switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def storm(workers: int, tasks: int, seed: int, *, stealing: bool) -> None:
    """Outsiders, children, cancellations and a close in the middle: everything adds up."""
    ran: Counter[int] = Counter()
    ran_lock = threading.Lock()
    futures: list[tuple[int, Future[Any]]] = []
    pool = WorkStealingPool(workers, stealing=stealing)

    def mark(number: int, children: int) -> None:
        with ran_lock:
            ran[number] += 1
        try:
            spawned = [pool.submit(int) for _ in range(children)]
        except PoolClosed:
            return
        for child in spawned[: len(spawned) // 2]:
            with suppress(CancelledError):  # the pool may close
                child.result(WAIT_S)

    def outsider(first: int) -> None:
        rng = random.Random(seed + first)
        for number in range(first, first + tasks):
            try:
                future = pool.submit(
                    mark,
                    number,
                    rng.randrange(3),
                    priority=rng.choice(list(Priority)),
                    expected_duration_s=rng.choice([None, None, rng.random()]),
                )
            except PoolClosed:
                return
            futures.append((number, future))
            if rng.random() < 0.2:
                rng.choice(futures)[1].cancel()

    threads = [threading.Thread(target=outsider, args=(i * tasks,)) for i in range(3)]
    for thread in threads:
        thread.start()
    if seed % 2:
        until(lambda: len(futures) > tasks // 2)
        pool.close(WAIT_S)
    for thread in threads:
        thread.join(WAIT_S)
    if not pool.closed:
        for _, future in futures:
            until(future.done)
    assert pool.close(WAIT_S).stuck == ()
    assert all(times == 1 for times in ran.values())
    for number, future in futures:
        assert future.done()
        if not ran[number]:
            assert future.cancelled()
    stats = pool.stats()
    assert stats.queued == 0
    assert stats.busy == 0


@pytest.mark.usefixtures("tiny_switch_interval")
@pytest.mark.parametrize("stealing", [True, False])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_work_adds_up_with_a_tiny_switch_interval(seed: int, stealing: bool) -> None:
    storm(4, 300, seed, stealing=stealing)


@pytest.mark.soak
@pytest.mark.usefixtures("tiny_switch_interval")
def test_storms_add_up_for_a_long_time() -> None:
    for seed in range(40):
        storm(2 + seed % 6, 1000, seed, stealing=seed % 3 != 0)
