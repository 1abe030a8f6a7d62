"""What is said to a model or an agent in each role, and how its answers are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.errors import AgentError, PlanError, TaskTextError
from orchestrator_core.mission import plan_language
from orchestrator_core.records import CheckResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.agents.untrusted import Marker
    from orchestrator_core.mission.agent import MissionRequest
    from orchestrator_core.records import Plan, Receipt, Task

    Ask = Callable[[str], Awaitable[str]]

PLANS = 3
"""How often a plan may be handed in; its mistakes are told each time."""

_CANNOT = "CANNOT:"
_LINES = 20
_NOTE = 300


def plan_request(request: MissionRequest) -> str:
    """What a Planner is asked.

    Raises:
        TaskTextError: nothing is to be done.
    """
    if not request.text.strip():
        raise TaskTextError("the task is empty: say what is to be done")
    return f"The request:\n\n{request.text.strip()}"


def dividing_request(task: Task) -> str:
    """What a Planner is asked of a task that may be too large."""
    return (
        "One task of a plan may be too large for one Worker. Write a plan for it alone, whose "
        "tasks change no other files than it may; a plan of one task leaves it whole.\n\n"
        f"{described(task)}"
    )


async def agree_on_plan(ask: Ask, said: str, who: str) -> Plan:
    """Have a plan written until it can be read, a few times at most.

    Args:
        ask: says something to the Planner, and answers what it says.
        said: what is said first.
        who: the model or agent, for people.

    Raises:
        AgentError: none could be read.
    """
    problems = ""
    for _ in range(PLANS):
        parsed = plan_language.parse(_unfenced(await ask(said)))
        errors = [p for p in parsed.problems if p.severity == "error"]
        if not errors and parsed.plan.tasks:
            return parsed.plan
        problems = str(PlanError(errors)) or "plan: it has no tasks (### T1: title)"
        said = (
            f"The plan cannot be read:\n{problems}\n"
            "Answer with the whole plan again, mended, and with nothing else."
        )
    raise AgentError(
        f"{who} wrote {PLANS} plans that cannot be read: " + "; ".join(problems.splitlines())
    )


def described(task: Task) -> str:
    """A task as a Worker is told of it."""
    steps = "\n".join(f"- {step.text}" for step in task.steps)
    files = ", ".join(task.files) or "any"
    return f"Task {task.id}: {task.title}\nFiles that may be changed: {files}\n{steps}".strip()


def mending_request(task: Task, receipt: Receipt, diff: str, marker: Marker) -> str:
    """What a Worker is asked whose work did not pass."""
    findings = [
        f"{check.name}: {line}"
        for check in receipt.checks
        if check.status == "failed"
        for line in check.details or ("failed",)
    ]
    data = "\n".join(findings) + f"\n\nYour changes so far:\n{diff}"
    return (
        f"{described(task)}\n\nYou have done this already, and the review failed. "
        f"Mend what it found, and nothing else.\n\nFindings:\n\n{marker.mark(data)}"
    )


def require_done(said: str) -> str:
    """What a Worker said in the end.

    Raises:
        AgentError: it said that the task cannot be done.
    """
    if said.lstrip().startswith(_CANNOT):
        raise AgentError(said.lstrip().removeprefix(_CANNOT).strip() or "it cannot be done")
    return said


def note(said: str) -> tuple[str, ...]:
    """What a Worker said in the end, in one line for people."""
    line = " ".join(said.split())
    return (line if len(line) <= _NOTE else line[: _NOTE - 1] + "…",) if line else ()


def review_request(task: Task, receipt: Receipt, diff: str, marker: Marker) -> str:
    """What a Reviewer is asked."""
    checks = "\n".join(f"{c.name} ({c.command}): {c.status}" for c in receipt.checks)
    return (
        f"{described(task)}\n\nThe checks:\n{checks or 'none ran'}\n\nThe diff:\n"
        f"{marker.mark(diff)}"
    )


async def hear_verdict(ask: Ask, said: str, who: str, receipt: Receipt) -> CheckResult:
    """Have a Reviewer give its opinion, as a check; one without a verdict counts for nothing."""
    verdict, reasons = _verdict(await ask(said))
    if verdict is None:
        again = "Begin with a line that is PASS or FAIL and nothing else."
        verdict, reasons = _verdict(await ask(again))
    if verdict is None:
        reasons = ("the reviewer gave no verdict",)
    return CheckResult(
        name="review",
        status="unverified" if verdict is None else "passed" if verdict else "failed",
        command=who,
        details=() if verdict else reasons,
        tree=receipt.tree,
    )


def _verdict(opinion: str) -> tuple[bool | None, tuple[str, ...]]:
    """Whether an opinion passes the task, None if it does not say, and its reasons."""
    first, _, rest = opinion.strip().partition("\n")
    word = first.strip(" .:*#`").upper()
    if word not in ("PASS", "FAIL"):
        return None, ()
    lines = [line.strip().removeprefix("- ").strip() for line in rest.splitlines()]
    reasons = tuple(line for line in lines if line)[:_LINES]
    return word == "PASS", reasons or ("the reviewer gave no reason",)


def _unfenced(text: str) -> str:
    """A plan without the code fence and the small talk that models put around it."""
    _, fence, inside = text.partition("```")
    if fence:
        text = inside.partition("\n")[2].partition("```")[0]
    start = text.find("# Mission")
    return text[start:] if start > 0 and text[start - 1] == "\n" else text
