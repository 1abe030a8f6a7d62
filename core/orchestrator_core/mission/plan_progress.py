"""Shows how far a mission is in the plan file that it carries out.

States are published from the worker pool, together where they come close to each other, and with
pauses that keep the writing of a large plan below a tenth of the time. What a person did to the
file meanwhile is merged by the TodoSyncService; what is to be said about it becomes a note. Where
an editor has the file open, its buffer is edited rather than the file behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from orchestrator_core.errors import EditRefused, StaleEdit, WorkspaceError
from orchestrator_core.events import TaskDivided, TaskFinished, TaskStarted
from orchestrator_core.mission import plan_language
from orchestrator_core.mission.todo_merge import MergeResult
from orchestrator_core.mission.todo_sync import TodoSyncService
from orchestrator_core.records import TaskState
from orchestrator_core.workspace.edits import Change, diff_edits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.task_store import TaskStatus
    from orchestrator_core.mission.todo_merge import MarkerChange

log = logging.getLogger(__name__)

INTERVAL_S = 0.25
_ATTEMPTS = 5  # to edit a buffer in which somebody types; then with the next change
_SHARE = 9  # pauses are this many times as long as the write before


class PlanProgress:
    """One mission's progress in one plan file. Lives on the event loop; close it at the end.

    Args:
        engine: the workspace's services.
        path: the plan file, relative to the workspace.
        base: what it held as it was last rendered; edits since then are the person's. None where
            that is not known.
    """

    def __init__(self, engine: Engine, path: str, base: str | None = None) -> None:
        file = engine.workspace.locate(path)
        self._name = file.name
        self._path = path
        self._engine = engine
        self._pool = engine.pool
        self._service = TodoSyncService(file, base=base)
        self._due: dict[str, TaskState] = {}
        self._notes: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._publishing = asyncio.ensure_future(self._publish_on())

    def follow(self, event: AnyEvent) -> None:
        """Show soon what an event says of a task; those that never began are left to the end."""
        if isinstance(event, TaskStarted | TaskDivided):
            self._due[event.task_id] = TaskState.RUNNING
        elif isinstance(event, TaskFinished) and event.state is not TaskState.CANCELLED:
            self._due[event.task_id] = event.state
        else:
            return
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
            result = await self._bring_in(due)
        except (EditRefused, WorkspaceError) as error:
            log.warning("%s", error)
            self._note(str(error))
        else:
            self._note_changes(result)

    async def _bring_in(self, due: dict[str, TaskState]) -> MergeResult:
        """Into the editor's buffer, if it has the file open, else into the file."""
        for _ in range(_ATTEMPTS):
            buffer = await self._pool.submit(self._engine.workspace.find, self._path)
            if buffer is None or buffer.source == "disk":
                return await self._pool.submit(self._service.publish, due)
            result = await self._pool.submit(self._service.merged, buffer.text, due)
            if result.text != buffer.text:
                edits = await self._pool.submit(diff_edits, buffer.text, result.text)
                change = Change(self._path, "modify", buffer, result.text, edits, bom=buffer.bom)
                try:
                    async with self._engine.apply_lock:
                        await self._engine.applier.apply([change], label="orchestrator: progress")
                except StaleEdit:
                    continue  # the person types: merge with what there is now
            self._service.placed(result)
            return result
        return MergeResult("", shown=False)

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


def last_rendered(text: str, tasks: Iterable[TaskStatus]) -> str | None:
    """A plan file as it was last rendered: as it was read, and what the journal says since.

    Args:
        text: as it was read; empty where that is not known.
        tasks: as the journal has them.
    """
    if not text:
        return None
    states = {t.id: _shown(t) for t in tasks if t.attempt or t.state is TaskState.DONE}
    if not states:
        return text
    return plan_language.render_states(plan_language.parse(text), states)


def _shown(task: TaskStatus) -> TaskState:
    """How a task was last shown."""
    # Begun, and pending: it was cancelled when its budget was spent, and the mission goes on.
    return TaskState.CANCELLED if task.state is TaskState.PENDING else task.state


def _final(task: TaskStatus) -> TaskState:
    """What is true of a task at the mission's end: what was taken back is still to be done."""
    if task.state is TaskState.DONE and task.reverted:
        return TaskState.PENDING
    if task.state is TaskState.CANCELLED and task.attempt == 0:
        return TaskState.PENDING
    return task.state
