"""Uneven work: a fifth of the tasks, all together at the start, is four fifths of the work."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks.scheduler_rates import QUICK, noop, submit_and_wait, wait_for_all
from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def clustered(light: float) -> list[float]:
    tasks = 100 if QUICK else 200
    heavy = tasks // 5
    return [light * 16] * heavy + [light] * (tasks - heavy)


def timed(durations: list[float], work: Callable[[float], object], size: float) -> None:
    start_s = time.perf_counter()
    work(size)
    durations.append(time.perf_counter() - start_s)


def stealing_run(sizes: Sequence[float], work: Callable[[float], object], workers: int) -> Any:
    """Makespan, and the ideal one for the work as it was measured in the same run."""
    durations: list[float] = []
    with WorkStealingPool(workers) as pool:
        submit_and_wait(pool, 100, noop)
        start_s = time.perf_counter()
        wait_for_all([pool.submit(timed, durations, work, size) for size in sizes])
        makespan_s = time.perf_counter() - start_s
    return {"makespan": makespan_s, "efficiency": sum(durations) / workers / makespan_s}


def static_run(sizes: Sequence[float], work: Callable[[float], object], workers: int) -> float:
    """Each thread gets its block of the work beforehand."""
    share = len(sizes) // workers
    blocks = [sizes[i * share : (i + 1) * share] for i in range(workers)]

    def run(block: Sequence[float]) -> None:
        for size in block:
            work(size)

    with ThreadPoolExecutor(workers) as pool:
        submit_and_wait(pool, 100, noop)
        start_s = time.perf_counter()
        wait_for_all([pool.submit(run, block) for block in blocks])
        return time.perf_counter() - start_s


def dealt_run(sizes: Sequence[float], work: Callable[[float], object], workers: int) -> float:
    """Each plain thread gets the same share of heavy and of light work: perfect foresight.

    No scheduler gains more over static blocks than this does, which counting puts at 1.75 times
    on two processors. It is less where processors share a core or a clock, or where something
    else runs: static blocks leave one of them idle for most of the time.
    """

    def run(first: int) -> None:
        for size in sizes[first::workers]:
            work(size)

    threads = [threading.Thread(target=run, args=(first,)) for first in range(workers)]
    start_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start_s


DATA = memoryview(bytes(64 * 1024) * 256)


def hash_some(size: float) -> None:
    hashlib.sha256(DATA[: int(size)]).digest()


CPU_SIZES = clustered(64 * 1024 if QUICK else 512 * 1024)
SLEEPS_S = clustered(0.001)
