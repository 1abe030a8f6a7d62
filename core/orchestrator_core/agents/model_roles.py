"""Planner, Worker and Reviewer, each a conversation with a model over tools on a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.agents import role_talk
from orchestrator_core.agents.desk import Desk
from orchestrator_core.agents.run_line import run_line
from orchestrator_core.mission.agent import Outcome
from orchestrator_core.workspace.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.agents.model_desk import ModelDesk
    from orchestrator_core.agents.untrusted import Marker
    from orchestrator_core.errors import TaskTextError
    from orchestrator_core.mission.agent import MissionRequest, TaskContext
    from orchestrator_core.records import CheckResult, Plan, Receipt, Task
    from orchestrator_core.workspace.edits import Change

PLANNER_TURNS = 30
REVIEWER_TURNS = 15


class ModelPlanner:
    """Has a model write a plan in the plan language."""

    immediate = False

    def __init__(self, desk: ModelDesk) -> None:
        self._desk = desk

    def check_step(self, text: str) -> TaskTextError | None:
        """A model takes any step."""
        del text

    async def plan(self, request: MissionRequest) -> Plan:
        """Make the plan; see :class:`~mission.agent.Planner`."""
        if request.plan is not None:
            return request.plan
        return await self._write(role_talk.plan_request(request), request.mission_id)

    async def divide(self, task: Task, mission_id: str) -> tuple[Task, ...]:
        """Split a task, or leave it whole; see :class:`~mission.agent.Planner`."""
        parts = (await self._write(role_talk.dividing_request(task), mission_id)).tasks
        return parts if len(parts) > 1 else ()

    async def _write(self, said: str, mission_id: str) -> Plan:
        desk = self._desk
        talk = await desk.converse("planner", desk.budget(mission_id))
        rights = await desk.pool.submit(desk.rights, mission_id, read_only=True)
        place = Desk(Draft(desk.workspace), desk.toolbox, desk.pool, rights)
        tools = desk.tools(place, talk, read_only=True)

        async def ask(text: str) -> str:
            return await talk.conversation.work(text, tools, turns=PLANNER_TURNS)

        return await role_talk.agree_on_plan(ask, said, desk.model_name)


class ModelWorker:
    """Has a model carry out tasks."""

    def __init__(self, desk: ModelDesk) -> None:
        self._desk = desk

    async def perform(self, context: TaskContext) -> Outcome:
        """Carry out a task; see :class:`~mission.agent.Worker`."""
        said = await self._work(context, lambda _: role_talk.described(context.task))
        return Outcome(notes=role_talk.note(said))

    async def repair(self, context: TaskContext, receipt: Receipt) -> bool:
        """Mend what checks or Reviewer found; see :class:`~mission.agent.Worker`."""
        before = context.draft.documents()
        diff = await self._desk.diff(context.draft.changes())
        await self._work(
            context, lambda marker: role_talk.mending_request(context.task, receipt, diff, marker)
        )
        return context.draft.documents() != before

    async def _work(self, context: TaskContext, request: Callable[[Marker], str]) -> str:
        desk, task = self._desk, context.task
        budget = desk.budget(context.mission_id)
        with budget.agent():
            talk = await desk.converse("worker", budget, context.say, files=task.files)
            rights = await desk.pool.submit(
                desk.rights, context.mission_id, files=task.files, source=f"task {task.id}"
            )
            place = Desk(
                context.draft,
                context.toolbox,
                context.pool,
                rights,
                lambda line: run_line(context, line),
            )
            tools = desk.tools(place, talk)
            told = request(talk.marker)
            said = await talk.conversation.work(told, tools, turns=desk.settings.turns)
        return role_talk.require_done(said)


class ModelCritic:
    """Has a model read the diff and the receipts. It can fail a task, and pass none."""

    def __init__(self, desk: ModelDesk) -> None:
        self._desk = desk

    async def judge(
        self, context: TaskContext, changes: Sequence[Change], receipt: Receipt
    ) -> CheckResult:
        """Give an opinion; see :class:`~mission.agent.Critic`."""
        desk = self._desk
        budget = desk.budget(context.mission_id)
        files = [change.new_path or change.path for change in changes]
        talk = await desk.converse("reviewer", budget, context.say, files=files)
        rights = await desk.pool.submit(desk.rights, context.mission_id, read_only=True)
        place = Desk(context.draft, context.toolbox, context.pool, rights)
        tools = desk.tools(place, talk, read_only=True)
        diff = await desk.diff(changes)

        async def ask(text: str) -> str:
            return await talk.conversation.work(text, tools, turns=REVIEWER_TURNS)

        said = role_talk.review_request(context.task, receipt, diff, talk.marker)
        return await role_talk.hear_verdict(ask, said, desk.model_name, receipt)
