"""One task, from a worker's hands through the Reviewer's into the workspace.

A draft that the Reviewer does not pass goes back to the worker with the receipt, once: it may
be able to repair what it broke. A draft that was made from texts that have changed meanwhile
is merged with them and reviewed again; where that cannot be, it is thrown away and the task done
again on the new texts.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from orchestrator_core.errors import StaleEdit, ToolCrashed
from orchestrator_core.events import EditsApplied, EditsIntended, TaskReviewed, TaskStarted
from orchestrator_core.mission.agent import TaskContext
from orchestrator_core.mission.policy import retry_delay_s
from orchestrator_core.records import Receipt, Task, TaskState
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.rebase import rebase

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.agent import Backend, Outcome
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.workspace.edits import Change

    Ending = tuple[TaskState, str, tuple[str, ...]]

log = logging.getLogger(__name__)

T = TypeVar("T")

_MERGES = 3

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
        waits: Callable[[str, bool], None],
    ) -> None:
        self._engine = engine
        self._mission = mission
        self._backend = backend
        self._emit = emit
        self._waits = waits
        self.rehearsal = Draft(engine.workspace) if mission.request.dry_run else None
        self._rehearsing = asyncio.Lock()
        self._dice = random.Random()  # noqa: S311 - jitter is no secret

    async def carry_out(self, task: Task, progress: Callable[[int, int], None]) -> Ending:
        """Do the task, and again where its texts changed meanwhile.

        Returns:
            How it ended, why if it failed, and what the person should know.

        Raises:
            OrchestratorError: a tool, the agent or the applier failed; nothing was applied.
        """
        try:
            if self.rehearsal is None:
                return await self._persist(task, progress)
            async with self._rehearsing:
                return await self._rehearse(self.rehearsal, task, progress)
        finally:
            self._engine.turns.give_back(self._owner(task))

    async def _persist(self, task: Task, progress: Callable[[int, int], None]) -> Ending:
        """Attempt the task until an attempt counts, or there were enough."""
        first = self._mission.state.tasks[task.id].attempt + 1
        attempts = self._engine.settings.limits.attempts
        why = ""
        for tried in range(1, attempts + 1):
            try:
                return await self._attempt(task, first + tried - 1, progress)
            except StaleEdit as error:
                why = (
                    f"given up after {attempts} attempts, because the files kept changing: {error}"
                )
            except ToolCrashed:
                if tried == attempts:
                    raise
                await asyncio.sleep(retry_delay_s(tried, self._dice))
            log.info("task %s: attempt %d did not count: %s", task.id, tried, why)
        return TaskState.FAILED, why, ()

    async def _attempt(
        self, task: Task, attempt: int, progress: Callable[[int, int], None]
    ) -> Ending:
        draft = Draft(self._engine.workspace)
        receipt, changes, outcome = await self._work(task, attempt, draft, progress)
        if not receipt.passed:
            return TaskState.FAILED, _why(receipt, changes), outcome.notes
        await self._bring_in(task, changes, outcome)
        return TaskState.DONE, "", outcome.notes

    async def _bring_in(self, task: Task, changes: Sequence[Change], outcome: Outcome) -> None:
        """Apply the changes, merged with what others changed meanwhile if need be.

        Raises:
            StaleEdit: they cannot be merged, or the merge does not pass: compute them again.
        """
        for _ in range(_MERGES):
            try:
                await self._apply(task, changes)
            except StaleEdit:
                if outcome.checks:
                    raise  # commands vouch for the texts that they saw, not for a merge
            else:
                return
            changes = await self._engine.pool.submit(rebase, changes, self._engine.workspace)
            receipt = await self._review(task, changes, outcome)
            self._emit(TaskReviewed(mission_id=self._mission.id, task_id=task.id, receipt=receipt))
            if not receipt.passed:
                paths = ", ".join(change.path for change in changes)
                raise StaleEdit(paths, f"merged with others' changes, {_why(receipt, changes)}")
        raise StaleEdit(", ".join(change.path for change in changes))

    async def _rehearse(
        self, before: Draft, task: Task, progress: Callable[[int, int], None]
    ) -> Ending:
        draft, seen = before.copy(), before.documents()
        receipt, changes, outcome = await self._work(task, 1, draft, progress)
        if not receipt.passed:
            return TaskState.FAILED, _why(receipt, changes), outcome.notes
        self.rehearsal = draft
        now = draft.documents()
        self._emit(self._intent(task, [c for c in changes if now.get(c.path) != seen.get(c.path)]))
        return TaskState.DONE, "", outcome.notes

    async def _work(
        self, task: Task, attempt: int, draft: Draft, progress: Callable[[int, int], None]
    ) -> tuple[Receipt, Sequence[Change], Outcome]:
        """Have a worker carry out the task on ``draft``, and the Reviewer check it."""
        engine, worker = self._engine, self._backend.worker
        context = self._context(task, draft, progress)
        async with self._turn(task):
            self._emit(TaskStarted(mission_id=self._mission.id, task_id=task.id, attempt=attempt))
            outcome = await worker.perform(context)
        changes = await engine.pool.submit(draft.changes)
        receipt = await self._review(task, changes, outcome)
        if not receipt.passed and changes:
            async with engine.concurrency.acquire(role="worker", backend=self._backend.name):
                repaired = await worker.repair(context, receipt)
            if repaired:
                changes = await engine.pool.submit(draft.changes)
                receipt = await self._review(task, changes, outcome)
        self._emit(TaskReviewed(mission_id=self._mission.id, task_id=task.id, receipt=receipt))
        return receipt, changes, outcome

    @asynccontextmanager
    async def _turn(self, task: Task) -> AsyncGenerator[None]:
        """The files that the task names, until its end, and then a worker's slot.

        In this order nobody waits for files who has a slot that their holder may need.
        """
        engine = self._engine
        while (freed := engine.turns.take(self._owner(task), task.files)) is not None:
            self._waits(task.id, True)
            await freed.wait()
            self._waits(task.id, False)
        async with engine.concurrency.acquire(role="worker", backend=self._backend.name):
            yield

    def _owner(self, task: Task) -> str:
        return f"{self._mission.id}/{task.id}"

    async def _review(self, task: Task, changes: Sequence[Change], outcome: Outcome) -> Receipt:
        async with self._engine.concurrency.acquire(role="reviewer"):
            return await self._engine.reviewer.review(task.id, changes, outcome.checks)

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
