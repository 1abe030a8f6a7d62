"""The plan file in the editor: read once a text, with what is wrong with it shown.

A plan with mistakes stays as it is: it is the person's text. Its mistakes are shown as
diagnostics, and ``/run`` refuses it until they are mended.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lsprotocol import types as lsp

from orchestrator_core.errors import JournalError, OrchestratorError
from orchestrator_core.events import (
    EditsReverted,
    MissionFinished,
    MissionUndone,
    TaskFinished,
    TaskStarted,
)
from orchestrator_core.records import TaskState
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.history import TaskRecord
    from orchestrator_core.mission.plan_document import PlanDocument
    from orchestrator_core.records import Problem, TaskReport
    from orchestrator_server.editor_session import EditorSession
    from orchestrator_server.folder import Folder

log = logging.getLogger(__name__)

SUFFIX = ".plan.md"
SOURCE = "orchestrator"
_PAUSE_S = 0.01  # what is asked together with a change, a completion, is answered before
_REFRESH_S = 0.2
_SHOWN = (TaskStarted, TaskFinished, MissionFinished, EditsReverted, MissionUndone)
_SEVERITY = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
}


class PlanFiles:
    """The plan files of a session, read, and what is wrong with them. Lives on the event loop."""

    def __init__(self, session: EditorSession) -> None:
        self._session = session
        self._parsed: dict[str, PlanDocument] = {}
        self._lines: dict[str, LineIndex] = {}
        self._checking: dict[str, asyncio.Task[None]] = {}
        self._refreshing: asyncio.TimerHandle | None = None

    def changed(self, uri: str) -> None:
        """A document was opened or changed: look at it, if it is a plan file."""
        if self.place(uri) is None or uri in self._checking:
            return
        checking = asyncio.ensure_future(self._check(uri))
        self._checking[uri] = checking
        checking.add_done_callback(partial(self._checked, uri))

    def closed(self, uri: str) -> None:
        """A document was closed: forget it, and its diagnostics."""
        self._lines.pop(uri, None)
        if self._parsed.pop(uri, None) is not None:
            self._publish(uri, "", [])

    def stepped(self, event: AnyEvent) -> None:
        """A mission took a step: what is shown of its tasks may be another now."""
        if isinstance(event, _SHOWN) and self._refreshing is None:
            loop = asyncio.get_running_loop()
            self._refreshing = loop.call_later(_REFRESH_S, self._refresh)

    async def look(self, folder: Folder) -> None:
        """Show what is wrong with a folder's plan file, which may not be open in the editor."""
        engine = await folder.orchestrator()
        uri = folder.uri(engine.settings.plan_file)
        if engine.plans.exists() and (document := await self.document(uri)) is not None:
            self._publish(uri, document.text, await self._diagnostics(uri, document))

    def place(self, uri: str) -> tuple[Folder, str] | None:
        """The folder and path of a plan file; None for any other document."""
        place = self._session.place(uri)
        if place is None:
            return None
        folder, path = place
        return place if path == folder.settings.plan_file or path.endswith(SUFFIX) else None

    def text(self, uri: str) -> str | None:
        """The text of an open document."""
        document = self._session.server.workspace.text_documents.get(unquote(uri))
        return None if document is None else document.source

    def known(self, uri: str) -> PlanDocument | None:
        """An open plan as it was read last, which may be some keystrokes ago."""
        return self._parsed.get(uri)

    async def document(self, uri: str) -> PlanDocument | None:
        """The plan as it is now; reading and parsing happen in a thread, once a text."""
        text, known = self.text(uri), self._parsed.get(uri)
        if known is not None and text == known.text:
            return known
        folder, path = self.place(uri) or (None, "")
        if folder is None:
            return None
        try:
            engine = await folder.orchestrator()
            document = await asyncio.to_thread(engine.plans.read, path, text)
        except OrchestratorError as error:
            log.info("%s cannot be read: %s", path, error)
            return None
        if text is not None:
            self._parsed[uri] = document
        return document

    def lines(self, uri: str, text: str) -> LineIndex:
        """Offsets of a text, and positions as this editor counts them."""
        known = self._lines.get(uri)
        if known is not None and known.text == text:
            return known
        encoding = self._session.server.workspace.position_encoding
        lines = LineIndex(text, encoding or lsp.PositionEncodingKind.Utf16)
        if uri in self._parsed:
            self._lines[uri] = lines
        return lines

    async def records(self, uri: str) -> dict[str, TaskRecord]:
        """What missions said of a plan's tasks, by id."""
        if (place := self.place(uri)) is None:
            return {}
        folder, path = place
        try:
            return await (await folder.orchestrator()).records.task_records(path)
        except JournalError as error:
            log.info("what became of the tasks of %s is not known: %s", path, error)
            return {}

    def _checked(self, uri: str, checking: asyncio.Task[None]) -> None:
        if not checking.cancelled() and (error := checking.exception()) is not None:
            log.error("%s cannot be checked", uri, exc_info=error)

    async def _check(self, uri: str) -> None:
        try:
            await asyncio.sleep(_PAUSE_S)
            while (document := await self.document(uri)) is not None:
                self._publish(uri, document.text, await self._diagnostics(uri, document))
                if document.text == self.text(uri):
                    return
        finally:
            del self._checking[uri]  # in the same step as the look at the text: no change is missed

    async def _diagnostics(self, uri: str, document: PlanDocument) -> list[lsp.Diagnostic]:
        lines = self.lines(uri, document.text)
        found = [_diagnostic(problem, lines) for problem in document.problems]
        for task, record in (await self.records(uri)).items():
            if record.task.status is TaskState.FAILED and record.task.reason:
                found += [
                    lsp.Diagnostic(
                        lines.range(node.span.start, node.span.end),
                        _why(record.task),
                        lsp.DiagnosticSeverity.Error,
                        source=SOURCE,
                    )
                    for node in document.tasks
                    if node.id == task and node.state is TaskState.FAILED
                ]
        return found

    def _publish(self, uri: str, text: str, found: list[lsp.Diagnostic]) -> None:
        open_document = self._session.server.workspace.text_documents.get(unquote(uri))
        version = open_document.version if open_document and open_document.source == text else None
        self._session.server.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri, found, version)
        )

    def _refresh(self) -> None:
        self._refreshing = None
        for uri in list(self._parsed):
            self.changed(uri)
        workspace = self._session.server.client_capabilities.workspace
        if workspace and workspace.code_lens and workspace.code_lens.refresh_support:
            self._session.server.workspace_code_lens_refresh(None)
        if workspace and workspace.inlay_hint and workspace.inlay_hint.refresh_support:
            self._session.server.workspace_inlay_hint_refresh(None)


def _why(task: TaskReport) -> str:
    """Why a task failed, with the checks that did not pass."""
    checks = task.receipt.checks if task.receipt else ()
    failed = [f"{check.name}: {check.status}" for check in checks if check.status != "passed"]
    return "\n".join([task.reason, *failed])


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
        source=SOURCE,
    )
