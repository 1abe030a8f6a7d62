"""The Commander: takes a mission from its plan to its report.

It has the plan made, has its tasks carried out as the policy decides, and takes everything back
when the mission fails. Each step is journalled before it is acted on, so that a crash at any
point leaves enough to undo or resume.

Runs on one event loop. :meth:`Mission.stop` ends a mission early: tool calls are cancelled,
but an edit that is being applied comes to its end first.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.errors import BudgetExceeded, OrchestratorError
from orchestrator_core.events import MissionAccepted, MissionFinished, MissionPlanned
from orchestrator_core.mission.dispatch import Dispatch
from orchestrator_core.mission.plan_progress import PlanProgress, last_rendered
from orchestrator_core.mission.policy import FinishMission
from orchestrator_core.mission.restore import revert
from orchestrator_core.mission.resume import settle
from orchestrator_core.mission.spending import Spending
from orchestrator_core.records import MissionStatus, Plan, TaskState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.agent import Backend
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.records import Spent
    from orchestrator_core.workspace.draft import Draft

    Planning = Callable[[], Awaitable[Plan]]

log = logging.getLogger(__name__)


class Commander:
    """Runs one mission.

    Args:
        engine: the workspace's services.
        mission: what is to be done.
        backend: who plans and works.
        spent: what the mission has spent on models so far; None where it has called none.
        on_end: called once the end is told and on its way to the disk: who reads the journal from
            then on finds it there.
    """

    def __init__(
        self,
        engine: Engine,
        mission: Mission,
        backend: Backend,
        spent: Callable[[], Spent | None],
        on_end: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._mission = mission
        self._backend = backend
        self._on_end = on_end
        self._spending = Spending(mission, spent, self._emit)
        self._dispatch = Dispatch(engine, mission, backend, self._emit, self._spending)
        self._plan_file: PlanProgress | None = None
        self._started = engine.clock()

    @property
    def rehearsal(self) -> Draft | None:
        """What a dry run would change; None in earnest."""
        return self._dispatch.rehearsal

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
            if isinstance(made, FinishMission):
                await self._end(made)
                return
            plan = made
            self._spending.tell()
        planned = MissionPlanned(mission_id=self._mission.id, plan=plan)
        self._emit(planned)
        await self._carry_out(planned)

    async def resume(self) -> None:
        """Go on with a mission that was cut short, from the events that it has.

        One that was about to end is brought to that end.

        Raises:
            EditError: what a task had begun to change cannot be taken back; nothing is lost, and
                it can be tried again.
        """
        if self._mission.state.plan is None:
            cut_short = "cut short before it had a plan"
            await self._end(FinishMission(MissionStatus.CANCELLED, cut_short))
            return
        await settle(self._engine, self._mission, self._emit)
        states = {task.id: task.state for task in self._mission.state.tasks.values()}
        if not {TaskState.FAILED, TaskState.CANCELLED} & set(states.values()):
            left = self._mission.state.left()
            assert left is not None
            await self._carry_out(MissionPlanned(mission_id=self._mission.id, plan=left))
            return
        for task_id, state in states.items():
            if state in (TaskState.PENDING, TaskState.RUNNING):
                why = "not started: the mission ended"
                self._dispatch.finish(task_id, TaskState.CANCELLED, why)
        failed = TaskState.FAILED in states.values()
        reasons = [task.reason for task in self._mission.state.tasks.values() if task.reason]
        status = MissionStatus.FAILED if failed else MissionStatus.CANCELLED
        await self._end(FinishMission(status, reasons[0] if reasons else ""))

    async def _plan(self, planning: Planning) -> Plan | FinishMission:
        """The plan, or how the mission ends without one."""
        running = asyncio.ensure_future(planning())

        def stop(_: str) -> None:
            running.cancel()

        self._mission.on_stop = stop
        if self._mission.stop_reason is not None:
            running.cancel()
        self._dispatch.progress.report()
        try:
            return await running
        except asyncio.CancelledError:
            if self._mission.stop_reason is None:
                running.cancel()
                raise
            return FinishMission(MissionStatus.CANCELLED, self._mission.stop_reason)
        except BudgetExceeded as error:
            return FinishMission(MissionStatus.CANCELLED, self._spending.ran_short(error))
        except OrchestratorError as error:
            return FinishMission(MissionStatus.FAILED, str(error))
        finally:
            self._mission.on_stop = None

    async def _carry_out(self, planned: MissionPlanned) -> None:
        """Have the tasks carried out, shown in the plan file if they are from one."""
        request = self._mission.request
        if request.plan_file and not request.dry_run:
            tasks = list(self._mission.state.tasks.values())
            base = await self._engine.pool.submit(last_rendered, request.plan_text, tasks)
            self._plan_file = PlanProgress(self._engine, request.plan_file, base)
        await self._end(await self._dispatch.carry_out(planned))

    async def _end(self, ending: FinishMission) -> None:
        """Take back what a failed mission applied, show and journal the end."""
        status, reason = ending.status, ending.reason
        if status is MissionStatus.FAILED and not self._mission.request.dry_run:
            reason = await self._take_back(reason)
        if self._plan_file is not None:
            notes = await self._plan_file.close(self._mission.state.tasks.values())
            reason = "\n".join(line for line in (reason, *notes) if line)
        self._spending.close(status)
        took_s = round(self._engine.clock() - self._started, 3)
        ended = self._emit(
            MissionFinished(
                mission_id=self._mission.id,
                status=status,
                reason=reason,
                duration_s=took_s,
                stats=self._engine.stats(),
            )
        )
        self._on_end()
        await ended

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

    def _emit(self, event: AnyEvent) -> Awaitable[object]:
        """Give the event its place, journal it and tell it.

        Order is settled when this returns; await the answer where the event must have reached
        the disk before the next step.
        """
        event = msgspec.structs.replace(
            event, sequence=len(self._mission.events) + 1, at=self._engine.now()
        )
        self._mission.add(event)
        if self._plan_file is not None:
            self._plan_file.follow(event)
        self._engine.listener.on_event(event)
        if not self._mission.request.dry_run:
            return self._engine.record(event)
        unrecorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        unrecorded.set_result(None)
        return unrecorded
