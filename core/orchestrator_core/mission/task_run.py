"""One task, from a worker's hands through the Reviewer's into the workspace.

A draft that the Reviewer does not pass goes back to the worker with the receipt, once: it may
be able to repair what it broke. A draft that was made from texts that have changed meanwhile
is thrown away and the task done again on the new ones.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from orchestrator_core.errors import StaleEdit
from orchestrator_core.events import EditsApplied, EditsIntended, TaskReviewed, TaskStarted
from orchestrator_core.mission.agent import TaskContext
from orchestrator_core.records import Receipt, Task, TaskState
from orchestrator_core.workspace.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.agent import Backend, Outcome
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.workspace.edits import Change

    Ending = tuple[TaskState, str, tuple[str, ...]]

log = logging.getLogger(__name__)

T = TypeVar("T")

APPLY_GRACE_S = 1.5
"""How long a stop waits for an edit that is being applied: the editor may be asking a person."""


class TaskRun:
    """Carries out the tasks of one mission, any number at once, on one event loop.

    Attributes:
        rehearsal: where a dry run's changes pile up in place of the workspace; None in earnest.
    """

    def __init__(
        self,
        engine: Engine,
        mission: Mission,
        backend: Backend,
        emit: Callable[[AnyEvent], Awaitable[object]],
    ) -> None:
        self._engine = engine
        self._mission = mission
        self._backend = backend
        self._emit = emit
        self.rehearsal = Draft(engine.workspace) if mission.request.dry_run else None
        self._rehearsing = asyncio.Lock()

    async def carry_out(self, task: Task, progress: Callable[[int, int], None]) -> Ending:
        """Do the task, and again where its texts changed meanwhile.

        Returns:
            How it ended, why if it failed, and what the person should know.

        Raises:
            OrchestratorError: a tool, the agent or the applier failed; nothing was applied.
        """
        if self.rehearsal is not None:
            async with self._rehearsing:
                return await self._rehearse(self.rehearsal, task, progress)
        attempts = self._engine.settings.limits.attempts
        for attempt in range(1, attempts + 1):
            draft = Draft(self._engine.workspace)
            try:
                receipt, changes, notes = await self._work(task, attempt, draft, progress)
                if not receipt.passed:
                    return TaskState.FAILED, _why(receipt, changes), notes
                await self._apply(task, changes)
            except StaleEdit as error:
                log.info("task %s, attempt %d: %s", task.id, attempt, error)
                continue
            return TaskState.DONE, "", notes
        why = f"the files kept changing while it worked: given up after {attempts} attempts"
        return TaskState.FAILED, why, ()

    async def _rehearse(
        self, before: Draft, task: Task, progress: Callable[[int, int], None]
    ) -> Ending:
        draft, seen = before.copy(), before.documents()
        receipt, changes, notes = await self._work(task, 1, draft, progress)
        if not receipt.passed:
            return TaskState.FAILED, _why(receipt, changes), notes
        self.rehearsal = draft
        now = draft.documents()
        self._emit(self._intent(task, [c for c in changes if now.get(c.path) != seen.get(c.path)]))
        return TaskState.DONE, "", notes

    async def _work(
        self, task: Task, attempt: int, draft: Draft, progress: Callable[[int, int], None]
    ) -> tuple[Receipt, Sequence[Change], tuple[str, ...]]:
        """Have a worker carry out the task on ``draft``, and the Reviewer check it."""
        engine, worker = self._engine, self._backend.worker
        context = self._context(task, draft, progress)
        async with engine.concurrency.acquire(role="worker", backend=self._backend.name):
            self._emit(TaskStarted(mission_id=self._mission.id, task_id=task.id, attempt=attempt))
            outcome = await worker.perform(context)
        receipt, changes = await self._review(task, draft, outcome)
        if not receipt.passed and changes:
            async with engine.concurrency.acquire(role="worker", backend=self._backend.name):
                repaired = await worker.repair(context, receipt)
            if repaired:
                receipt, changes = await self._review(task, draft, outcome)
        self._emit(TaskReviewed(mission_id=self._mission.id, task_id=task.id, receipt=receipt))
        return receipt, changes, outcome.notes

    async def _review(
        self, task: Task, draft: Draft, outcome: Outcome
    ) -> tuple[Receipt, Sequence[Change]]:
        engine = self._engine
        changes = await engine.pool.submit(draft.changes)
        async with engine.concurrency.acquire(role="reviewer"):
            return await engine.reviewer.review(task.id, changes, outcome.checks), changes

    def _context(
        self, task: Task, draft: Draft, progress: Callable[[int, int], None]
    ) -> TaskContext:
        engine = self._engine
        return TaskContext(
            mission_id=self._mission.id,
            task=task,
            draft=draft,
            toolbox=engine.toolbox,
            pool=engine.pool,
            progress=progress,
            originals=self._originals,
            scratch=engine.scratch,
            plan_file=self._mission.request.plan_file,
            checks=engine.settings.checks,
            timeout_s=engine.settings.check_timeout_s,
        )

    async def _apply(self, task: Task, changes: Sequence[Change]) -> None:
        """Put the changes into the workspace, with what undo needs in the journal first."""
        if not changes:
            return
        engine = self._engine
        async with engine.apply_lock:
            await engine.pool.submit(engine.keep, self._mission.id, changes)
            intent = self._intent(task, changes)
            await self._emit(intent)
            label = f"orchestrator: {task.title}"
            await _to_its_end(engine.applier.apply(changes, label=label), APPLY_GRACE_S)
            self._emit(
                EditsApplied(mission_id=self._mission.id, task_id=task.id, changes=intent.changes)
            )

    def _intent(self, task: Task, changes: Sequence[Change]) -> EditsIntended:
        return EditsIntended(
            mission_id=self._mission.id,
            task_id=task.id,
            changes=tuple(change.record() for change in changes),
        )

    def _originals(self) -> dict[str, str | None]:
        if self.rehearsal is not None:
            changes = self.rehearsal.changes()
            return {c.path: c.before.text if c.before else None for c in changes}
        first: dict[str, str] = {}
        for event in self._mission.events:
            if isinstance(event, EditsApplied):
                for change in event.changes:
                    first.setdefault(change.path, change.before)
        originals: dict[str, str | None] = {}
        for path, sha256 in first.items():
            kept = self._engine.contents.get(sha256) if sha256 else None
            originals[path] = None if kept is None else kept.decode("utf-8-sig")
        return originals


async def _to_its_end(work: Coroutine[None, None, T], grace_s: float) -> T:
    """Await ``work``; a cancellation lets it end first, for at most ``grace_s``.

    Work that ends in time counts as done and the cancellation is dropped.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=grace_s)
        if not task.done():
            task.cancel()
            raise
        if (current := asyncio.current_task()) is not None:
            current.uncancel()
        return task.result()


def _why(receipt: Receipt, changes: Sequence[Change]) -> str:
    failed = [check for check in receipt.checks if check.status == "failed"]
    lines = [f"{check.name}: {'; '.join(check.details) or 'failed'}" for check in failed]
    told = "its edits made something worse and were not applied" if changes else "a check failed"
    return f"{told}: {' | '.join(lines)}"
