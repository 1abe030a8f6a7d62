"""The smallest tasks with results: the pool and its peers."""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks.scheduler_rates import NOOPS, REPEATS, best_rate, noop, submit_and_wait
from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.scheduler_rates import Pool


def noop_rate(pool: Pool, count: int = NOOPS) -> float:
    with pool:
        return best_rate(count, lambda: submit_and_wait(pool, count, noop))


def noop_to_thread() -> float:
    count = NOOPS // 10

    async def all_of_them() -> None:
        await asyncio.gather(*[asyncio.to_thread(noop) for _ in range(count)])

    async def main() -> float:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        rates: list[float] = []
        for _ in range(REPEATS + 1):
            start_s = time.perf_counter()
            await all_of_them()
            rates.append(count / (time.perf_counter() - start_s))
        return statistics.median(rates[1:])

    return asyncio.run(main())


def noop_awaited() -> float:
    async def all_of_them(pool: WorkStealingPool) -> None:
        for future in [pool.submit(noop) for _ in range(NOOPS)]:
            await future

    with WorkStealingPool(2) as pool:
        return best_rate(NOOPS, lambda: asyncio.run(all_of_them(pool)))


def noop_anyio() -> float:
    import anyio
    import anyio.to_thread

    count = NOOPS // 20

    async def main() -> None:
        limiter = anyio.CapacityLimiter(2)
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(lambda: anyio.to_thread.run_sync(noop, limiter=limiter))

    return best_rate(count, lambda: anyio.run(main), 3)


def noop_joblib() -> float:
    import joblib

    count = NOOPS // 4
    with joblib.Parallel(n_jobs=2, backend="threading") as parallel:

        def once() -> None:
            parallel(joblib.delayed(noop)() for _ in range(count))

        return best_rate(count, once, 3)


def noop_dask() -> float:
    import dask  # pyright: ignore[reportMissingImports]

    count = NOOPS // 20

    def once() -> None:
        tasks: list[Any] = [dask.delayed(noop, pure=False)() for _ in range(count)]  # pyright: ignore[reportUnknownMemberType]
        dask.compute(*tasks, scheduler="threads", num_workers=2)  # pyright: ignore[reportUnknownMemberType]

    return best_rate(count, once, 3)


def noop_hypertile() -> float:
    import hypertile  # pyright: ignore[reportMissingImports]

    hypertile.configure(2)  # pyright: ignore[reportUnknownMemberType]

    count = NOOPS // 4

    async def all_of_them() -> None:
        calls: list[Any] = [hypertile.to_thread(noop) for _ in range(count)]  # pyright: ignore[reportUnknownMemberType]
        await asyncio.gather(*calls)

    return best_rate(count, lambda: asyncio.run(all_of_them()), 3)


WHERE_INSTALLED: dict[str, Callable[[], Any]] = {
    f"noop_{peer}": run
    for peer, run in (("dask", noop_dask), ("hypertile", noop_hypertile))
    if importlib.util.find_spec(peer) is not None
}
"""Peers that are no dependency of the project."""
