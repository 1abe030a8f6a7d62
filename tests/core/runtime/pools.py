"""What the tests of the worker pool share."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from orchestrator_core.runtime.future import Future
    from orchestrator_core.runtime.worker_pool import WorkStealingPool

WAIT_S = 20.0
"""Far more than anything here takes: a test that reaches it has failed."""


@contextmanager
def occupied(pool: WorkStealingPool) -> Generator[threading.Event]:
    """All workers busy until the event is set, at the latest at the end."""
    release, started = threading.Event(), threading.Barrier(pool.workers + 1)

    def hold() -> None:
        started.wait(WAIT_S)
        release.wait(WAIT_S)

    held = [pool.submit(hold) for _ in range(pool.workers)]
    started.wait(WAIT_S)
    try:
        yield release
    finally:
        release.set()
        for future in held:
            future.result(WAIT_S)


@contextmanager
def occupied_by_one(pool: WorkStealingPool) -> Generator[Future[Any]]:
    """One worker busy with the task that is answered, until the end."""
    started, release = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        release.wait(WAIT_S)

    future = pool.submit(hold)
    started.wait(WAIT_S)
    try:
        yield future
    finally:
        release.set()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.001)


def fib(pool: WorkStealingPool, n: int) -> int:
    if n < 2:
        return n
    left, right = pool.submit(fib, pool, n - 1), pool.submit(fib, pool, n - 2)
    return left.result() + right.result()
