"""Tasks divided into parts, in mode ``fractal``: what a planner proposes, as tasks of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.errors import AgentError
from orchestrator_core.mission.plan import faults
from orchestrator_core.records import Receipt, TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.mission.state import MissionState
    from orchestrator_core.records import Plan, Task


def parts_of(task: Task, proposed: Sequence[Task], plan: Plan, limit: int) -> tuple[Task, ...]:
    """The parts of a task, with ids below its own, ``T1/1``, that no plan file can have.

    Args:
        task: what is divided.
        proposed: by the planner, with ids of its own.
        plan: the mission's, for the count.
        limit: tasks that a mission may have.

    Raises:
        AgentError: the parts cannot be put into an order, or are too many.
    """
    if problems := faults(proposed):
        told = "; ".join(problem.message for problem in problems)
        raise AgentError(f"the planner divided {task.id} into parts that cannot be: {told}")
    if (count := len(plan.tasks) + len(proposed)) > limit:
        raise AgentError(
            f"divided into {len(proposed)} parts the plan would have {count} tasks, more than "
            f"orchestrator.limits.tasks ({limit}) allows"
        )
    return tuple(
        msgspec.structs.replace(
            part,
            id=f"{task.id}/{part.id}",
            depends=tuple(f"{task.id}/{name}" for name in part.depends),
            files=part.files or task.files,
            agent=task.agent,
            milestone=task.milestone,
            state=TaskState.PENDING,
            parts=(),
            depth=task.depth + 1,
        )
        for part in proposed
    )


def receipt_of(task: Task, state: MissionState) -> Receipt:
    """The receipt of a task whose parts are done: all that was checked for them."""
    receipts = [state.tasks[part].receipt for part in task.parts]
    checks = tuple(check for receipt in receipts if receipt for check in receipt.checks)
    passed = all(receipt is not None and receipt.passed for receipt in receipts)
    return Receipt(task_id=task.id, passed=passed, checks=checks)
