"""The worker pool beside what Python users would pick instead.

Every measurement runs in a fresh process; rounds are interleaved; medians are reported. Figures
named ``X_vs_Y`` are ratios of two medians of this run.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import statistics
import threading
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Figures, begin, fresh, interleaved, medians
from benchmarks.scheduler_noops import (
    WHERE_INSTALLED,
    noop_anyio,
    noop_awaited,
    noop_joblib,
    noop_rate,
    noop_to_thread,
)
from benchmarks.scheduler_rates import NOOPS, QUICK, best_rate, noop, submit_and_wait, wait_for_all
from benchmarks.scheduler_uneven import (
    CPU_SIZES,
    DATA,
    SLEEPS_S,
    dealt_run,
    hash_some,
    static_run,
    stealing_run,
)
from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.scheduler_rates import Pool


def forks_and_joins(pool: Pool, joins: int, children: int) -> None:
    for _ in range(joins):
        submit_and_wait(pool, children, noop)


def spawned_rate(pool: Pool, children: int) -> float:
    """One task that forks children and joins them, over and over, as divide and conquer does.

    Only one: with several, the workers of a standard pool would wait for each other for ever.
    """
    count = 1_000 if QUICK else 10_000

    def once() -> None:
        pool.submit(forks_and_joins, pool, count // children, children).result()

    with pool:
        return best_rate(count, once)


def sha256_rate(pool: Pool) -> float:
    data = random.Random(1).randbytes(256 * 1024)
    count = 40 if QUICK else 600
    with pool:
        return best_rate(count, lambda: submit_and_wait(pool, count, hash_it, data))


def sha256_plain_rate() -> float:
    """Half of them on each of two plain threads, and nobody asks for a result: the most there is."""
    data = random.Random(1).randbytes(256 * 1024)
    count = 40 if QUICK else 600

    def half() -> None:
        for _ in range(count // 2):
            hash_it(data)

    def once() -> None:
        threads = [threading.Thread(target=half) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return best_rate(count, once)


def hash_it(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def sleep_ceiling() -> float:
    """What 16 threads that do nothing but sleep get done."""
    count = 50 if QUICK else 500

    def sleeper() -> None:
        for _ in range(count):
            time.sleep(0.001)

    def once() -> None:
        threads = [threading.Thread(target=sleeper) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return best_rate(16 * count, once, 3)


def sleep_rate(pool: Pool) -> float:
    count = 16 * (50 if QUICK else 500)

    def once() -> None:
        wait_for_all([pool.submit(time.sleep, 0.001) for _ in range(count)])

    with pool:
        return best_rate(count, once, 3)


def pareto_sizes() -> tuple[bytes, list[int]]:
    rng = random.Random(7)
    data = rng.randbytes(1 << 20)
    count = 60 if QUICK else 400
    return data, [int(min(1 << 20, 64 * 1024 * rng.paretovariate(1.2))) for _ in range(count)]


def share_of_two_cores(run: Callable[[], object]) -> float:
    """The share of two cores' time that the process got and used."""
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    run()
    return (time.process_time() - start_cpu_s) / (time.perf_counter() - start_s) / 2


def cpu_utilization() -> float:
    """With work of Pareto sizes in the pool."""
    data, sizes = pareto_sizes()
    with WorkStealingPool(2) as pool:
        submit_and_wait(pool, 100, noop)

        def run() -> None:
            futures = [pool.submit(zlib.compress, data[:s], expected_duration_s=s) for s in sizes]
            for future in futures:
                future.result()

        return share_of_two_cores(run)


def cpu_utilization_control() -> float:
    """The same work, halved between two plain threads: what the machine has left to give."""
    data, sizes = pareto_sizes()

    def half(first: int) -> None:
        for size in sizes[first::2]:
            zlib.compress(data[:size])

    def run() -> None:
        threads = [threading.Thread(target=half, args=(first,)) for first in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return share_of_two_cores(run)


def wake_latency_us(pool: Pool) -> float:
    """From submission to start, after the pool has slept."""
    with pool:
        submit_and_wait(pool, 100, noop)
        found: list[float] = []
        for _ in range(2 if QUICK else 5):
            time.sleep(0.35)
            start_s = time.perf_counter()
            started_s = pool.submit(time.perf_counter).result()
            found.append((started_s - start_s) * 1e6)
        return statistics.median(found)


def idle_switches() -> int:
    """Voluntary context switches of all workers while nothing happens."""
    with WorkStealingPool(4, name="idle-worker") as pool:
        submit_and_wait(pool, 1000, noop)
        pool.submit(noop, deadline_s=60.0).result()
        time.sleep(0.5)
        tasks = [
            Path(f"/proc/self/task/{thread.native_id}/status")
            for thread in threading.enumerate()
            if thread.name.startswith("idle-worker")
        ]
        assert len(tasks) == 5  # four workers and the thread for deadlines

        def switches() -> int:
            lines = (line for task in tasks for line in task.read_text().splitlines())
            return sum(int(x.split()[1]) for x in lines if x.startswith("voluntary_ctxt"))

        before = switches()
        time.sleep(1 if QUICK else 10)
        return switches() - before


def loop_lateness_p99_ms() -> float:
    """How late a timer of the event loop comes while both workers hash."""

    async def main(pool: WorkStealingPool) -> list[float]:
        load = [pool.submit(hash_some, len(DATA)) for _ in range(20 if QUICK else 200)]
        loop = asyncio.get_running_loop()
        late: list[float] = []
        while not load[-1].done() and len(late) < 1000:
            due_s = loop.time() + 0.002
            await asyncio.sleep(0.002)
            late.append((loop.time() - due_s) * 1e3)
        for future in load:
            future.cancel()
        return late

    with WorkStealingPool(2) as pool:
        return statistics.quantiles(asyncio.run(main(pool)), n=100)[-1]


MEASUREMENTS: dict[str, Callable[[], Any]] = {
    "noop": lambda: noop_rate(WorkStealingPool(2)),
    "noop_threadpool": lambda: noop_rate(ThreadPoolExecutor(2)),
    "noop_to_thread": noop_to_thread,
    "noop_awaited": noop_awaited,
    "noop_processpool": lambda: noop_rate(ProcessPoolExecutor(2), NOOPS // 10),
    "noop_anyio": noop_anyio,
    "noop_joblib": noop_joblib,
    "spawned": lambda: spawned_rate(WorkStealingPool(2), 2),
    "spawned_threadpool": lambda: spawned_rate(ThreadPoolExecutor(2), 2),
    "spawned_wide": lambda: spawned_rate(WorkStealingPool(2), 100),
    "spawned_wide_threadpool": lambda: spawned_rate(ThreadPoolExecutor(2), 100),
    "sha256": lambda: sha256_rate(WorkStealingPool(2)),
    "sha256_threadpool": lambda: sha256_rate(ThreadPoolExecutor(2)),
    "sha256_plain": sha256_plain_rate,
    "sleep": lambda: sleep_rate(WorkStealingPool(16)),
    "sleep_threadpool": lambda: sleep_rate(ThreadPoolExecutor(16)),
    "sleep_ceiling": sleep_ceiling,
    "clustered_cpu": lambda: stealing_run(CPU_SIZES, hash_some, 2),
    "clustered_cpu_static": lambda: static_run(CPU_SIZES, hash_some, 2),
    "clustered_cpu_dealt": lambda: dealt_run(CPU_SIZES, hash_some, 2),
    "clustered_sleep": lambda: stealing_run(SLEEPS_S, time.sleep, 4),
    "clustered_sleep_static": lambda: static_run(SLEEPS_S, time.sleep, 4),
    "cpu_utilization": cpu_utilization,
    "cpu_utilization_control": cpu_utilization_control,
    "wake": lambda: wake_latency_us(WorkStealingPool(2)),
    "wake_threadpool": lambda: wake_latency_us(ThreadPoolExecutor(2)),
    "idle_switches": idle_switches,
    "lateness": loop_lateness_p99_ms,
    **WHERE_INSTALLED,
}


def main() -> None:
    options = begin(__doc__, MEASUREMENTS, 5)
    names = [name for name in MEASUREMENTS if name != "idle_switches"]
    taken = interleaved(__file__, names, options.rounds, *options.flags)
    with ThreadPoolExecutor(
        options.rounds
    ) as idlers:  # at once: processes that idle disturb nobody
        idling = [
            idlers.submit(fresh, __file__, "--measure", "idle_switches", *options.flags)
            for _ in range(options.rounds)
        ]
    taken["idle_switches"] = [idle.result() for idle in idling]
    runs = {name: taken.pop(name) for name in ("clustered_cpu", "clustered_sleep")}
    m = medians(taken)
    makespan = {n: statistics.median(r["makespan"] for r in rs) for n, rs in runs.items()}
    efficiency = {n: statistics.median(r["efficiency"] for r in rs) for n, rs in runs.items()}

    figures = Figures()
    figures.add("noop_vs_threadpool", m["noop"] / m["noop_threadpool"], "x", ">= 5")
    figures.add("noop_vs_to_thread", m["noop"] / m["noop_to_thread"], "x", ">= 20")
    figures.add("spawned_vs_threadpool", m["spawned"] / m["spawned_threadpool"], "x", ">= 10")
    figures.add("sha256_vs_threadpool", m["sha256"] / m["sha256_threadpool"], "x", ">= 1.1")
    figures.add("sha256_plain_vs_threadpool", m["sha256_plain"] / m["sha256_threadpool"], "x")
    figures.add("sleep_of_ceiling", m["sleep"] / m["sleep_ceiling"], "share", ">= 0.95")
    for kind, bar in (("cpu", ">= 1.7"), ("sleep", ">= 3")):
        gain = m[f"clustered_{kind}_static"] / makespan[f"clustered_{kind}"]
        figures.add(f"clustered_{kind}_vs_static", gain, "x", bar)
    figures.add("clustered_efficiency", min(efficiency.values()), "share", ">= 0.95")
    figures.add("cpu_utilization", m["cpu_utilization"], "share", ">= 0.95")
    figures.add("wake_vs_threadpool", m["wake"] / m["wake_threadpool"], "x", "<= 3")
    figures.add("idle_context_switches", m["idle_switches"], "switches", "<= 0")
    figures.add("loop_lateness_p99_ms", m["lateness"], "ms", "<= 5")
    for name, unit in (("noop", "tasks/s"), ("spawned", "tasks/s"), ("sha256", "tasks/s")):
        for peer in (n for n in m if n == name or n.startswith(f"{name}_")):
            figures.add(f"{peer}_rate", m[peer], unit)
    for peer in ("sleep", "sleep_threadpool", "sleep_ceiling"):
        figures.add(f"{peer}_rate", m[peer], "tasks/s")
    dealt = m["clustered_cpu_static"] / m["clustered_cpu_dealt"]
    figures.add("clustered_cpu_dealt_vs_static", dealt, "x")
    figures.add("cpu_utilization_control", m["cpu_utilization_control"], "share")
    for name, share in efficiency.items():
        figures.add(f"{name}_efficiency", share, "share")
    for peer in ("wake", "wake_threadpool"):
        figures.add(f"{peer}_us", m[peer], "us")
    figures.report(as_json=options.json)


if __name__ == "__main__":
    main()
