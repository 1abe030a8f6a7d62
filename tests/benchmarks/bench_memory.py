"""What records and pools cost in memory, collections and time.

100,000 tasks live through the real store: 200 at a time, planned, started, reviewed, edited,
finished; each step is journalled by the real group writer, and the reports of the latest 20,000
are kept. Peers, each in a process of its own:

* ``naive``: dataclasses, the task, its future and its callback in a cycle, JSON by the standard
  library, the collector as Python sets it;
* ``plain``: the same with the cycle broken when the task is done;
* ``unpooled`` and ``pooled``: this project with TASK_POOLING off and on.

``same_encoder`` is naive again with this project's JSON encoder, which shows how much of the
difference in time is the encoder's. Memory is resident memory, without a collection first.

A ratio is the median of the rounds' own: the peers of a round run one after the other, and a
machine that has become slower is so for both. Two processes that do the same work still differ by
up to 8 %, as two that are both ``unpooled`` do, and the pool costs 1 or 2 %. So for
``pooled_vs_unpooled_time`` each round's process has both stores and runs the missions by turns,
100,000 tasks in each; what the processes of their own say is ``pooled_vs_unpooled_processes``.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
import tracemalloc
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import msgspec
import psutil

from benchmarks.harness import Figures, answer, arguments, fresh, interleaved
from benchmarks.memory_peers import LIVE, OwnStore, PlainStore
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.pools import Pools
from orchestrator_core.primitives.buffer_pool import BufferPool
from orchestrator_core.records import Task
from orchestrator_core.runtime.collector import settle
from orchestrator_core.runtime.command import run_command

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = "--quick" in sys.argv
TASKS = 4_000 if QUICK else 100_000
KEPT = 2_000 if QUICK else 20_000
STREAM_MIB = 4


def lifecycles(make: Callable[[Journal], PlainStore | OwnStore]) -> dict[str, float]:
    """All missions through a store; collections, growth in MiB and microseconds a task."""
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder, ".opencode")) as journal:
        store = make(journal)
        process = psutil.Process()
        gc.collect()
        rss, collections = process.memory_info().rss, _collections()
        began_s, cpu_s = time.perf_counter(), time.process_time()
        for number in range(TASKS // LIVE):
            store.mission(number)
        took_s = time.perf_counter() - began_s
        cpu_s = time.process_time() - cpu_s
        assert sum(map(len, store.kept)) == KEPT
        return {
            "collections": _collections() - collections,
            "growth_mib": (process.memory_info().rss - rss) / 2**20,
            "us": took_s / TASKS * 1e6,
            "cpu_us": cpu_s / TASKS * 1e6,
        }


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def _plain(encode: Callable[[object], bytes], *, break_cycles: bool) -> dict[str, float]:
    return lifecycles(lambda journal: PlainStore(journal, KEPT, encode, break_cycles=break_cycles))


def _own(*, pooling: bool) -> dict[str, float]:
    pools = Pools.of(pooling=pooling)
    settle()
    taken = lifecycles(lambda journal: OwnStore(journal, KEPT, pools))
    counts = pools.tasks.stats()
    assert counts.in_use == 0
    assert counts.released == (TASKS if pooling else 0)
    return taken


def by_turns() -> dict[str, float]:
    """Wall time of pooled over unpooled: each mission in both, one right after the other."""
    missions = TASKS // LIVE
    taken_s: dict[bool, list[float]] = {True: [], False: []}
    settle()
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder, ".opencode")) as journal:
        stores = {
            pooling: OwnStore(journal, KEPT, Pools.of(pooling=pooling)) for pooling in taken_s
        }
        for number in range(missions):
            for pooling in (True, False) if number % 2 else (False, True):
                began_s = time.perf_counter()
                stores[pooling].mission(number + pooling * missions)
                taken_s[pooling].append(time.perf_counter() - began_s)
    pairs = zip(taken_s[True], taken_s[False], strict=True)
    return {"ratio": median(pooled / unpooled for pooled, unpooled in pairs)}


def _standard_json(event: object) -> bytes:
    return json.dumps(event, default=vars).encode()


def stream() -> dict[str, float]:
    """The peak of what 4 MiB of a command's output take, in KiB, its result included."""
    line = f"head -c {STREAM_MIB * 2**20} /dev/zero | tr '\\0' x"
    buffers = BufferPool()
    run_command("true", buffers=BufferPool())  # what is imported or cached once is no stream's
    seen = 0

    def count(text: str) -> None:
        nonlocal seen
        seen += len(text)

    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    run_command(line, on_output=count, buffers=buffers)
    _, peak = tracemalloc.get_traced_memory()
    assert seen == STREAM_MIB * 2**20
    return {"peak_kib": (peak - before) / 1024}


def pieces() -> dict[str, float]:
    """Processor time of a record and a buffer, pooled and not: the best of five tight loops."""
    rounds = 20_000
    pools, off = Pools.of(pooling=True), Pools.of(pooling=False)

    planned = [Task(f"T{n}", f"task {n}") for n in range(LIVE)]

    def records(pool: Pools) -> None:
        pool.tasks.take_back(pool.tasks.new(planned))

    def buffer(pool: Pools) -> None:
        with pool.buffers.lease(64 * 1024):
            pass

    return {
        "record_pooled_us": _each_us(partial(records, pools), rounds // LIVE) / LIVE,
        "record_made_us": _each_us(partial(records, off), rounds // LIVE) / LIVE,
        "buffer_pooled_us": _each_us(partial(buffer, pools), rounds),
        "buffer_made_us": _each_us(partial(buffer, off), rounds),
    }


def _each_us(work: Callable[[], None], rounds: int) -> float:
    taken: list[float] = []
    for _ in range(5):
        began_s = time.process_time()
        for _ in range(rounds):
            work()
        taken.append(time.process_time() - began_s)
    return min(taken) / rounds * 1e6


def decoded(*, sharing: bool) -> dict[str, float]:
    """What it takes to read and keep the events of 20,000 tasks, in MiB and microseconds."""
    pools = Pools.of(pooling=sharing)
    with tempfile.TemporaryDirectory() as folder:
        folder_path = Path(folder, ".opencode")
        with Journal(folder_path, strings=pools.strings) as journal:
            store = OwnStore(journal, KEPT, pools)
            for number in range(KEPT // LIVE):
                store.mission(number)
            store.kept.clear()
            gc.collect()
            began_s = time.perf_counter()
            journal.events()
            took_s = time.perf_counter() - began_s
            tracemalloc.start()
            events = journal.events()
            grown, _ = tracemalloc.get_traced_memory()
        return {"mib": grown / 2**20, "us": took_s / len(events) * 1e6}


MEASUREMENTS: dict[str, Callable[[], dict[str, float]]] = {
    "plain": lambda: _plain(_standard_json, break_cycles=True),
    "naive": lambda: _plain(_standard_json, break_cycles=False),
    "pooled": lambda: _own(pooling=True),
    "unpooled": lambda: _own(pooling=False),
    "same_encoder": lambda: _plain(msgspec.json.encode, break_cycles=False),
    "by_turns": by_turns,
}
ONCE: dict[str, Callable[[], dict[str, float]]] = {
    "stream": stream,
    "pieces": pieces,
    "decode_shared": lambda: decoded(sharing=True),
    "decode_unshared": lambda: decoded(sharing=False),
}


def main() -> None:
    """Measure, or conduct the measuring."""
    options = arguments(__doc__, [*MEASUREMENTS, *ONCE])
    if options.measure:
        answer((MEASUREMENTS | ONCE)[options.measure]())
        return
    quick = ["--quick"] if options.quick else []
    rounds = options.rounds or (1 if QUICK else 5)
    taken = interleaved(__file__, MEASUREMENTS, rounds, *quick)
    taken |= {name: [fresh(__file__, "--measure", name, *quick)] for name in ONCE}
    report(taken, as_json=options.json)


def report(taken: dict[str, list[dict[str, float]]], *, as_json: bool) -> None:
    """The figures: medians, and medians of the rounds' ratios."""

    def ratio(what: str, over: str) -> float:
        rounds = zip(taken["pooled"], taken[over], strict=True)
        return median(ours[what] / theirs[what] for ours, theirs in rounds)

    figures = Figures()
    add = figures.add
    add("collections_vs_naive", ratio("collections", "naive"), "x", "<= 0.05")
    add("collections_vs_plain", ratio("collections", "plain"), "x", "<= 0.2")
    add("memory_vs_naive", ratio("growth_mib", "naive"), "x", "<= 0.2")
    add("memory_vs_plain", ratio("growth_mib", "plain"), "x", "<= 0.4")
    add("time_vs_naive", ratio("us", "naive"), "x", "<= 0.4")
    add("cpu_vs_naive", ratio("cpu_us", "naive"), "x")
    add("time_vs_same_encoder", ratio("us", "same_encoder"), "x")
    turns = [one["ratio"] for one in taken.pop("by_turns")]
    add("pooled_vs_unpooled_time", median(turns), "x", "<= 1.05")
    add("pooled_vs_unpooled_lowest", min(turns), "x")
    add("pooled_vs_unpooled_highest", max(turns), "x")
    add("pooled_vs_unpooled_processes", ratio("us", "unpooled"), "x")
    add("pooled_vs_unpooled_memory", ratio("growth_mib", "unpooled"), "x")
    add("stream_peak_kib", taken["stream"][0]["peak_kib"], "KiB", "<= 256")
    for name, values in taken.items():
        for what in values[0]:
            add(f"{name}_{what}", median(one[what] for one in values))
    figures.report(as_json=as_json)


if __name__ == "__main__":
    main()
