"""A whole mission: large plans, parallel tasks, status while it runs, and the journal's part.

``plan_10k_vs_1k``: parsing a plan file, scheduling and completing 10,000 tasks that do nothing,
over 1,000; the journal is written as ever. ``parallel_of_ideal``: 32 tasks of 100 ms on 8 workers;
1 would be no
overhead at all; a mission of one task before has opened what is opened once. ``status_p99_ms``: what ``status`` takes while the 10,000 run, asked
again and again. The journal's figures are those of ``bench_journal``.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import bench_journal
from benchmarks.harness import Figures, begin, interleaved
from orchestrator_core.config import Limits, Settings
from orchestrator_core.mission import plan_language
from orchestrator_core.records import MissionStatus, Plan, Step, Task
from scripted_backend import orchestrator, request_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.orchestrator import Orchestrator

QUICK = "--quick" in sys.argv
SMALL = 100 if QUICK else 1_000
SLEEP_S = 0.1
TASKS, WORKERS = 32, 8


async def _nothing(_: TaskContext) -> None:
    pass


async def _sleep(context: TaskContext) -> None:
    await context.pool.submit(time.sleep, SLEEP_S)


async def _whole_plan(count: int, *, asking: bool = False) -> tuple[float, list[float]]:
    """Seconds for a plan file of ``count`` tasks, and for each ``status`` meanwhile."""
    tasks = tuple(Task(f"T{n}", f"task {n}", (Step("nothing"),)) for n in range(count))
    took_s: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "tree")
        root.mkdir()
        (root / "plan.md").write_text(plan_language.render(Plan("bench", tasks)))
        async with orchestrator(root, _nothing) as engine:
            began = time.perf_counter()
            request = await engine.plans.request_from_file("plan.md", backend="script")
            mission = await engine.start(request)
            asker = asyncio.ensure_future(_ask(engine, took_s)) if asking else None
            report = await mission.wait()
            whole_s = time.perf_counter() - began
            assert report.status is MissionStatus.DONE, report.reason
            if asker is not None:
                asker.cancel()
    return whole_s, took_s


async def _ask(engine: Orchestrator, took_s: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await engine.records.status()
        took_s.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)


async def _parallel() -> float:
    """The share of the ideal speed-up."""
    tasks = [Task(f"T{n}", "sleep") for n in range(TASKS)]
    settings = Settings(workers=WORKERS, limits=Limits(worker=WORKERS, reviewer=WORKERS))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "tree")
        root.mkdir()
        async with orchestrator(root, _sleep, settings) as engine:
            await (await engine.start(request_for(tasks[0]))).wait()  # what is opened once
            began = time.perf_counter()
            report = await (await engine.start(request_for(*tasks))).wait()
            took_s = time.perf_counter() - began
            assert report.status is MissionStatus.DONE, report.reason
    return TASKS * SLEEP_S / WORKERS / took_s


def _run(act: Callable[[], Any]) -> Any:
    return asyncio.run(act())


def _status() -> float:
    _, took_s = _run(lambda: _whole_plan(10 * SMALL, asking=True))
    return sorted(took_s)[int(len(took_s) * 0.99)] * 1e3


MEASUREMENTS: dict[str, Callable[[], float]] = {
    "plan_1k": lambda: _run(lambda: _whole_plan(SMALL))[0],
    "plan_10k": lambda: _run(lambda: _whole_plan(10 * SMALL))[0],
    "parallel": lambda: _run(_parallel),
    "status": _status,
    **{n: bench_journal.MEASUREMENTS[n] for n in ("journal", "sqlite", "decode", "replay")},
}


def main() -> None:
    """Measure, or conduct the measuring."""
    options = begin(__doc__, MEASUREMENTS, 3)
    taken = interleaved(__file__, MEASUREMENTS, options.rounds, *options.flags)
    m = {name: statistics.median(values) for name, values in taken.items()}
    figures = Figures()
    figures.add("plan_10k_vs_1k", m["plan_10k"] / m["plan_1k"], "x", "<= 12")
    figures.add("parallel_of_ideal", m["parallel"], "", ">= 0.9")
    figures.add("status_p99_ms", m["status"], "ms", "<= 50")
    figures.add("journal_vs_sqlite", m["journal"] / m["sqlite"], "x", "<= 1.5")
    figures.add("replay_vs_decode", m["replay"] / m["decode"], "x", "<= 2")
    figures.add("plan_10k_s", m["plan_10k"], "s")
    figures.add("plan_1k_s", m["plan_1k"], "s")
    figures.report(as_json=options.json)


if __name__ == "__main__":
    main()
