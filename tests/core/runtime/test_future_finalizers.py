"""Finalizers that the collector runs in the midst of a future's own code, and that use futures."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import pytest

from core.runtime.pools import WAIT_S, occupied
from orchestrator_core.runtime.future import Future
from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def collector() -> Generator[None]:
    """Off until a test sets it; as it was afterwards."""
    threshold = gc.get_threshold()
    gc.collect()
    gc.disable()
    yield
    gc.set_threshold(*threshold)
    gc.enable()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("allocations", range(-2, 8))
def test_a_callback_is_called_although_a_finalizer_cancels_meanwhile(allocations: int) -> None:
    """For one of these numbers, or another on other versions, it does while the lock is held."""
    future: Future[int] = Future()
    told: list[Future[int]] = []

    class Canceller:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            future.cancel()

    Canceller()
    lists: list[list[int]] = [[] for _ in range(1000)]  # none is left that a new one could be
    gc.set_threshold(gc.get_count()[0] + allocations)
    gc.enable()
    future.add_done_callback(told.append)
    gc.disable()
    gc.collect()

    assert told == [future]
    assert len(lists) == 1000


def test_a_finalizer_may_cancel_a_task_that_shares_the_lock_it_finds_held() -> None:
    with WorkStealingPool(1) as pool, occupied(pool):
        tasks = [pool.submit(int) for _ in range(1000)]
        first = tasks[0]
        sharing = [task for task in tasks[1:] if task._lock is first._lock]
        with first._lock:
            assert all(task.cancel() for task in sharing)
            finalizer = threading.Thread(target=first.cancel)
            finalizer.start()
        finalizer.join(WAIT_S)
        assert first.cancelled()
    assert 0 < len(sharing) < 10
