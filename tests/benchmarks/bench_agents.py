"""Missions of a model: what is ours in their time, memory and end. The model is a scripted server.

``speedup_of_ideal``: 16 independent tasks of two turns, 200 ms each, on 8 workers over one; 1 would
be eight times as fast. ``turn_cpu_ms``: the CPU time of this process for a turn of a task
with 25 of them, each with a tool call, request and stream included. ``sessions50_mb``: its resident memory with 50 replies
streaming at once. ``cancel_ms``: from the stop of a mission in mid-stream until it has ended and
the model's side has noticed.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.harness import Figures, begin, interleaved
from orchestrator_core.config import Limits, ModelSettings, Settings
from orchestrator_core.mission.agent import MissionRequest
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import Places
from orchestrator_core.records import MissionStatus, Plan, Step, Task
from orchestrator_core.services import Services
from scripted_backend import Recorder
from scripted_model import ModelProcess, call, rule, say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.records import MissionReport

QUICK = "--quick" in sys.argv
TASKS, WORKERS, TURN_S = 16, 8, 0.2
LONG, TURNS = (1 if QUICK else 6), 25
SESSIONS = 50


@asynccontextmanager
async def _engine(
    *rules: dict[str, Any], workers: int = WORKERS
) -> AsyncGenerator[tuple[Orchestrator, ModelProcess]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "tree"
        root.mkdir()
        (root / "app.py").write_text("def total(items):\n    return sum(items)\n" * 50)
        with ModelProcess(folder, *rules) as process:
            model = ModelSettings(name="openai:scripted", base_url=process.base_url, review=False)
            limits = Limits(worker=workers, reviewer=workers)
            settings = Settings(backend="llm", model=model, limits=limits)
            places = Places.of(root, state=folder / "state", cache=folder / "cache")
            services = await Services.open(root, settings, Recorder(), places=places)
            engine = Orchestrator(services)
            try:
                await _run(engine, _task(0))  # what is imported and opened once
                yield engine, process
            finally:
                await engine.close()


def _task(number: int) -> Task:
    steps = (Step(f"create file {number}"),)
    return Task(f"T{number}", f"task {number}", steps, files=(f"made/{number}.txt",))


async def _start(engine: Orchestrator, *tasks: Task) -> Mission:
    return await engine.start(MissionRequest(plan=Plan("bench", tasks), backend="llm"))


async def _run(engine: Orchestrator, *tasks: Task) -> MissionReport:
    report = await (await _start(engine, *tasks)).wait()
    assert report.status is MissionStatus.DONE, report.reason
    return report


def _rules(count: int, delay_s: float) -> list[dict[str, Any]]:
    """Each task creates its file in one turn, and says that it is done in another."""
    return [
        rule(
            {**call("create", path=f"made/{n}.txt", text=f"{n}\n"), "delay_s": delay_s},
            say("Done.", delay_s=delay_s),
            match=(f"Task T{n}:",),
        )
        for n in range(count + 1)
    ]


async def _whole(workers: int) -> float:
    async with _engine(*_rules(TASKS, TURN_S), workers=workers) as (engine, _):
        began = time.perf_counter()
        await _run(engine, *(_task(n) for n in range(1, TASKS + 1)))
        return time.perf_counter() - began


async def _turn_cpu() -> float:
    reads = [call("read", path="app.py") for _ in range(TURNS - 1)]
    numbers = range(1, LONG + 1)
    rules = [rule(*reads, say("Done."), match=(f"Task T{n}:",)) for n in numbers]
    async with _engine(*_rules(0, 0.0), *rules, workers=1) as (engine, _):
        began = time.process_time()
        await _run(engine, *map(_task, numbers))
        return (time.process_time() - began) / (LONG * TURNS) * 1e3


def _streaming() -> dict[str, Any]:
    return rule(say("word " * 100_000, chunk_s=0.02), match=("Task T",), again=True)


async def _all_stream(process: ModelProcess, count: int) -> None:
    async with asyncio.timeout(50):
        while (await asyncio.to_thread(process.log))["active"] < count:
            await asyncio.sleep(0.1)
    await asyncio.sleep(1.0)  # every reply has said something by now


async def _sessions() -> float:
    async with _engine(*_rules(0, 0.0), _streaming(), workers=SESSIONS) as (engine, process):
        mission = await _start(engine, *(_task(n) for n in range(1, SESSIONS + 1)))
        await _all_stream(process, SESSIONS)
        resident = psutil.Process().memory_info().rss
        mission.stop("measured")
        await mission.wait()
        return resident / 2**20


async def _cancel() -> float:
    async with _engine(*_rules(0, 0.0), _streaming()) as (engine, process):
        mission = await _start(engine, *(_task(n) for n in range(1, WORKERS + 1)))
        await _all_stream(process, WORKERS)
        stopped = time.time()
        mission.stop("measured")
        await mission.wait()
        ended = time.time()
        async with asyncio.timeout(20):
            while (log := await asyncio.to_thread(process.log))["active"]:
                await asyncio.sleep(0.01)
        gone = max(request["ended_at"] for request in log["requests"])
        return (max(ended, gone) - stopped) * 1e3


MEASUREMENTS: dict[str, Callable[[], float]] = {
    "one_worker": lambda: asyncio.run(_whole(1)),
    "eight_workers": lambda: asyncio.run(_whole(WORKERS)),
    "turn": lambda: asyncio.run(_turn_cpu()),
    "sessions": lambda: asyncio.run(_sessions()),
    "cancel": lambda: asyncio.run(_cancel()),
}


def main() -> None:
    """Measure, or conduct the measuring."""
    options = begin(__doc__, MEASUREMENTS, 3)
    taken = interleaved(__file__, MEASUREMENTS, options.rounds, *options.flags)
    m = {name: statistics.median(values) for name, values in taken.items()}
    figures = Figures()
    speedup = m["one_worker"] / m["eight_workers"]
    figures.add("speedup_of_ideal", speedup / WORKERS, "", ">= 0.9")
    figures.add("turn_cpu_ms", m["turn"], "ms", "<= 10")
    figures.add("sessions50_mb", m["sessions"], "MB", "<= 200")
    figures.add("cancel_ms", m["cancel"], "ms", "<= 500")
    figures.add("one_worker_s", m["one_worker"], "s")
    figures.add("eight_workers_s", m["eight_workers"], "s")
    figures.report(as_json=options.json)


if __name__ == "__main__":
    main()
