"""What comes next in a mission: events in, actions out, no clock, no I/O.

The Commander feeds every journalled event to the policy and performs the actions that it
answers. Keeping the decision apart from the performing makes every path of a mission
testable without running one, and makes a replayed journal lead to the same decisions.

Work per event is proportional to the tasks that the event concerns, so a plan of 10,000
tasks costs ten times one of 1,000.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.events import AnyEvent, MissionPlanned, TaskDivided, TaskFinished
from orchestrator_core.mission.plan import TaskGraph
from orchestrator_core.records import MissionStatus, TaskState

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence


class StartTask(Struct, frozen=True):
    """Give the task to a worker: all that it depends on is done."""

    task_id: str


class SkipTask(Struct, frozen=True):
    """Record the task as cancelled: it will not start any more."""

    task_id: str
    reason: str


class StopTask(Struct, frozen=True):
    """Cancel the running task; it answers with a TaskFinished."""

    task_id: str


class FinishMission(Struct, frozen=True):
    """Nothing is left to do. A failed mission's edits are to be taken back first."""

    status: MissionStatus
    reason: str


_NOT_STARTED = "not started: the mission was stopped"

Action = StartTask | SkipTask | StopTask | FinishMission


class MissionPolicy:
    """Decides for one mission. Not thread-safe: the mission's coroutine owns it.

    Tasks whose dependencies are done are ready; of those, the ones that most work waits for are
    started first, and no more at once than can be worked on.

    Args:
        at_once: tasks that may have been started and not ended, those apart that wait for files;
            None for any number.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self._at_once = at_once
        self._waits_for: dict[str, int] = {}
        self._dependents: dict[str, list[str]] = {}
        self._titles: dict[str, str] = {}
        self._pending: dict[str, None] = {}
        self._ready: list[tuple[int, int, str]] = []  # a heap: what most waits for, then as planned
        self._ranks: dict[str, tuple[int, int]] = {}
        self._running: dict[str, None] = {}
        self._idle: set[str] = set()  # of those running
        self._ending: MissionStatus | None = None
        self._reason = ""
        self._finished = False

    def handle(self, event: AnyEvent) -> list[Action]:
        """Take note of an event and answer what to do now.

        Raises:
            PlanError: the plan's tasks cannot be put into an order.
        """
        match event:
            case MissionPlanned():
                return self._planned(event)
            case TaskDivided():
                return self._divided(event)
            case TaskFinished():
                return self._task_finished(event)
            case _:
                return []

    def waits(self, task_id: str) -> list[Action]:
        """The running task waits for files: another may be started in its place."""
        self._idle.add(task_id)
        return self._start_ready()

    def goes_on(self, task_id: str) -> None:
        """The running task has its files."""
        self._idle.discard(task_id)

    def stop(self, reason: str) -> list[Action]:
        """The person wants the mission to end: stop what runs, skip what waits."""
        return self._end(MissionStatus.CANCELLED, reason)

    def fail(self, reason: str) -> list[Action]:
        """The mission cannot go on, for example because its time is over."""
        return self._end(MissionStatus.FAILED, reason)

    def _planned(self, event: MissionPlanned) -> list[Action]:
        tasks = event.plan.tasks
        lengths = TaskGraph(event.plan).chain_lengths()
        finished = {task.id for task in tasks if task.state is TaskState.DONE}
        for place, task in enumerate(tasks):
            self._titles[task.id] = task.title
            self._ranks[task.id] = (-lengths[task.id], place)
            if task.id not in finished:
                self._add(task.id, [name for name in task.depends if name not in finished])
        return self._start_ready() or self._finish_if_idle()

    def _divided(self, event: TaskDivided) -> list[Action]:
        """The task waits for its parts, which go before all that it would have gone before."""
        rank = self._ranks[event.task_id]
        self._running.pop(event.task_id, None)
        for part in event.parts:
            self._titles[part.id] = part.title
            self._ranks[part.id] = rank
        self._add(event.task_id, [part.id for part in event.parts])
        for part in event.parts:
            self._add(part.id, part.depends)
        if self._ending is not None:
            names = [*(part.id for part in event.parts), event.task_id]
            return [SkipTask(name, _NOT_STARTED) for name in names]
        return self._start_ready()

    def _add(self, task_id: str, waits: Sequence[str]) -> None:
        self._waits_for[task_id] = len(waits)
        for dependency in waits:
            self._dependents.setdefault(dependency, []).append(task_id)
        self._pending[task_id] = None
        if not waits:
            heapq.heappush(self._ready, (*self._ranks[task_id], task_id))

    def _task_finished(self, event: TaskFinished) -> list[Action]:
        self._running.pop(event.task_id, None)
        self._idle.discard(event.task_id)
        self._pending.pop(event.task_id, None)
        if event.state is TaskState.DONE:
            for dependent in self._dependents.pop(event.task_id, ()):
                self._waits_for[dependent] -= 1
                if self._waits_for[dependent] == 0:
                    heapq.heappush(self._ready, (*self._ranks[dependent], dependent))
            return self._start_ready() or self._finish_if_idle()
        if self._ending is None:
            status = (
                MissionStatus.FAILED if event.state is TaskState.FAILED else MissionStatus.CANCELLED
            )
            title = self._titles.get(event.task_id, event.task_id)
            return self._end(status, f"{event.task_id} ({title}): {event.reason}")
        return self._finish_if_idle()

    def _start_ready(self) -> list[Action]:
        starts: list[Action] = []
        while self._ready and self._ending is None and self._has_room():
            *_, task_id = heapq.heappop(self._ready)
            del self._pending[task_id]
            self._running[task_id] = None
            starts.append(StartTask(task_id))
        return starts

    def _has_room(self) -> bool:
        return self._at_once is None or len(self._running) - len(self._idle) < self._at_once

    def _end(self, status: MissionStatus, reason: str) -> list[Action]:
        if self._ending is not None:
            return []
        self._ending, self._reason = status, reason
        why = _NOT_STARTED
        if status is MissionStatus.FAILED:
            why = "not started: another task failed"
        actions: list[Action] = [StopTask(task_id) for task_id in self._running]
        actions += [SkipTask(task_id, why) for task_id in self._pending]
        return actions or self._finish_if_idle()

    def _finish_if_idle(self) -> list[Action]:
        if self._finished or self._running or (self._pending and self._ending):
            return []
        if self._pending:
            # Unreachable for a plan in order: some task of it would be ready.
            return self._end(MissionStatus.FAILED, "tasks wait for each other")
        self._finished = True
        return [FinishMission(self._ending or MissionStatus.DONE, self._reason)]


def retry_delay_s(
    attempt: int, rng: random.Random, *, first_s: float = 0.5, cap_s: float = 30.0
) -> float:
    """The pause before the next attempt: exponential with full jitter.

    Args:
        attempt: the attempt that failed, from 1.
        rng: source of the jitter.
        first_s: the upper bound after the first attempt; it doubles with each.
        cap_s: the upper bound is never above this.

    Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    return rng.uniform(0, min(cap_s, first_s * 2 ** (attempt - 1)))
