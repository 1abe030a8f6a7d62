"""Performs what the policy decides: tasks to workers, until the mission is over."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from orchestrator_core.errors import BudgetExceeded, OrchestratorError
from orchestrator_core.events import TaskDivided, TaskFinished
from orchestrator_core.mission.dividing import parts_of
from orchestrator_core.mission.policy import (
    FinishMission,
    MissionPolicy,
    SkipTask,
    StartTask,
    StopTask,
)
from orchestrator_core.mission.progress import Progress
from orchestrator_core.mission.task_run import TaskRun
from orchestrator_core.records import Mode, TaskState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.events import AnyEvent, MissionPlanned
    from orchestrator_core.mission.agent import Backend
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.mission.policy import Action
    from orchestrator_core.mission.spending import Spending
    from orchestrator_core.records import Task
    from orchestrator_core.workspace.draft import Draft

log = logging.getLogger(__name__)

_ACTIONS = 50
"""After so many the loop has a turn: ten thousand tasks may have to be skipped."""


class Dispatch:
    """Has the tasks of one mission carried out. Lives on the event loop.

    Args:
        engine: the workspace's services.
        mission: whose tasks they are.
        backend: who works.
        emit: journals an event; awaited where it must have reached the disk.
        spending: of the mission.

    Attributes:
        progress: how far the mission is.
    """

    def __init__(
        self,
        engine: Engine,
        mission: Mission,
        backend: Backend,
        emit: Callable[[AnyEvent], Awaitable[object]],
        spending: Spending,
    ) -> None:
        self._engine = engine
        self._mission = mission
        self._backend = backend
        self._emit = emit
        self._spending = spending
        self.progress = Progress(engine, mission.id)
        limits = engine.settings.limits
        self._policy = MissionPolicy(at_once=limits.worker + limits.reviewer)
        self._inbox: asyncio.Queue[list[Action]] = asyncio.Queue()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: dict[str, Task] = {}
        self._task_run = TaskRun(
            engine, mission, backend, emit, waits=self._waits, say=self.progress.does
        )

    @property
    def rehearsal(self) -> Draft | None:
        """What a dry run would change; None in earnest."""
        return self._task_run.rehearsal

    async def carry_out(self, planned: MissionPlanned) -> FinishMission:
        """Perform the policy's actions until it says that the mission is over, and how."""
        self._take(planned.plan.tasks)
        self.progress.ended = sum(task.state is TaskState.DONE for task in planned.plan.tasks)
        actions = await self._engine.pool.submit(self._policy.handle, planned)
        limit_s = self._engine.settings.limits.mission_s
        limit = asyncio.get_running_loop().call_later(limit_s, self._out_of_time, limit_s)
        self._mission.on_stop = lambda why: self._inbox.put_nowait(self._policy.stop(why))
        if self._mission.stop_reason is not None:
            self._mission.on_stop(self._mission.stop_reason)
        try:
            while True:
                for place, action in enumerate(actions, 1):
                    if isinstance(action, FinishMission):
                        self.progress.tell()
                        return action
                    self._act(action)
                    if place % _ACTIONS == 0:
                        await asyncio.sleep(0)
                self.progress.report()
                actions = await self._inbox.get()
        finally:
            limit.cancel()
            self.progress.close()
            self._mission.on_stop = None

    def finish(
        self, task_id: str, state: TaskState, reason: str, notes: tuple[str, ...] = ()
    ) -> None:
        """Journal how a task ended, and go on with what follows from that."""
        self.progress.ended += 1
        event = TaskFinished(
            mission_id=self._mission.id, task_id=task_id, state=state, reason=reason, notes=notes
        )
        self._emit(event)
        self._spending.tell()
        self._decide(event)
        self.progress.report()

    def _take(self, tasks: tuple[Task, ...]) -> None:
        self._tasks = {task.id: task for task in tasks}
        self.progress.total = len(self._tasks)

    def _decide(self, event: AnyEvent) -> None:
        if actions := self._policy.handle(event):
            self._inbox.put_nowait(actions)

    def _out_of_time(self, limit_s: float) -> None:
        why = f"not done within {limit_s:g} s (orchestrator.limits.missionS)"
        self._inbox.put_nowait(self._policy.fail(why))

    def _waits(self, task_id: str, waits: bool) -> None:
        """A task began or ended to wait for files."""
        if waits:
            self._inbox.put_nowait(self._policy.waits(task_id))
        else:
            self._policy.goes_on(task_id)

    def _act(self, action: Action) -> None:
        match action:
            case StartTask(task_id):
                self.progress.begins(task_id)
                running = asyncio.ensure_future(self._perform(self._tasks[task_id]))
                self._running[task_id] = running
            case StopTask(task_id):
                if (running := self._running.get(task_id)) is not None:
                    # Behind its first turn: cancelled before that, it would never say that it ended.
                    asyncio.get_running_loop().call_soon(running.cancel)
            case SkipTask(task_id, reason):
                self.finish(task_id, TaskState.CANCELLED, reason)
            case FinishMission():
                pass

    async def _perform(self, task: Task) -> None:
        """Carry a task out and say how it ended, whatever happens; or divide it."""
        try:
            if await self._divide(task):
                return
            state, reason, notes = await self._task_run.carry_out(
                task, lambda done, total: self.progress.advances(task.id, done, total)
            )
        except asyncio.CancelledError:
            state, reason, notes = TaskState.CANCELLED, "stopped", ()
        except BudgetExceeded as error:
            # What is done stays: with more to spend, the rest can be done another time.
            state, reason, notes = TaskState.CANCELLED, self._spending.ran_short(error), ()
        except OrchestratorError as error:
            state, reason, notes = TaskState.FAILED, str(error), ()
        except BaseException as error:
            log.exception("task %s of mission %s", task.id, self._mission.id)
            state, notes = TaskState.FAILED, ()
            reason = f"internal error, please report it: {type(error).__name__}: {error}"
        finally:
            self._running.pop(task.id, None)
            self.progress.leaves(task.id)
        self.finish(task.id, state, reason, notes)

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
        self._take(plan.tasks)
        self._decide(event)
        return True
