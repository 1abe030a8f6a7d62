"""Planner, Worker and Reviewer, each a conversation with a model over tools on a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.agents.desk import Desk
from orchestrator_core.agents.run_line import run_line
from orchestrator_core.errors import AgentError, PlanError, TaskTextError
from orchestrator_core.mission import plan_language
from orchestrator_core.mission.agent import Outcome
from orchestrator_core.records import CheckResult
from orchestrator_core.workspace.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.agents.model_desk import ModelDesk
    from orchestrator_core.mission.agent import MissionRequest, TaskContext
    from orchestrator_core.records import Plan, Receipt, Task
    from orchestrator_core.workspace.edits import Change

PLANS = 3
"""How often a plan may be handed in; its mistakes are told each time."""

PLANNER_TURNS = 30
REVIEWER_TURNS = 15
_CANNOT = "CANNOT:"
_LINES = 20


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
        if not request.text.strip():
            raise TaskTextError("the task is empty: say what is to be done")
        said = f"The request:\n\n{request.text.strip()}"
        return await self._write(said, request.mission_id)

    async def divide(self, task: Task, mission_id: str) -> tuple[Task, ...]:
        """Split a task, or leave it whole; see :class:`~mission.agent.Planner`."""
        said = (
            "One task of a plan may be too large for one Worker. Write a plan for it alone, whose "
            "tasks change no other files than it may; a plan of one task leaves it whole.\n\n"
            f"{described(task)}"
        )
        parts = (await self._write(said, mission_id)).tasks
        return parts if len(parts) > 1 else ()

    async def _write(self, said: str, mission_id: str) -> Plan:
        """Have the model write a plan until it can be read, a few times at most."""
        desk = self._desk
        talk = await desk.converse("planner", desk.budget(mission_id))
        rights = await desk.pool.submit(desk.rights, mission_id, read_only=True)
        place = Desk(Draft(desk.workspace), desk.toolbox, desk.pool, rights)
        tools = desk.tools(place, talk, read_only=True)
        problems = ""
        for _ in range(PLANS):
            written = _unfenced(await talk.conversation.work(said, tools, turns=PLANNER_TURNS))
            parsed = plan_language.parse(written)
            errors = [p for p in parsed.problems if p.severity == "error"]
            if not errors and parsed.plan.tasks:
                return parsed.plan
            problems = str(PlanError(errors)) or "plan: it has no tasks (### T1: title)"
            said = (
                f"The plan cannot be read:\n{problems}\n"
                "Answer with the whole plan again, mended, and with nothing else."
            )
        raise AgentError(
            f"{desk.model_name} wrote {PLANS} plans that cannot be read: "
            + "; ".join(problems.splitlines())
        )


class ModelWorker:
    """Has a model carry out tasks."""

    def __init__(self, desk: ModelDesk) -> None:
        self._desk = desk

    async def perform(self, context: TaskContext) -> Outcome:
        """Carry out a task; see :class:`~mission.agent.Worker`."""
        said = await self._work(context, described(context.task))
        return Outcome(notes=_note(said))

    async def repair(self, context: TaskContext, receipt: Receipt) -> bool:
        """Mend what checks or Reviewer found; see :class:`~mission.agent.Worker`."""
        before = context.draft.documents()
        found = "\n".join(_findings(receipt))
        diff = await self._desk.diff(context.draft.changes())
        text = (
            f"{described(context.task)}\n\nYou have done this already, and the review failed. "
            f"Mend what it found, and nothing else.\n\nFindings:\n"
        )
        await self._work(context, text, data=f"{found}\n\nYour changes so far:\n{diff}")
        return context.draft.documents() != before

    async def _work(self, context: TaskContext, text: str, data: str = "") -> str:
        desk, task = self._desk, context.task
        budget = desk.budget(context.mission_id)
        with budget.agent():
            talk = await desk.converse("worker", budget, context.say)
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
            told = f"{text}\n{talk.marker.mark(data)}" if data else text
            said = await talk.conversation.work(told, tools, turns=desk.settings.turns)
        if said.lstrip().startswith(_CANNOT):
            raise AgentError(said.lstrip().removeprefix(_CANNOT).strip() or "it cannot be done")
        return said


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
        talk = await desk.converse("reviewer", budget, context.say)
        rights = await desk.pool.submit(desk.rights, context.mission_id, read_only=True)
        place = Desk(context.draft, context.toolbox, context.pool, rights)
        tools = desk.tools(place, talk, read_only=True)
        checks = "\n".join(f"{c.name} ({c.command}): {c.status}" for c in receipt.checks)
        diff = await desk.diff(changes)
        said = (
            f"{described(context.task)}\n\nThe checks:\n{checks or 'none ran'}\n\nThe diff:\n"
            f"{talk.marker.mark(diff)}"
        )
        opinion = await talk.conversation.work(said, tools, turns=REVIEWER_TURNS)
        verdict, reasons = _verdict(opinion)
        if verdict is None:
            again = "Begin with a line that is PASS or FAIL and nothing else."
            opinion = await talk.conversation.work(again, tools, turns=REVIEWER_TURNS)
            verdict, reasons = _verdict(opinion)
        if verdict is None:
            reasons = ("the reviewer gave no verdict",)
        return CheckResult(
            name="review",
            status="unverified" if verdict is None else "passed" if verdict else "failed",
            command=desk.model_name,
            details=() if verdict else reasons,
            tree=receipt.tree,
        )


def described(task: Task) -> str:
    """A task as a model is told of it."""
    steps = "\n".join(f"- {step.text}" for step in task.steps)
    files = ", ".join(task.files) or "any"
    return f"Task {task.id}: {task.title}\nFiles that may be changed: {files}\n{steps}".strip()


def _findings(receipt: Receipt) -> list[str]:
    found: list[str] = []
    for check in receipt.checks:
        if check.status == "failed":
            found += [f"{check.name}: {line}" for line in check.details or ("failed",)]
    return found


def _verdict(opinion: str) -> tuple[bool | None, tuple[str, ...]]:
    """Whether an opinion passes the task, None if it does not say, and its reasons."""
    first, _, rest = opinion.strip().partition("\n")
    word = first.strip(" .:*#`").upper()
    if word not in ("PASS", "FAIL"):
        return None, ()
    lines = [line.strip().removeprefix("- ").strip() for line in rest.splitlines()]
    reasons = tuple(line for line in lines if line)[:_LINES]
    return word == "PASS", reasons or ("the reviewer gave no reason",)


def _note(said: str) -> tuple[str, ...]:
    line = " ".join(said.split())
    return (line if len(line) <= 300 else line[:299] + "…",) if line else ()


def _unfenced(text: str) -> str:
    """A plan without the code fence and the small talk that models put around it."""
    _, fence, inside = text.partition("```")
    if fence:
        text = inside.partition("\n")[2].partition("```")[0]
    start = text.find("# Mission")
    return text[start:] if start > 0 and text[start - 1] == "\n" else text
