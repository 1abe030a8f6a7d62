"""How many tasks a second a pool gets done."""

from __future__ import annotations

import statistics
import sys
import time
from concurrent.futures import Future as StandardFuture
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.runtime.future import Future

    Pool = WorkStealingPool | ThreadPoolExecutor | ProcessPoolExecutor
    AnyFuture = Future[Any] | StandardFuture[Any]

QUICK = "--quick" in sys.argv
NOOPS = 2_000 if QUICK else 20_000
REPEATS = 1 if QUICK else 5


def noop() -> None:
    """The smallest task."""


def best_rate(count: int, once: Callable[[], object], repeats: int = REPEATS) -> float:
    """Tasks a second, the median of some repetitions after one for warming up."""
    once()
    rates: list[float] = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        once()
        rates.append(count / (time.perf_counter() - start_s))
    return statistics.median(rates)


def submit_and_wait(pool: Pool, count: int, fn: Callable[..., object], *args: object) -> None:
    futures: list[AnyFuture] = [pool.submit(fn, *args) for _ in range(count)]
    for future in futures:
        future.result()


def wait_for_all(futures: Sequence[AnyFuture]) -> None:
    """Wait for the youngest first, which is among the last to end.

    In the order of submission the waiting thread would wake at every end and take a processor
    from the workers each time (15 microseconds a task, 3 % of the hashing below), which nobody
    does to the plain threads that these measurements stand beside.
    """
    for future in reversed(futures):
        future.result()
