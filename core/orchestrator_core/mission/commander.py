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
from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.errors import BudgetExceeded, OrchestratorError
from orchestrator_core.events import (
    BudgetSpent,
    MissionAccepted,
    MissionFinished,
    MissionPlanned,
    TaskDivided,
    TaskFinished,
    TaskStarted,
)
from orchestrator_core.mission import plan_language
from orchestrator_core.mission.dividing import parts_of
from orchestrator_core.mission.engine import MissionProgress
from orchestrator_core.mission.plan_progress import PlanProgress
from orchestrator_core.mission.policy import (
    FinishMission,
    MissionPolicy,
    SkipTask,
    StartTask,
    StopTask,
)
from orchestrator_core.mission.restore import revert
from orchestrator_core.mission.resume import settle
from orchestrator_core.mission.task_run import TaskRun
from orchestrator_core.records import MissionStatus, Mode, Plan, Shortage, Task, TaskState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.agent import Backend
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.mission.policy import Action
    from orchestrator_core.mission.task_store import TaskStatus
    from orchestrator_core.records import Spent
    from orchestrator_core.workspace.draft import Draft

    Planning = Callable[[], Awaitable[Plan]]

log = logging.getLogger(__name__)

PROGRESS_S = 0.05
"""Between two reports of a mission's progress."""

_ACTIONS = 50
"""After so many the loop has a turn: ten thousand tasks may have to be skipped."""


class Commander:
    """Runs one mission.

    Args:
        engine: the workspace's services.
        mission: what is to be done.
        backend: who plans and works.
        spent: what the mission has spent on models so far; None where it has called none.
    """

    def __init__(
        self,
        engine: Engine,
        mission: Mission,
        backend: Backend,
        spent: Callable[[], Spent | None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._mission = mission
        self._backend = backend
        self._spent = spent
        self._told_spent: int | None = None  # requests
        self._shortage: Shortage | None = None
        limits = engine.settings.limits
        self._policy = MissionPolicy(at_once=limits.worker + limits.reviewer)
        self._inbox: asyncio.Queue[list[Action]] = asyncio.Queue()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: dict[str, Task] = {}
        self._shares: dict[str, float] = {}  # of running tasks: how far each is, 0 to 1
        self._ended = 0
        self._progress: PlanProgress | None = None
        self._told_at = -PROGRESS_S
        self._telling: asyncio.TimerHandle | None = None
        self._started = engine.clock()
        self._pool_before = engine.pool.stats()
        self._task_run = TaskRun(
            engine, mission, backend, self._emit, waits=self._waits, say=self._say
        )
        self._doing: dict[str, str] = {}  # of running tasks: what an agent does, in a few words

    @property
    def rehearsal(self) -> Draft | None:
        """What a dry run would change; None in earnest."""
        return self._task_run.rehearsal

    async def run(self, plan: Plan | Planning) -> None:
        """Carry the plan out; when it returns, the mission's state is final.

        Planning that takes its time is part of the mission: it can be stopped, and it can fail.
        A mission that its budget stopped goes on with what is left of its plan.
        """
        request = self._mission.request
        self._emit(
            MissionAccepted(
                mission_id=self._mission.id,
                text=request.text or (plan.title if isinstance(plan, Plan) else ""),
                mode=request.mode,
                backend=self._backend.name,
                dry_run=request.dry_run,
                plan_file=request.plan_file,
                plan_text=request.plan_text,
            )
        )
        if not isinstance(plan, Plan):
            made = await self._plan(plan)
            if not isinstance(made, Plan):
                await self._end(*made)
                return
            plan = made
            self._tell_spent()
        planned = MissionPlanned(mission_id=self._mission.id, plan=plan)
        self._emit(planned)
        await self._end(*await self._conduct(planned))

    async def _plan(self, planning: Planning) -> Plan | tuple[MissionStatus, str]:
        """The plan, or how the mission ends without one."""
        running = asyncio.ensure_future(planning())

        def stop(_: str) -> None:
            running.cancel()

        self._mission.on_stop = stop
        if self._mission.stop_reason is not None:
            running.cancel()
        self._report_progress()
        try:
            return await running
        except asyncio.CancelledError:
            if self._mission.stop_reason is None:
                running.cancel()
                raise
            return MissionStatus.CANCELLED, self._mission.stop_reason
        except BudgetExceeded as error:
            return MissionStatus.CANCELLED, self._run_short(error)
        except OrchestratorError as error:
            return MissionStatus.FAILED, str(error)
        finally:
            self._mission.on_stop = None

    async def resume(self) -> None:
        """Go on with a mission that was cut short, from the events that it has.

        One that was about to end is brought to that end.

        Raises:
            EditError: what a task had begun to change cannot be taken back; nothing is lost, and
                it can be tried again.
        """
        if self._mission.state.plan is None:
            await self._end(MissionStatus.CANCELLED, "cut short before it had a plan")
            return
        await settle(self._engine, self._mission, self._emit)
        states = {task.id: task.state for task in self._mission.state.tasks.values()}
        if not {TaskState.FAILED, TaskState.CANCELLED} & set(states.values()):
            left = self._mission.state.left()
            assert left is not None
            planned = MissionPlanned(mission_id=self._mission.id, plan=left)
            await self._end(*await self._conduct(planned))
            return
        for task_id, state in states.items():
            if state in (TaskState.PENDING, TaskState.RUNNING):
                self._finish_task(task_id, TaskState.CANCELLED, "not started: the mission ended")
        failed = TaskState.FAILED in states.values()
        reasons = [task.reason for task in self._mission.state.tasks.values() if task.reason]
        status = MissionStatus.FAILED if failed else MissionStatus.CANCELLED
        await self._end(status, reasons[0] if reasons else "")

    async def _end(self, status: MissionStatus, reason: str) -> None:
        """Take back what a failed mission applied, show and journal the end."""
        if status is MissionStatus.FAILED and self.rehearsal is None:
            reason = await self._take_back(reason)
        if self._progress is not None:
            notes = await self._progress.close(self._mission.state.tasks.values())
            reason = "\n".join(line for line in (reason, *notes) if line)
        self._tell_spent(self._shortage if status is MissionStatus.CANCELLED else None)
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
        tasks = planned.plan.tasks
        self._tasks = {task.id: task for task in tasks}
        self._ended = sum(task.state is TaskState.DONE for task in tasks)
        if (file := self._mission.request.plan_file) and self.rehearsal is None:
            text = self._mission.request.plan_text
            known = self._mission.state.tasks.values()
            states = {t.id: _shown(t) for t in known if t.attempt or t.state is TaskState.DONE}
            base = await self._engine.pool.submit(_as_rendered, text, states) if text else None
            self._progress = PlanProgress(self._engine, file, base)
        actions = await self._engine.pool.submit(self._policy.handle, planned)
        limit = asyncio.get_running_loop().call_later(
            self._engine.settings.limits.mission_s, self._out_of_time
        )
        self._mission.on_stop = lambda why: self._inbox.put_nowait(self._policy.stop(why))
        if self._mission.stop_reason is not None:
            self._mission.on_stop(self._mission.stop_reason)
        try:
            while True:
                for place, action in enumerate(actions, 1):
                    if isinstance(action, FinishMission):
                        self._tell_progress()
                        return action.status, action.reason
                    self._act(action)
                    if place % _ACTIONS == 0:
                        await asyncio.sleep(0)
                self._report_progress()
                actions = await self._inbox.get()
        finally:
            limit.cancel()
            if self._telling is not None:
                self._telling.cancel()
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
                if (running := self._running.get(task_id)) is not None:
                    # Behind its first turn: cancelled before that, it would never say that it ended.
                    asyncio.get_running_loop().call_soon(running.cancel)
            case SkipTask(task_id, reason):
                self._finish_task(task_id, TaskState.CANCELLED, reason)
            case FinishMission():
                pass

    async def _perform(self, task: Task) -> None:
        """Carry a task out and say how it ended, whatever happens; or divide it."""
        try:
            if await self._divide(task):
                return
            state, reason, notes = await self._task_run.carry_out(
                task, lambda done, total: self._advance(task.id, done, total)
            )
        except asyncio.CancelledError:
            state, reason, notes = TaskState.CANCELLED, "stopped", ()
        except BudgetExceeded as error:
            # What is done stays: with more to spend, the rest can be done another time.
            state, reason, notes = TaskState.CANCELLED, self._run_short(error), ()
        except OrchestratorError as error:
            state, reason, notes = TaskState.FAILED, str(error), ()
        except BaseException as error:
            log.exception("task %s of mission %s", task.id, self._mission.id)
            state, notes = TaskState.FAILED, ()
            reason = f"internal error, please report it: {type(error).__name__}: {error}"
        finally:
            self._running.pop(task.id, None)
            self._doing.pop(task.id, None)
        self._finish_task(task.id, state, reason, notes)

    async def _divide(self, task: Task) -> bool:
        """In mode fractal, have the planner divide a task that is to begin; answer whether it did."""
        limits, request = self._engine.settings.limits, self._mission.request
        begun = self._mission.state.tasks[task.id].attempt
        if request.mode is not Mode.FRACTAL or task.parts or begun or task.depth >= limits.depth:
            return False
        taking = self._engine.concurrency.acquire(role="planner", backend=self._backend.name)
        async with taking as token:
            with token.kept():
                proposed = await self._backend.planner.divide(task, self._mission.id)
        plan = self._mission.state.plan
        if not proposed or plan is None:
            return False
        parts = parts_of(task, proposed, plan, limits.tasks)
        event = TaskDivided(mission_id=self._mission.id, task_id=task.id, parts=parts)
        self._emit(event)
        plan = self._mission.state.plan
        assert plan is not None
        self._tasks = {known.id: known for known in plan.tasks}
        self._inbox.put_nowait(self._policy.handle(event))
        return True

    def _run_short(self, error: BudgetExceeded) -> str:
        """End the mission, whose budget is spent, unless it ends already; answer why."""
        reason = str(error)
        if self.rehearsal is None:
            reason += f": /resume {self._mission.id}, or task --resume {self._mission.id}"
        if self._mission.stop(reason):
            self._shortage = Shortage(error.measure, error.more)
        return reason

    def _tell_spent(self, shortage: Shortage | None = None) -> None:
        """Journal what was spent, where that has changed: it counts when the mission goes on."""
        spent = self._spent()
        if spent is not None and (shortage or spent.requests != self._told_spent):
            self._told_spent = spent.requests
            self._emit(BudgetSpent(mission_id=self._mission.id, spent=spent, shortage=shortage))

    def _waits(self, task_id: str, waits: bool) -> None:
        """A task began or ended to wait for files."""
        if waits:
            self._inbox.put_nowait(self._policy.waits(task_id))
        else:
            self._policy.goes_on(task_id)

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
        self._tell_spent()
        if actions := self._policy.handle(event):
            self._inbox.put_nowait(actions)
        self._report_progress()

    def _emit(self, event: AnyEvent) -> Awaitable[object]:
        """Give the event its place, journal it and tell it.

        Order is settled when this returns; await the answer where the event must have reached
        the disk before the next step.
        """
        event = msgspec.structs.replace(
            event, sequence=len(self._mission.events) + 1, at=self._engine.now()
        )
        self._mission.add(event)
        if self._progress is not None:
            _show(event, self._progress)
        self._engine.listener.on_event(event)
        if self.rehearsal is None:
            return self._engine.record(event)
        unrecorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        unrecorded.set_result(None)
        return unrecorded

    def _advance(self, task_id: str, done: int, total: int) -> None:
        self._shares[task_id] = done / total if total else 0.0
        self._report_progress()

    def _say(self, task_id: str, text: str) -> None:
        """An agent tells what it is doing."""
        self._doing[task_id] = text
        self._report_progress()

    def _report_progress(self) -> None:
        """Tell soon how far the mission is: people see no more than a few times a second."""
        if self._telling is None:
            loop = asyncio.get_running_loop()
            wait_s = self._told_at + PROGRESS_S - self._engine.clock()
            self._telling = loop.call_later(max(0.0, wait_s), self._tell_progress)

    def _tell_progress(self) -> None:
        self._telling = None
        self._told_at = self._engine.clock()
        total = len(self._tasks)
        busy = self._engine.pool.stats().utilization_since(self._pool_before)
        self._engine.listener.on_progress(
            MissionProgress(
                mission_id=self._mission.id,
                done=self._ended,
                total=total,
                fraction=(self._ended + sum(self._shares.values())) / total if total else 1.0,
                message=_message(self._ended, total, len(self._running), busy)
                + "".join(f"; {task}: {text}" for task, text in [*self._doing.items()][-1:]),
            )
        )


def _message(ended: int, total: int, working: int, busy: float) -> str:
    """``3/8 tasks, 4 workers, 92 % busy``; between two tasks nobody works."""
    if not working:
        return f"{ended}/{total} tasks"
    workers = "1 worker" if working == 1 else f"{working} workers"
    return f"{ended}/{total} tasks, {workers}, {busy * 100:.0f} % busy"


def _shown(task: TaskStatus) -> TaskState:
    """How a task was last shown in the plan file."""
    # Begun, and pending: it was cancelled when its budget was spent, and the mission goes on.
    return TaskState.CANCELLED if task.state is TaskState.PENDING else task.state


def _as_rendered(text: str, states: dict[str, TaskState]) -> str:
    """The plan file as it was last rendered: as it was read, and what the journal says since."""
    if not states:
        return text
    return plan_language.render_states(plan_language.parse(text), states)


def _show(event: AnyEvent, progress: PlanProgress) -> None:
    """Show what an event says of a task; those that never began are left to the end."""
    if isinstance(event, TaskStarted | TaskDivided):
        progress.show(event.task_id, TaskState.RUNNING)
    elif isinstance(event, TaskFinished) and event.state is not TaskState.CANCELLED:
        progress.show(event.task_id, event.state)
