"""The peers of the memory benchmark: missions of plain records, and of this project's."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future as StdFuture
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

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
from orchestrator_core.mission.fold import fold
from orchestrator_core.mission.state import MissionState
from orchestrator_core.mission.task_reports import task_reports
from orchestrator_core.mission.task_store import TaskStore
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
from orchestrator_core.runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.journal import Journal
    from orchestrator_core.mission.pools import Pools
    from orchestrator_core.mission.task_store import TaskStatus

LIVE = 200
"""The tasks of a mission."""


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
        self, journal: Journal, kept: int, encode: Callable[[object], bytes], *, break_cycles: bool
    ) -> None:
        assert journal._writer is not None
        self._writer = journal._writer
        self._order = journal._order
        self._encode = encode
        self._break_cycles = break_cycles
        self._sequence = 0
        self.kept: deque[list[PlainTask]] = deque(maxlen=kept // LIVE)

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

    def __init__(self, journal: Journal, kept: int, pools: Pools) -> None:
        self._journal = journal
        self._pools = pools
        self._records: dict[int, TaskStatus] = {}
        self.kept: deque[tuple[TaskReport, ...]] = deque(maxlen=kept // LIVE)

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
