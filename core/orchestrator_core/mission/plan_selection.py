"""What of a plan a mission carries out: all that is left, or one task with what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from orchestrator_core.errors import RequestError
from orchestrator_core.records import TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator_core.records import Plan, Task


def to_be_done(plan: Plan, task_id: str = "") -> Plan:
    """The plan with all that is not done as pending, whatever became of it in an earlier run.

    Args:
        plan: without faults in its graph.
        task_id: only this task, done or not, and what it waits for that is not done yet.

    Raises:
        RequestError: the plan has no such task.
    """
    tasks = tuple(
        task if task.state is TaskState.DONE else structs.replace(task, state=TaskState.PENDING)
        for task in plan.tasks
    )
    if task_id:
        tasks = _only(task_id, {task.id: task for task in tasks})
    return structs.replace(plan, tasks=tasks)


def _only(task_id: str, tasks: Mapping[str, Task]) -> tuple[Task, ...]:
    if task_id not in tasks:
        raise RequestError(f"the plan has no task {task_id}")
    wanted, open_ids = {task_id}, [task_id]
    while open_ids:
        for name in tasks[open_ids.pop()].depends:
            if name not in wanted and tasks[name].state is not TaskState.DONE:
                wanted.add(name)
                open_ids.append(name)
    return tuple(
        structs.replace(
            task,
            depends=tuple(name for name in task.depends if name in wanted),
            state=TaskState.PENDING,
        )
        for task in tasks.values()
        if task.id in wanted
    )
