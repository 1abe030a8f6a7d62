"""What a person can do with a plan file and its tasks, as code lenses, code actions and hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lsprotocol import types as lsp
from msgspec import Struct

from orchestrator_core.mission.plan_document import Span
from orchestrator_core.records import MissionStatus, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator_core.mission.history import TaskRecord
    from orchestrator_core.mission.plan_document import PlanDocument, TaskNode
    from orchestrator_server.text_document import LineIndex

    Records = Mapping[str, TaskRecord]

_MARK = {
    TaskState.PENDING: "waiting",
    TaskState.RUNNING: "running",
    TaskState.DONE: "✓",
    TaskState.FAILED: "✗ failed",
    TaskState.CANCELLED: "stopped",
}


class Action(Struct, frozen=True):
    """A command that fits the state of a plan or of one of its tasks.

    Attributes:
        title: a verb, for a lens.
        what: what it is about, for a code action: the task's id, or ``plan``.
        span: the heading that it belongs to.
    """

    title: str
    what: str
    command: str
    arguments: tuple[Any, ...]
    span: Span


def actions(
    document: PlanDocument, path: str, records: Records, options: Mapping[str, Any] | None = None
) -> Iterator[Action]:
    """What can be done now, in the order of the text.

    Args:
        document: the plan.
        path: its file, as ``/run`` takes it.
        records: what the newest mission of this file says of its tasks, by id.
        options: for ``/run``.
    """
    run = dict(options or {})
    running = next((r for r in records.values() if r.status is MissionStatus.RUNNING), None)
    yield from _of_plan(document, (path, run), records, running)
    groups = {node.parent for node in document.tasks if node.parent}
    for node in document.tasks:
        if node.steps or node.id not in groups:
            yield from _of_task(
                node, (path, run | {"task": node.id}), records.get(node.id), running
            )


def lenses(found: Iterator[Action], lines: LineIndex) -> list[lsp.CodeLens]:
    """The actions above their headings."""
    return [
        lsp.CodeLens(lines.range(each.span.start, each.span.end), _command(each, each.title))
        for each in found
    ]


def code_actions(
    found: Iterator[Action], lines: LineIndex, where: lsp.Range
) -> list[lsp.CodeAction]:
    """The actions whose heading is touched, for editors that show no lenses."""
    chosen: list[lsp.CodeAction] = []
    for each in found:
        heading = lines.range(each.span.start, each.span.end)
        if heading.start.line <= where.end.line and heading.end.line >= where.start.line:
            title = f"{each.title} {each.what}"
            chosen.append(lsp.CodeAction(title, command=_command(each, title)))
    return chosen


def hints(
    document: PlanDocument, records: Records, lines: LineIndex, where: lsp.Range
) -> list[lsp.InlayHint]:
    """State and time behind the heading of each task that a mission has taken up."""
    found: list[lsp.InlayHint] = []
    for node in document.tasks:
        record = records.get(node.id)
        if record is None or not where.start.line <= node.line - 1 <= where.end.line:
            continue
        took = f" {record.task.duration_s:.1f} s" if record.task.duration_s else ""
        found.append(
            lsp.InlayHint(
                lines.position(node.span.end),
                f"{_MARK[record.task.status]}{took}",
                padding_left=True,
                tooltip=record.task.reason or None,
            )
        )
    return found


def _of_plan(
    document: PlanDocument, run: tuple[Any, ...], records: Records, running: TaskRecord | None
) -> Iterator[Action]:
    span = Span(0, len(document.text.partition("\n")[0].rstrip("\r")))
    if running is not None:
        yield Action("Stop", "plan", "/stop", (running.mission,), span)
        return
    if any(problem.severity == "error" for problem in document.problems):
        return  # the diagnostics say what to mend first
    left = [task for task in document.plan.tasks if task.state is not TaskState.DONE]
    if left:
        begun = any(task.state is not TaskState.PENDING for task in document.plan.tasks)
        yield Action("Go on" if begun else "Run", "plan", "/run", run, span)
    latest = next(iter(records.values()), None)
    if latest is not None and any(
        record.mission == latest.mission and record.task.status is TaskState.DONE
        for record in records.values()
    ):
        yield Action("Undo", "plan", "/undo", (latest.mission,), span)


def _of_task(
    node: TaskNode, run: tuple[Any, ...], record: TaskRecord | None, running: TaskRecord | None
) -> Iterator[Action]:
    if running is not None:
        if record is not None and record.task.status is TaskState.RUNNING:
            yield Action("Stop", node.id, "/stop", (running.mission,), node.span)
    elif node.state is not TaskState.DONE:
        again = node.state in {TaskState.FAILED, TaskState.CANCELLED}
        title = "Retry" if again else "Run"
        yield Action(title, node.id, "/run", run, node.span)
    elif record is not None and record.task.files and record.status is not MissionStatus.UNDONE:
        yield Action("Undo", node.id, "/undo", (record.mission, node.id), node.span)
    if record is not None:
        yield Action("Show", node.id, "/show", (record.mission, node.id), node.span)


def _command(action: Action, title: str) -> lsp.Command:
    return lsp.Command(title, action.command, arguments=list(action.arguments))
