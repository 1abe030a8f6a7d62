"""What records and pools cost in memory, collections and time.

100,000 tasks live through the real store: 200 at a time, planned, started, reviewed, edited,
finished; each step is journalled by the real group writer, and the reports of the latest 20,000
are kept. Peers, each in a process of its own:

* ``naive``: dataclasses, the task, its future and its callback in a cycle, JSON by the standard
  library, the collector as Python sets it;
* ``plain``: the same with the cycle broken when the task is done;
* ``unpooled`` and ``pooled``: this project with TASK_POOLING off and on.

``same_encoder_*`` are naive and plain again with this project's JSON encoder, which shows how much
of the difference in time is the encoder's. Memory is resident memory, without a collection first.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from concurrent.futures import Future as StdFuture
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil

from benchmarks.harness import Figures, answer, arguments, fresh, interleaved
from orchestrator_core.events import (
    EditsApplied,
    EditsIntended,
    MissionAccepted,
    MissionFinished,
    MissionPlanned,
    TaskFinished,
    TaskReviewed,
    TaskStarted,
)
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.pools import Pools
from orchestrator_core.mission.state import MissionState, fold
from orchestrator_core.mission.task_reports import task_reports
from orchestrator_core.mission.task_store import TaskStore
from orchestrator_core.primitives.buffer_pool import BufferPool
from orchestrator_core.records import (
    CheckResult,
    FileChange,
    MissionStatus,
    Plan,
    Receipt,
    Step,
    Task,
    TaskReport,
    TaskState,
)
from orchestrator_core.runtime.collector import settle
from orchestrator_core.runtime.command import run_command
from orchestrator_core.runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.task_store import TaskStatus

QUICK = "--quick" in sys.argv
LIVE = 200
TASKS = 4_000 if QUICK else 100_000
KEPT = 2_000 if QUICK else 20_000
STREAM_MIB = 4


@dataclass
class PlainTask:
    """A task as one would write it first: everything in one mutable record."""

    id: str
    title: str
    steps: list[dict[str, Any]]
    depends: list[str] = field(default_factory=list[str])
    files: list[str] = field(default_factory=list[str])
    agent: str = "worker"
    milestone: str = ""
    group: str = ""
    state: str = "pending"
    attempt: int = 0
    intended: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    applied: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    reverted: bool = False
    receipt: dict[str, Any] | None = None
    reason: str = ""
    notes: list[str] = field(default_factory=list[str])
    started_at: float = 0.0
    finished_at: float = 0.0
    future: StdFuture[str] | None = None
    callbacks: list[Callable[[StdFuture[str]], None]] = field(
        default_factory=list["Callable[[StdFuture[str]], None]"]
    )


@dataclass
class PlainEvent:
    """A step of a mission; what it carries is in ``data``."""

    kind: str
    mission_id: str
    sequence: int
    at: float
    data: dict[str, Any]


class PlainStore:
    """Missions of plain records: each task has a future whose callback knows the task."""

    def __init__(
        self, journal: Journal, encode: Callable[[object], bytes], *, break_cycles: bool
    ) -> None:
        assert journal._writer is not None
        self._writer = journal._writer
        self._order = journal._order
        self._encode = encode
        self._break_cycles = break_cycles
        self._sequence = 0
        self.kept: deque[list[PlainTask]] = deque(maxlen=KEPT // LIVE)

    def mission(self, number: int) -> None:
        """One mission from beginning to end."""
        mission, self._sequence = f"m{number}", 0
        tasks = [
            PlainTask(f"T{n}", f"task {n}", [{"text": f"rename a{n} -> b{n}", "state": "pending"}])
            for n in range(LIVE)
        ]
        self._emit("accepted", mission, {"text": "bench", "mode": "normal"})
        keys = ("id", "title", "steps", "depends", "files", "agent")
        plan = [{key: getattr(task, key) for key in keys} for task in tasks]
        self._emit("planned", mission, {"tasks": plan})
        for task in tasks:
            self._start(mission, task)
        for n, task in enumerate(tasks):
            self._carry_out(mission, task, number * LIVE + n)
        self._emit("done", mission, {"status": "done"}).result()
        self.kept.append(tasks)

    def _start(self, mission: str, task: PlainTask) -> None:
        task.future = StdFuture()
        task.callbacks.append(partial(self._finished, mission, task))
        task.future.add_done_callback(task.callbacks[0])
        task.state, task.attempt, task.started_at = "running", 1, time.time()
        self._emit("taskStarted", mission, {"task_id": task.id, "attempt": 1})

    def _carry_out(self, mission: str, task: PlainTask, number: int) -> None:
        checks = [
            {"name": name, "status": "passed", "command": "", "duration_s": 0.1 + number}
            for name in ("syntax", "lint")
        ]
        task.receipt = {"task_id": task.id, "passed": True, "checks": checks}
        self._emit("review", mission, {"task_id": task.id, "receipt": task.receipt})
        change = {"path": f"src/module_{number}.py", "kind": "modify"}
        change |= {"before": f"{number:064x}", "after": f"{number + 1:064x}"}
        task.intended.append(change)
        self._emit("editsIntended", mission, {"task_id": task.id, "changes": task.intended})
        task.applied, task.intended = task.intended, []
        self._emit("editApplied", mission, {"task_id": task.id, "changes": task.applied})
        assert task.future is not None
        task.future.set_result("done")

    def _finished(self, mission: str, task: PlainTask, future: StdFuture[str]) -> None:
        task.state, task.finished_at = future.result(), time.time()
        self._emit("taskFinished", mission, {"task_id": task.id, "state": task.state})
        if self._break_cycles:
            task.future = None
            task.callbacks.clear()

    def _emit(self, kind: str, mission: str, data: dict[str, Any]) -> Future[None]:
        self._sequence += 1
        event = PlainEvent(kind, mission, self._sequence, time.time(), data)
        body = msgspec.Raw(self._encode(event))
        with self._order:
            return self._writer.add(mission, self._sequence, kind, body)


class OwnStore:
    """Missions of this project's records, folded and journalled by its own code."""

    def __init__(self, journal: Journal, pools: Pools) -> None:
        self._journal = journal
        self._pools = pools
        self._records: dict[int, TaskStatus] = {}
        self.kept: deque[tuple[TaskReport, ...]] = deque(maxlen=KEPT // LIVE)

    def mission(self, number: int) -> None:
        """One mission from beginning to end."""
        state = MissionState(f"m{number}")
        events: list[AnyEvent] = []
        emit = partial(self._emit, state, events)
        tasks = tuple(
            Task(f"T{n}", f"task {n}", (Step(f"rename a{n} -> b{n}"),)) for n in range(LIVE)
        )
        emit(MissionAccepted(mission_id=state.mission_id, text="bench"))
        emit(MissionPlanned(mission_id=state.mission_id, plan=Plan("bench", tasks)))
        futures = [self._start(emit, state.mission_id, task.id) for task in tasks]
        for n, (task, future) in enumerate(zip(tasks, futures, strict=True)):
            self._carry_out(emit, state.mission_id, task.id, future, number * LIVE + n)
        emit(MissionFinished(mission_id=state.mission_id, status=MissionStatus.DONE)).result()
        self.kept.append(task_reports(state, events))
        self._pools.tasks.take_back(list(self._records.values()))
        state.tasks = TaskStore()
        self._records = {}

    def _start(
        self, emit: Callable[[AnyEvent], object], mission: str, task: str
    ) -> Future[TaskState]:
        future: Future[TaskState] = Future()

        def finished(done: Future[TaskState]) -> None:
            emit(TaskFinished(mission_id=mission, task_id=task, state=done.result()))

        future.add_done_callback(finished)
        emit(TaskStarted(mission_id=mission, task_id=task))
        return future

    def _carry_out(
        self,
        emit: Callable[[AnyEvent], object],
        mission: str,
        task: str,
        future: Future[TaskState],
        number: int,
    ) -> None:
        checks = tuple(
            CheckResult(name, "passed", duration_s=0.1 + number) for name in ("syntax", "lint")
        )
        emit(TaskReviewed(mission_id=mission, task_id=task, receipt=Receipt(task, True, checks)))
        before, after = f"{number:064x}", f"{number + 1:064x}"
        changes = (FileChange(f"src/module_{number}.py", "modify", before, after),)
        emit(EditsIntended(mission_id=mission, task_id=task, changes=changes))
        emit(EditsApplied(mission_id=mission, task_id=task, changes=changes))
        future.set_result(TaskState.DONE)

    def _emit(self, state: MissionState, events: list[AnyEvent], event: AnyEvent) -> Future[None]:
        """As ``Commander`` does it."""
        event = msgspec.structs.replace(event, sequence=len(events) + 1, at=time.time())
        events.append(event)
        fold(state, event, self._new_tasks)
        return self._journal.append(event)

    def _new_tasks(self, tasks: Sequence[Task]) -> list[TaskStatus]:
        """As ``Mission`` does it."""
        records = self._pools.tasks.new(tasks)
        self._records.update((id(record), record) for record in records)
        return records


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
    return lifecycles(lambda journal: PlainStore(journal, encode, break_cycles=break_cycles))


def _own(*, pooling: bool) -> dict[str, float]:
    pools = Pools.of(pooling=pooling)
    settle()
    taken = lifecycles(lambda journal: OwnStore(journal, pools))
    counts = pools.tasks.stats()
    assert counts.in_use == 0
    assert counts.released == (TASKS if pooling else 0)
    return taken


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
            store = OwnStore(journal, pools)
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
    "naive": lambda: _plain(_standard_json, break_cycles=False),
    "plain": lambda: _plain(_standard_json, break_cycles=True),
    "unpooled": lambda: _own(pooling=False),
    "pooled": lambda: _own(pooling=True),
    "same_encoder_naive": lambda: _plain(msgspec.json.encode, break_cycles=False),
    "same_encoder_plain": lambda: _plain(msgspec.json.encode, break_cycles=True),
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
    taken = interleaved(__file__, MEASUREMENTS, options.rounds or (1 if QUICK else 3), *quick)
    taken |= {name: [fresh(__file__, "--measure", name, *quick)] for name in ONCE}
    report(taken, as_json=options.json)


def report(taken: dict[str, list[dict[str, float]]], *, as_json: bool) -> None:
    """The figures, of medians."""

    def median(name: str, what: str) -> float:
        values: Sequence[float] = sorted(one[what] for one in taken[name])
        return values[len(values) // 2]

    def ratio(what: str, over: str, base: str = "pooled") -> float:
        return median(base, what) / median(over, what)

    figures = Figures()
    add = figures.add
    add("collections_vs_naive", ratio("collections", "naive"), "x", "<= 0.05")
    add("collections_vs_plain", ratio("collections", "plain"), "x", "<= 0.2")
    add("memory_vs_naive", ratio("growth_mib", "naive"), "x", "<= 0.2")
    add("memory_vs_plain", ratio("growth_mib", "plain"), "x", "<= 0.4")
    add("time_vs_naive", ratio("us", "naive"), "x", "<= 0.4")
    add("cpu_vs_naive", ratio("cpu_us", "naive"), "x")
    add("time_vs_same_encoder_naive", ratio("us", "same_encoder_naive"), "x")
    add("pooled_vs_unpooled_time", ratio("us", "unpooled"), "x", "<= 1.05")
    add("pooled_vs_unpooled_cpu", ratio("cpu_us", "unpooled"), "x")
    add("pooled_vs_unpooled_memory", ratio("growth_mib", "unpooled"), "x")
    add("stream_peak_kib", median("stream", "peak_kib"), "KiB", "<= 256")
    for name, values in taken.items():
        for what in values[0]:
            add(f"{name}_{what}", median(name, what))
    figures.report(as_json=as_json)


if __name__ == "__main__":
    main()
