"""What became of a task: shown when the pointer rests on it in a plan file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.records import TaskState

if TYPE_CHECKING:
    from orchestrator_core.mission.history import TaskRecord
    from orchestrator_core.mission.plan_document import PlanDocument, TaskNode
    from orchestrator_core.records import CheckResult

_FILES = 10


def task_at(document: PlanDocument, line: int) -> TaskNode | None:
    """The task whose heading or step stands on a line, counted from 1."""
    for node in document.tasks:
        if node.line == line or any(step.line == line for step in node.steps):
            return node
    return None


def described(node: TaskNode, record: TaskRecord | None) -> str:
    """State, time, receipt and files of a task, as Markdown."""
    heading = f"**{node.id}**"
    if record is None:
        return f"{heading} {node.state} · no mission here has carried it out"
    task = record.task
    parts = [f"{heading} {task.status}"]
    if task.duration_s:
        parts.append(f"{task.duration_s:.1f} s")
    if task.status is not node.state and node.state is not TaskState.PENDING:
        parts.append(f"marked {node.state} in the file")
    parts.append(f"mission {record.mission}")
    lines = [" · ".join(parts), ""]
    if task.reason:
        lines += [task.reason, ""]
    lines += [f"- {_check_line(check)}" for check in (task.receipt.checks if task.receipt else ())]
    lines += [f"- {note}" for note in task.notes]
    if task.files:
        more = f" and {len(task.files) - _FILES} more" if len(task.files) > _FILES else ""
        lines.append(f"- changed {', '.join(f'`{f}`' for f in task.files[:_FILES])}{more}")
    return "\n".join(lines).rstrip()


def _check_line(check: CheckResult) -> str:
    found = f"{check.before} → {check.after}" if check.before >= 0 else str(check.after)
    ran = f" ({check.command})" if check.command else ""
    took = f"{check.duration_s * 1e3:.0f} ms"
    return f"{check.name}{ran}: {check.status}, findings {found}, {took}"
