"""The worker pool beside what Python users would pick instead.

Every measurement runs in a fresh process; rounds are interleaved; medians are reported. Figures
named ``X_vs_Y`` are ratios of two medians of this run.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import random
import statistics
import sys
import threading
import time
import zlib
from concurrent.futures import Future as StandardFuture
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Figures, answer, arguments, fresh, interleaved, medians
from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.runtime.future import Future

    Pool = WorkStealingPool | ThreadPoolExecutor | ProcessPoolExecutor
    AnyFuture = Future[Any] | StandardFuture[Any]

QUICK = "--quick" in sys.argv
_NOOPS = 2_000 if QUICK else 20_000
_REPEATS = 1 if QUICK else 5


def noop() -> None:
    """The smallest task."""


def best_rate(count: int, once: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Tasks a second, the median of some repetitions after one for warming up."""
    once()
    rates: list[float] = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        once()
        rates.append(count / (time.perf_counter() - start_s))
    return statistics.median(rates)


# No-ops with results


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


def noop_rate(pool: Pool, count: int = _NOOPS) -> float:
    with pool:
        return best_rate(count, lambda: submit_and_wait(pool, count, noop))


def noop_to_thread() -> float:
    count = _NOOPS // 10

    async def all_of_them() -> None:
        await asyncio.gather(*[asyncio.to_thread(noop) for _ in range(count)])

    async def main() -> float:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        rates: list[float] = []
        for _ in range(_REPEATS + 1):
            start_s = time.perf_counter()
            await all_of_them()
            rates.append(count / (time.perf_counter() - start_s))
        return statistics.median(rates[1:])

    return asyncio.run(main())


def noop_awaited() -> float:
    async def all_of_them(pool: WorkStealingPool) -> None:
        for future in [pool.submit(noop) for _ in range(_NOOPS)]:
            await future

    with WorkStealingPool(2) as pool:
        return best_rate(_NOOPS, lambda: asyncio.run(all_of_them(pool)))


def noop_anyio() -> float:
    import anyio
    import anyio.to_thread

    count = _NOOPS // 20

    async def main() -> None:
        limiter = anyio.CapacityLimiter(2)
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(lambda: anyio.to_thread.run_sync(noop, limiter=limiter))

    return best_rate(count, lambda: anyio.run(main), 3)


def noop_joblib() -> float:
    import joblib

    count = _NOOPS // 4
    with joblib.Parallel(n_jobs=2, backend="threading") as parallel:

        def once() -> None:
            parallel(joblib.delayed(noop)() for _ in range(count))

        return best_rate(count, once, 3)


def noop_dask() -> float:
    import dask  # pyright: ignore[reportMissingImports]

    count = _NOOPS // 20

    def once() -> None:
        tasks: list[Any] = [dask.delayed(noop, pure=False)() for _ in range(count)]  # pyright: ignore[reportUnknownMemberType]
        dask.compute(*tasks, scheduler="threads", num_workers=2)  # pyright: ignore[reportUnknownMemberType]

    return best_rate(count, once, 3)


def noop_hypertile() -> float:
    import hypertile  # pyright: ignore[reportMissingImports]

    hypertile.configure(2)  # pyright: ignore[reportUnknownMemberType]

    count = _NOOPS // 4

    async def all_of_them() -> None:
        calls: list[Any] = [hypertile.to_thread(noop) for _ in range(count)]  # pyright: ignore[reportUnknownMemberType]
        await asyncio.gather(*calls)

    return best_rate(count, lambda: asyncio.run(all_of_them()), 3)


# Tasks that tasks spawn


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


# Computing that releases the GIL


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


# Sleeping


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


# Uneven work: a fifth of the tasks, all together at the start, is four fifths of the work


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


_DATA = memoryview(bytes(64 * 1024) * 256)


def hash_some(size: float) -> None:
    hashlib.sha256(_DATA[: int(size)]).digest()


CPU_SIZES = clustered(64 * 1024 if QUICK else 512 * 1024)
SLEEPS_S = clustered(0.001)


# Both cores busy, waking, idling, and the event loop beside it all


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
        load = [pool.submit(hash_some, len(_DATA)) for _ in range(20 if QUICK else 200)]
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
    "noop_processpool": lambda: noop_rate(ProcessPoolExecutor(2), _NOOPS // 10),
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
}


for _peer, _noop in (("dask", noop_dask), ("hypertile", noop_hypertile)):
    if importlib.util.find_spec(_peer) is not None:  # no dependency of the project: where installed
        MEASUREMENTS[f"noop_{_peer}"] = _noop


def main() -> None:
    options = arguments(__doc__, MEASUREMENTS)
    if options.measure:
        answer(MEASUREMENTS[options.measure]())
        return
    quick = ["--quick"] if options.quick else []
    rounds = options.rounds or (1 if options.quick else 5)
    names = [name for name in MEASUREMENTS if name != "idle_switches"]
    taken = interleaved(__file__, names, rounds, *quick)
    with ThreadPoolExecutor(rounds) as idlers:  # at once: processes that idle disturb nobody
        idling = [
            idlers.submit(fresh, __file__, "--measure", "idle_switches", *quick)
            for _ in range(rounds)
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
