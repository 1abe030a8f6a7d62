"""Planner, Worker and Reviewer, each a session of an agent on a copy of the workspace.

What a Worker changed in its copy becomes the task's draft (:mod:`~agents.acp_draft`); what the
other roles change is dropped with their copy.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from orchestrator_core.agents import role_talk
from orchestrator_core.agents.acp_draft import bring_in
from orchestrator_core.agents.path_globs import matches_path
from orchestrator_core.errors import AgentError, PermissionDenied
from orchestrator_core.mission.agent import Outcome
from orchestrator_core.workspace.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.agents.acp_desk import AcpDesk, Talk
    from orchestrator_core.agents.acp_place import Place
    from orchestrator_core.agents.acp_worktree import TreeChanges
    from orchestrator_core.agents.untrusted import Marker
    from orchestrator_core.errors import TaskTextError
    from orchestrator_core.mission.agent import MissionRequest, TaskContext
    from orchestrator_core.records import CheckResult, Plan, Receipt, Task
    from orchestrator_core.workspace.edits import Change

_TRIES = 2
"""A Worker that changed what it must not may take that back once."""

_SHOWN = 10


class AcpPlanner:
    """Has an agent write a plan in the plan language."""

    immediate = False

    def __init__(self, desk: AcpDesk) -> None:
        self._desk = desk

    def check_step(self, text: str) -> TaskTextError | None:
        """An agent takes any step."""
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
        budget = desk.budget(mission_id)
        rights = await desk.pool.submit(desk.rights, mission_id, read_only=True)

        async def work(talk: Talk) -> Plan:
            async def ask(text: str) -> str:
                return await talk.ask(text, budget)

            return await role_talk.agree_on_plan(ask, said, desk.agent_name)

        return await desk.use("planner", Draft(desk.workspace), rights, work)


class AcpWorker:
    """Has an agent carry out tasks."""

    def __init__(self, desk: AcpDesk) -> None:
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
    ) -> tuple[str, list[str]]:
        desk, task = self._desk, context.task
        budget = desk.budget(context.mission_id)
        rights = await desk.pool.submit(
            desk.rights, context.mission_id, files=task.files, source=f"task {task.id}"
        )

        async def work(talk: Talk) -> tuple[str, list[str]]:
            text, problems = request(talk.marker), list[str]()
            for _ in range(_TRIES):
                said = role_talk.require_done(await talk.ask(text, budget, context.say))
                changes = await self._changes(talk.place)
                problems = await _problems(talk.place, changes)
                if not problems:
                    notes = await desk.pool.submit(
                        bring_in, context.draft, talk.place.tree, changes
                    )
                    worked = f"{talk.agent} worked on a copy, {await desk.in_force()}"
                    return said, [*talk.place.refusals, *notes, worked]
                told = "\n".join(f"- {problem}" for problem in problems)
                text = f"You changed what this task must not. Take that back:\n{told}"
            raise AgentError(f"{desk.agent_name} changed what it must not: {'; '.join(problems)}")

        with budget.agent():
            changing = partial(_may_change, task)
            return await desk.use(
                "worker",
                context.draft,
                rights,
                work,
                prompt="agent",
                files=context.task.files,
                changing=changing,
            )

    async def _changes(self, place: Place) -> TreeChanges:
        listed = await self._desk.listed(place)
        return await self._desk.pool.submit(place.tree.changes, listed)


class AcpCritic:
    """Has an agent read the diff and the receipts. It can fail a task, and pass none."""

    def __init__(self, desk: AcpDesk) -> None:
        self._desk = desk

    async def judge(
        self, context: TaskContext, changes: Sequence[Change], receipt: Receipt
    ) -> CheckResult:
        """Give an opinion; see :class:`~mission.agent.Critic`."""
        desk = self._desk
        budget = desk.budget(context.mission_id)
        rights = await desk.pool.submit(desk.rights, context.mission_id, read_only=True)
        diff = await desk.diff(changes)

        async def work(talk: Talk) -> CheckResult:
            async def ask(text: str) -> str:
                return await talk.ask(text, budget, context.say)

            said = role_talk.review_request(context.task, receipt, diff, talk.marker)
            return await role_talk.hear_verdict(ask, said, desk.agent_name, receipt)

        files = [change.new_path or change.path for change in changes]
        return await desk.use("reviewer", context.draft, rights, work, files=files)


def _may_change(task: Task, path: str) -> bool:
    """Whether a task names a file as one that it may change."""
    return not task.files or any(matches_path(glob, path) for glob in task.files)


async def _problems(place: Place, changes: TreeChanges) -> list[str]:
    """Which of an agent's changes are not allowed, and why."""
    problems = [f"{path} is no regular file of the copy" for path in changes.refused]
    for path in (*changes.written, *changes.deleted):
        try:
            await place.require_write(path)
        except PermissionDenied as error:
            problems.append(str(error))
    more = len(problems) - _SHOWN
    return [*problems[:_SHOWN], f"and {more} more"] if more > 0 else problems
