"""The Commander: takes a mission from its plan to its report.

It performs what the policy decides: gives ready tasks to workers, has the Reviewer check their
drafts, applies what passed, one task's edits at a time, and takes everything back when the
mission fails. Each step is journalled before it is acted on, so that a crash at any point
leaves enough to undo or resume.

Runs on one event loop. :meth:`Mission.stop` ends a mission early: tool calls are cancelled,
but an edit that is being applied comes to its end first.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

import msgspec

from orchestrator_core.errors import OrchestratorError, StaleEdit
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
from orchestrator_core.mission.agent import TaskContext
from orchestrator_core.mission.engine import MissionProgress
from orchestrator_core.mission.policy import (
    FinishMission,
    MissionPolicy,
    SkipTask,
    StartTask,
    StopTask,
)
from orchestrator_core.mission.restore import revert
from orchestrator_core.records import MissionStatus, Plan, Receipt, Task, TaskState
from orchestrator_core.workspace.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.agent import Backend
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.mission.policy import Action
    from orchestrator_core.workspace.edits import Change

log = logging.getLogger(__name__)

T = TypeVar("T")

APPLY_GRACE_S = 1.5
"""How long a stop waits for an edit that is being applied: the editor may be asking a person."""


class Commander:
    """Runs one mission."""

    def __init__(self, engine: Engine, mission: Mission, backend: Backend) -> None:
        self._engine = engine
        self._mission = mission
        self._backend = backend
        self._policy = MissionPolicy()
        self._inbox: asyncio.Queue[list[Action]] = asyncio.Queue()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: dict[str, Task] = {}
        self._shares: dict[str, float] = {}  # of running tasks: how far each is, 0 to 1
        self._ended = 0
        self._started = engine.clock()
        # A dry run's changes pile up here instead of in the workspace.
        self._rehearsal = Draft(engine.workspace) if mission.request.dry_run else None
        self._rehearsal_lock = asyncio.Lock()

    @property
    def rehearsal(self) -> Draft | None:
        """What a dry run would change; None in earnest."""
        return self._rehearsal

    async def run(self, plan: Plan) -> None:
        """Carry the plan out; when it returns, the mission's state is final."""
        request = self._mission.request
        self._tasks = {task.id: task for task in plan.tasks}
        self._emit(
            MissionAccepted(
                mission_id=self._mission.id,
                text=request.text or plan.title,
                mode=request.mode,
                backend=self._backend.name,
                dry_run=request.dry_run,
            )
        )
        planned = MissionPlanned(mission_id=self._mission.id, plan=plan)
        self._emit(planned)
        status, reason = await self._conduct(planned)
        if status is MissionStatus.FAILED and self._rehearsal is None:
            reason = await self._take_back(reason)
        took_s = round(self._engine.clock() - self._started, 3)
        await self._emit(
            MissionFinished(
                mission_id=self._mission.id,
                status=status,
                reason=reason,
                duration_s=took_s,
                stats=self._engine.stats(),
            )
        )

    async def _conduct(self, planned: MissionPlanned) -> tuple[MissionStatus, str]:
        """Perform the policy's actions until it says that the mission is over."""
        limit = asyncio.get_running_loop().call_later(
            self._engine.settings.limits.mission_s, self._out_of_time
        )
        self._mission.on_stop = lambda why: self._inbox.put_nowait(self._policy.stop(why))
        if self._mission.stop_reason is not None:
            self._mission.on_stop(self._mission.stop_reason)
        try:
            actions = self._policy.handle(planned)
            while True:
                self._report_progress()
                for action in actions:
                    if isinstance(action, FinishMission):
                        return action.status, action.reason
                    self._act(action)
                actions = await self._inbox.get()
        finally:
            limit.cancel()
            self._mission.on_stop = None

    def _out_of_time(self) -> None:
        limit_s = self._engine.settings.limits.mission_s
        why = f"not done within {limit_s:g} s (orchestrator.limits.missionS)"
        self._inbox.put_nowait(self._policy.fail(why))

    def _act(self, action: Action) -> None:
        match action:
            case StartTask(task_id):
                running = asyncio.ensure_future(self._perform(self._tasks[task_id]))
                self._running[task_id] = running
            case StopTask(task_id):
                self._running[task_id].cancel()
            case SkipTask(task_id, reason):
                self._finish_task(task_id, TaskState.CANCELLED, reason)
            case FinishMission():
                pass

    async def _perform(self, task: Task) -> None:
        """Carry a task out and say how it ended, whatever happens."""
        try:
            state, reason, notes = await self._attempt(task)
        except asyncio.CancelledError:
            state, reason, notes = TaskState.CANCELLED, "stopped", ()
        except OrchestratorError as error:
            state, reason, notes = TaskState.FAILED, str(error), ()
        except Exception as error:
            log.exception("task %s of mission %s", task.id, self._mission.id)
            state, notes = TaskState.FAILED, ()
            reason = f"internal error, please report it: {type(error).__name__}: {error}"
        self._running.pop(task.id, None)
        self._finish_task(task.id, state, reason, notes)

    async def _attempt(self, task: Task) -> tuple[TaskState, str, tuple[str, ...]]:
        """Work, review, apply; again on the new text when it changed meanwhile."""
        attempts = self._engine.settings.limits.attempts
        for attempt in range(1, attempts + 1):
            if self._rehearsal is not None:
                async with self._rehearsal_lock:
                    return await self._rehearse(task)
            draft = Draft(self._engine.workspace)
            try:
                receipt, changes, notes = await self._work(task, attempt, draft)
                if not receipt.passed:
                    return TaskState.FAILED, _why(receipt, changes), notes
                await self._apply(task, changes)
            except StaleEdit as error:
                log.info("task %s, attempt %d: %s", task.id, attempt, error)
                continue
            return TaskState.DONE, "", notes
        return (
            TaskState.FAILED,
            f"the files kept changing while it worked: given up after {attempts} attempts",
            (),
        )

    async def _rehearse(self, task: Task) -> tuple[TaskState, str, tuple[str, ...]]:
        assert self._rehearsal is not None
        draft = self._rehearsal.copy()
        seen = self._rehearsal.documents()
        receipt, changes, notes = await self._work(task, 1, draft)
        if not receipt.passed:
            return TaskState.FAILED, _why(receipt, changes), notes
        self._rehearsal = draft
        now = draft.documents()
        fresh = [c for c in changes if now.get(c.path) != seen.get(c.path)]
        self._emit(self._intent(task, fresh))
        return TaskState.DONE, "", notes

    async def _work(
        self, task: Task, attempt: int, draft: Draft
    ) -> tuple[Receipt, Sequence[Change], tuple[str, ...]]:
        """Have a worker carry out the task on ``draft``, and the Reviewer check it."""
        engine = self._engine
        async with engine.concurrency.acquire(role="worker", backend=self._backend.name):
            self._emit(TaskStarted(mission_id=self._mission.id, task_id=task.id, attempt=attempt))
            outcome = await self._backend.worker.perform(
                TaskContext(
                    mission_id=self._mission.id,
                    task=task,
                    draft=draft,
                    toolbox=engine.toolbox,
                    pool=engine.pool,
                    progress=lambda done, total: self._advance(task.id, done, total),
                    originals=self._originals,
                    scratch=engine.scratch,
                    plan_file=self._mission.request.plan_file,
                    checks=engine.settings.checks,
                    timeout_s=engine.settings.check_timeout_s,
                )
            )
        changes = await engine.pool.submit(draft.changes)
        async with engine.concurrency.acquire(role="reviewer"):
            receipt = await engine.reviewer.review(task.id, changes, outcome.checks)
        self._emit(TaskReviewed(mission_id=self._mission.id, task_id=task.id, receipt=receipt))
        return receipt, changes, outcome.notes

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

    def _originals(self) -> dict[str, str | None]:
        if self._rehearsal is not None:
            changes = self._rehearsal.changes()
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

    def _intent(self, task: Task, changes: Sequence[Change]) -> EditsIntended:
        return EditsIntended(
            mission_id=self._mission.id,
            task_id=task.id,
            changes=tuple(change.record() for change in changes),
        )

    async def _take_back(self, reason: str) -> str:
        """Undo all that the failed mission applied; say so in its reason."""
        try:
            reverted = await revert(self._engine, self._mission.events)
        except OrchestratorError as error:
            log.exception("mission %s could not be undone", self._mission.id)
            return f"{reason}\nits edits could not be taken back: {error}"
        if reverted is None:
            return reason
        self._emit(reverted)
        if reverted.unrestored:
            return f"{reason}\nnot taken back: {', '.join(reverted.unrestored)}"
        return reason

    def _finish_task(
        self, task_id: str, state: TaskState, reason: str, notes: tuple[str, ...] = ()
    ) -> None:
        self._shares.pop(task_id, None)
        self._ended += 1
        event = TaskFinished(
            mission_id=self._mission.id, task_id=task_id, state=state, reason=reason, notes=notes
        )
        self._emit(event)
        self._inbox.put_nowait(self._policy.handle(event))

    def _emit(self, event: AnyEvent) -> Awaitable[object]:
        """Give the event its place, journal it and tell it.

        Order is settled when this returns; await the answer where the event must have reached
        the disk before the next step.
        """
        event = msgspec.structs.replace(
            event, sequence=len(self._mission.events) + 1, at=self._engine.now()
        )
        self._mission.add(event)
        self._engine.listener.on_event(event)
        if self._rehearsal is None:
            return self._engine.record(event)
        unrecorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        unrecorded.set_result(None)
        return unrecorded

    def _advance(self, task_id: str, done: int, total: int) -> None:
        self._shares[task_id] = done / total if total else 0.0
        self._report_progress()

    def _report_progress(self) -> None:
        total = len(self._tasks)
        busy = self._engine.pool.stats().utilization
        self._engine.listener.on_progress(
            MissionProgress(
                mission_id=self._mission.id,
                done=self._ended,
                total=total,
                fraction=(self._ended + sum(self._shares.values())) / total if total else 1.0,
                message=f"{self._ended}/{total} tasks, {len(self._running)} workers, "
                f"{busy:.0%} busy".replace("%", " %"),
            )
        )


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
