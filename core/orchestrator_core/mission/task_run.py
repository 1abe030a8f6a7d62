"""One task, from a worker's hands through the Reviewer's into the workspace.

A draft that was made from texts that have changed meanwhile
is merged with them and reviewed again; where that cannot be, it is thrown away and the task done
again on the new texts. An error that may pass has it done again, too, after a pause.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orchestrator_core.errors import OrchestratorError, StaleEdit
from orchestrator_core.events import EditsApplied, EditsIntended, TaskReviewed, TaskStarted
from orchestrator_core.mission.agent import TaskContext
from orchestrator_core.mission.dividing import receipt_of
from orchestrator_core.mission.policy import retry_delay_s
from orchestrator_core.mission.task_work import TaskWork, why
from orchestrator_core.records import Mode, Task, TaskState
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.rebase import rebase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.agent import Backend
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.mission.task_work import Worked
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
        *,
        waits: Callable[[str, bool], None],
        say: Callable[[str, str], None],
    ) -> None:
        self._engine = engine
        self._mission = mission
        self._backend = backend
        self._emit = emit
        self._waits = waits
        self._say = say
        self.rehearsal = Draft(engine.workspace) if mission.request.dry_run else None
        self._rehearsing = asyncio.Lock()
        self._task_work = TaskWork(engine, backend)

    async def carry_out(self, task: Task, progress: Callable[[int, int], None]) -> Ending:
        """Do the task, and again where its texts changed meanwhile.

        Returns:
            How it ended, why if it failed, and what the person should know.

        Raises:
            OrchestratorError: a tool, the agent or the applier failed; nothing was applied.
        """
        if task.parts:
            return self._close(task)
        try:
            if self.rehearsal is None:
                return await self._persist(task, progress)
            async with self._rehearsing:
                return await self._rehearse(self.rehearsal, task, progress)
        finally:
            self._engine.turns.give_back(self._owner(task))

    def _close(self, task: Task) -> Ending:
        """End a task whose parts are done: their receipts are its own."""
        first = self._mission.state.tasks[task.id].attempt + 1
        started = TaskStarted(mission_id=self._mission.id, task_id=task.id, attempt=first)
        self._emit(started)
        receipt = receipt_of(task, self._mission.state)
        self._emit(TaskReviewed(mission_id=self._mission.id, task_id=task.id, receipt=receipt))
        return TaskState.DONE if receipt.passed else TaskState.FAILED, "", ()

    async def _persist(self, task: Task, progress: Callable[[int, int], None]) -> Ending:
        """Attempt the task until an attempt counts, or there were enough."""
        first = self._mission.state.tasks[task.id].attempt + 1
        limits = self._engine.settings.limits
        why = ""
        for tried in range(1, limits.attempts + 1):
            try:
                return await self._attempt(task, first + tried - 1, progress)
            except StaleEdit as error:
                why = (
                    f"given up after {limits.attempts} attempts, because the files kept "
                    f"changing: {error}"
                )
            except OrchestratorError as error:
                if not error.transient or tried == limits.attempts:
                    raise
                why = str(error)
                pause_s = retry_delay_s(
                    tried,
                    self._engine.dice,
                    first_s=limits.retry_first_s,
                    cap_s=limits.retry_cap_s,
                )
                await self._engine.sleep(pause_s)
            log.info("task %s: attempt %d did not count: %s", task.id, tried, why)
        return TaskState.FAILED, why, ()

    async def _attempt(
        self, task: Task, attempt: int, progress: Callable[[int, int], None]
    ) -> Ending:
        workspace = self._engine.workspace
        worked = await self._work(task, attempt, lambda: Draft(workspace), progress)
        if not worked.receipt.passed:
            return TaskState.FAILED, worked.reason, worked.notes
        await self._bring_in(task, worked)
        return TaskState.DONE, "", worked.notes

    async def _bring_in(self, task: Task, worked: Worked) -> None:
        """Apply the changes, merged with what others changed meanwhile if need be.

        Raises:
            StaleEdit: they cannot be merged, or the merge does not pass: compute them again.
        """
        changes, outcome = worked.changes, worked.outcome
        for _ in range(_MERGES):
            try:
                await self._apply(task, changes)
            except StaleEdit:
                if outcome.checks:
                    raise  # commands vouch for the texts that they saw, not for a merge
            else:
                return
            changes = await self._engine.pool.submit(rebase, changes, self._engine.workspace)
            receipt = await self._task_work.review(worked.context, changes, outcome)
            self._emit(TaskReviewed(mission_id=self._mission.id, task_id=task.id, receipt=receipt))
            if not receipt.passed:
                paths = ", ".join(change.path for change in changes)
                raise StaleEdit(paths, f"merged with others' changes, {why(receipt, changes)}")
        raise StaleEdit(", ".join(change.path for change in changes))

    async def _rehearse(
        self, before: Draft, task: Task, progress: Callable[[int, int], None]
    ) -> Ending:
        seen = before.documents()
        worked = await self._work(task, 1, before.copy, progress)
        if not worked.receipt.passed:
            return TaskState.FAILED, worked.reason, worked.notes
        self.rehearsal = worked.context.draft
        now = self.rehearsal.documents()
        changed = [c for c in worked.changes if now.get(c.path) != seen.get(c.path)]
        self._emit(self._intent(task, changed))
        return TaskState.DONE, "", worked.notes

    async def _work(
        self,
        task: Task,
        attempt: int,
        make_draft: Callable[[], Draft],
        progress: Callable[[int, int], None],
    ) -> Worked:
        """Have the task carried out and reviewed, once or in a race."""
        await self._take_files(task)
        started = TaskStarted(mission_id=self._mission.id, task_id=task.id, attempt=attempt)

        def begun() -> None:
            self._emit(started)

        def context(runner: int) -> TaskContext:
            tell = _untold if runner else progress  # one bar cannot show how far several are
            return self._context(task, make_draft(), tell, runner)

        if self._mission.request.mode is Mode.RACE:
            runners = self._engine.settings.limits.racers
            worked = await self._task_work.race(context, begun, runners)
        else:
            worked = await self._task_work.attempt(context(0), begun)
        self._emit(
            TaskReviewed(mission_id=self._mission.id, task_id=task.id, receipt=worked.receipt)
        )
        return worked

    async def _take_files(self, task: Task) -> None:
        """Wait for the files that the task names; they are its own until it ends.

        That is done before it takes a slot: who has the files may need one.
        """
        turns = self._engine.turns
        while (freed := turns.take(self._owner(task), task.files)) is not None:
            self._waits(task.id, True)
            await freed.wait()
            self._waits(task.id, False)

    def _owner(self, task: Task) -> str:
        return f"{self._mission.id}/{task.id}"

    def _context(
        self, task: Task, draft: Draft, progress: Callable[[int, int], None], runner: int
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
            runner=runner,
            say=partial(self._say, task.id),
        )

    async def _apply(self, task: Task, changes: Sequence[Change]) -> None:
        """Put the changes into the workspace, with what undo needs in the journal first."""
        if not changes:
            return
        engine = self._engine
        async with engine.apply_lock:
            await engine.pool.submit(engine.keep, self._mission.id, changes)
            intent = await engine.pool.submit(self._intent, task, changes)
            await self._emit(intent)
            label = f"orchestrator: {task.title}"
            confirm = engine.settings.review == "before"
            applying = engine.applier.apply(changes, label=label, confirm=confirm)
            await _to_its_end(applying, APPLY_GRACE_S)
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


def _untold(done: int, total: int) -> None:
    """Progress that is not shown."""
