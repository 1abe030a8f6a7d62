"""The roles that whoever can be prompted plays: a model with our tools, or an agent with its own.

How a prompt is answered is for the desk to say (:mod:`~agents.role_desk`); what is said in a role,
and what its answers mean, is the same for all (:mod:`~agents.role_talk`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.agents import role_talk
from orchestrator_core.agents.role_desk import Job
from orchestrator_core.mission.agent import Outcome
from orchestrator_core.records import Mode
from orchestrator_core.workspace.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.agents.role_desk import RoleDesk, RoleTalk
    from orchestrator_core.agents.untrusted import Marker
    from orchestrator_core.errors import TaskTextError
    from orchestrator_core.mission.agent import MissionRequest, TaskContext
    from orchestrator_core.records import CheckResult, Plan, Receipt, Task
    from orchestrator_core.workspace.edits import Change


class PromptedPlanner:
    """Has a plan written in the plan language."""

    immediate = False

    def __init__(self, desk: RoleDesk) -> None:
        self._desk = desk

    def check_step(self, text: str) -> TaskTextError | None:
        """Any step will do."""
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

        async def work(talk: RoleTalk) -> Plan:
            return await role_talk.agree_on_plan(talk.ask, said, desk.who)

        return await desk.use(Job("planner", mission_id, Draft(desk.workspace)), work)


class PromptedWorker:
    """Has tasks carried out."""

    def __init__(self, desk: RoleDesk) -> None:
        self._desk = desk

    async def perform(self, context: TaskContext) -> Outcome:
        """Carry out a task; see :class:`~mission.agent.Worker`."""
        said, notes = await self._work(context, lambda _: role_talk.described(context.task))
        return Outcome(notes=(*role_talk.note(said), *notes))

    async def repair(self, context: TaskContext, receipt: Receipt) -> bool:
        """Mend what checks or Reviewer found; see :class:`~mission.agent.Worker`."""
        before = context.draft.documents()
        diff = await self._desk.diff(context.draft.changes())
        await self._work(
            context, lambda marker: role_talk.mending_request(context.task, receipt, diff, marker)
        )
        return context.draft.documents() != before

    async def _work(
        self, context: TaskContext, request: Callable[[Marker], str]
    ) -> tuple[str, Sequence[str]]:
        async def work(talk: RoleTalk) -> tuple[str, Sequence[str]]:
            return await talk.carry_out(request(talk.marker))

        job = Job("worker", context.mission_id, context.draft, context.task.files, context)
        return await self._desk.use(job, work)


class PromptedCritic:
    """Has the diff and the receipts read. It can fail a task, and pass none."""

    def __init__(self, desk: RoleDesk) -> None:
        self._desk = desk

    async def judge(
        self, context: TaskContext, changes: Sequence[Change], receipt: Receipt
    ) -> CheckResult:
        """Give an opinion; see :class:`~mission.agent.Critic`."""
        desk = self._desk
        diff = await desk.diff(changes)

        async def work(talk: RoleTalk) -> CheckResult:
            said = role_talk.review_request(context.task, receipt, diff, talk.marker)
            return await role_talk.hear_verdict(talk.ask, said, desk.who, receipt)

        files = tuple(change.new_path or change.path for change in changes)
        return await desk.use(
            Job("reviewer", context.mission_id, context.draft, files, context), work
        )


class PromptedBackend:
    """Planner, Worker and Reviewer at one desk. Lives on the event loop; closed by its owner.

    Args:
        name: what the person calls it.
        desk: answers prompts; owned from now on.
    """

    modes = (Mode.NORMAL, Mode.RACE, Mode.FRACTAL)

    def __init__(self, name: str, desk: RoleDesk) -> None:
        self.name = name
        self._desk = desk
        self.planner = PromptedPlanner(desk)
        self.worker = PromptedWorker(desk)
        self._critic = PromptedCritic(desk)

    @property
    def critic(self) -> PromptedCritic | None:
        """Who reads diffs, unless the settings say that nobody does."""
        return self._critic if self._desk.settings.review else None

    def forget(self, mission_id: str) -> None:
        """A mission has ended: what was kept for it can go."""
        self._desk.forget(mission_id)

    async def close(self) -> None:
        """Give up what the desk holds."""
        await self._desk.close()
