"""The plan file in the editor: what is wrong with it, and what became of each task.

A plan with mistakes stays as it is: it is the person's text. Its mistakes are shown as
diagnostics, and ``/run`` refuses it until they are mended.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lsprotocol import types as lsp

from orchestrator_core.errors import OrchestratorError
from orchestrator_core.records import TaskState
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from orchestrator_core.mission.history import TaskRecord
    from orchestrator_core.mission.plan_document import PlanDocument, TaskNode
    from orchestrator_core.records import CheckResult, Problem
    from orchestrator_server.editor_session import EditorSession
    from orchestrator_server.folder import Folder

log = logging.getLogger(__name__)

SUFFIX = ".plan.md"
_FILES = 10
_SEVERITY = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
}


class PlanFiles:
    """Diagnostics and hover for plan files. Lives on the event loop."""

    def __init__(self, session: EditorSession) -> None:
        self._session = session
        self._parsed: dict[str, tuple[str, PlanDocument]] = {}
        self._checking: dict[str, asyncio.Task[None]] = {}

    def changed(self, uri: str) -> None:
        """A document was opened or changed: look at it, if it is a plan file."""
        if self._plan_of(uri) is None or uri in self._checking:
            return
        checking = asyncio.ensure_future(self._check(uri))
        self._checking[uri] = checking
        checking.add_done_callback(lambda _: self._checking.pop(uri, None))

    def closed(self, uri: str) -> None:
        """A document was closed: forget it, and its diagnostics."""
        if self._parsed.pop(uri, None) is not None:
            self._publish(uri, "", ())

    async def look(self, folder: Folder) -> None:
        """Show what is wrong with a folder's plan file, which may not be open in the editor."""
        engine = await folder.orchestrator()
        uri = folder.uri(engine.settings.plan_file)
        if engine.has_plan() and (document := await self._document(uri)) is not None:
            self._publish(uri, document.text, document.problems)

    async def hover(self, uri: str, position: lsp.Position) -> lsp.Hover | None:
        """What became of the task at a position of a plan file; nothing anywhere else."""
        if (place := self._plan_of(uri)) is None:
            return None
        folder, path = place
        document = await self._document(uri)
        node = _task_at(document, position.line + 1) if document else None
        if node is None or document is None:
            return None
        engine = await folder.orchestrator()
        record = await engine.task_record(path, node.id)
        lines = self._index(document.text)
        return lsp.Hover(
            contents=lsp.MarkupContent(lsp.MarkupKind.Markdown, _described(node, record)),
            range=lines.range(node.span.start, node.span.end),
        )

    def _plan_of(self, uri: str) -> tuple[Folder, str] | None:
        """The folder and path of a plan file; None for any other document."""
        place = self._session.place(uri)
        if place is None:
            return None
        folder, path = place
        return place if path == folder.settings.plan_file or path.endswith(SUFFIX) else None

    async def _check(self, uri: str) -> None:
        while (document := await self._document(uri)) is not None:
            self._publish(uri, document.text, document.problems)
            if document.text == self._text(uri):
                return

    async def _document(self, uri: str) -> PlanDocument | None:
        """The plan as it is now; reading and parsing happen in a thread, once a text."""
        text, known = self._text(uri), self._parsed.get(uri)
        if known is not None and text == known[0]:
            return known[1]
        folder, path = self._plan_of(uri) or (None, "")
        if folder is None:
            return None
        try:
            engine = await folder.orchestrator()
            document = await asyncio.to_thread(engine.read_plan, path, text)
        except OrchestratorError as error:
            log.info("%s cannot be read: %s", path, error)
            return None
        if text is not None:
            self._parsed[uri] = (text, document)
        return document

    def _text(self, uri: str) -> str | None:
        """The text of an open document."""
        document = self._session.server.workspace.text_documents.get(unquote(uri))
        return None if document is None else document.source

    def _publish(self, uri: str, text: str, problems: tuple[Problem, ...]) -> None:
        lines = self._index(text)
        self._session.server.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri, [_diagnostic(each, lines) for each in problems])
        )

    def _index(self, text: str) -> LineIndex:
        encoding = self._session.server.workspace.position_encoding
        return LineIndex(text, encoding or lsp.PositionEncodingKind.Utf16)


def _task_at(document: PlanDocument, line: int) -> TaskNode | None:
    """The task whose heading or step stands on a line, counted from 1."""
    for node in document.tasks:
        if node.line == line or any(step.line == line for step in node.steps):
            return node
    return None


def _described(node: TaskNode, record: TaskRecord | None) -> str:
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


def _offset(lines: LineIndex, line: int, column: int) -> int:
    """The offset of a place that counts from 1; `LineIndex` clamps what is too far."""
    return lines.line_start(min(line, lines.line_count) - 1) + column - 1


def _diagnostic(problem: Problem, lines: LineIndex) -> lsp.Diagnostic:
    start = _offset(lines, problem.line, problem.column)
    end_column = problem.end_column or problem.column + 1
    end = _offset(lines, problem.end_line or problem.line, end_column)
    return lsp.Diagnostic(
        range=lines.range(start, max(start, end)),
        message=problem.message,
        severity=_SEVERITY[problem.severity],
        source="orchestrator",
    )
