"""Shows how far a mission is in the plan file that it carries out.

States are published from the worker pool, together where they come close to each other, and with
pauses that keep the writing of a large plan below a tenth of the time. What a person did to the
file meanwhile is merged by the TodoSyncService; what is to be said about it becomes a note.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from orchestrator_core.errors import EditRefused
from orchestrator_core.mission.todo_sync import TodoSyncService
from orchestrator_core.records import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from orchestrator_core.mission.task_store import TaskStatus
    from orchestrator_core.mission.todo_merge import MarkerChange, MergeResult
    from orchestrator_core.runtime.worker_pool import WorkStealingPool

log = logging.getLogger(__name__)

INTERVAL_S = 0.25
_SHARE = 9  # pauses are this many times as long as the write before


class PlanProgress:
    """One mission's progress in one plan file. Lives on the event loop; close it at the end.

    Args:
        file: the plan file.
        pool: where the writing is done.
    """

    def __init__(self, file: Path, pool: WorkStealingPool) -> None:
        self._name = file.name
        self._pool = pool
        self._service = TodoSyncService(file)
        self._due: dict[str, TaskState] = {}
        self._notes: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._publishing = asyncio.ensure_future(self._publish_on())

    def show(self, task_id: str, state: TaskState) -> None:
        """Have a task's state shown soon."""
        self._due[task_id] = state
        self._changed.set()

    async def close(self, tasks: Iterable[TaskStatus]) -> tuple[str, ...]:
        """Show how the tasks ended and let go of the file.

        Returns:
            What the person should know about the file.
        """
        self._closing.set()
        self._changed.set()
        await self._publishing
        self._due.update({task.id: _final(task) for task in tasks})
        await self._publish()
        await self._pool.submit(self._service.close)
        return tuple(self._notes)

    async def _publish_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._changed.wait()
            if self._closing.is_set():
                return
            self._changed.clear()
            began = loop.time()
            await self._publish()
            pause_s = max(INTERVAL_S, _SHARE * (loop.time() - began))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause_s)

    async def _publish(self) -> None:
        due, self._due = self._due, {}
        try:
            result = await self._pool.submit(self._service.publish, due)
        except EditRefused as error:
            log.warning("%s", error)
            self._note(str(error))
        else:
            self._note_changes(result)

    def _note_changes(self, result: MergeResult) -> None:
        for change in result.conflicts:
            self._note(f"{self._marked(change)}, but is {change.journal}: both are in the file")
        for change in result.requests:
            self._note(f"{self._marked(change)}: the mission did not act on it")
        for task_id in result.added:
            self._note(f"{self._name}: {task_id} was added meanwhile: /run carries it out")
        for task_id in result.removed:
            self._note(f"{self._name}: {task_id} was taken out meanwhile, but belonged to this run")

    def _marked(self, change: MarkerChange) -> str:
        what = f"{change.task_id} ({change.step})" if change.step else change.task_id
        return f"{self._name}:{change.line}: {what} was marked {change.theirs} by hand"

    def _note(self, text: str) -> None:
        self._notes[text] = None


def _final(task: TaskStatus) -> TaskState:
    """What is true of a task at the mission's end: what was taken back is still to be done."""
    if task.state is TaskState.DONE and task.reverted:
        return TaskState.PENDING
    if task.state is TaskState.CANCELLED and task.attempt == 0:
        return TaskState.PENDING
    return task.state
