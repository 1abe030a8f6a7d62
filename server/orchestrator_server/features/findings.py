"""What the Reviewer found, as diagnostics in the files where it found it.

They are shown when a mission has ended with a task that did not pass: then it is settled what the
files hold. They go when the file changes, or a mission changes it; when the mission is undone; and
when one with the same text or plan, or one whose tasks name the file, begins.

They are pushed. What is found is news of a mission, no property of a text that a client could ask
for, and every client that pulls diagnostics takes pushed ones, too.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lsprotocol import types as lsp
from msgspec import Struct, field

from orchestrator_core.config import SETTINGS_FILES
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.events import (
    EditsApplied,
    EditsReverted,
    MissionAccepted,
    MissionFinished,
    MissionPlanned,
    MissionUndone,
    TaskReviewed,
    TaskStarted,
)
from orchestrator_server.features.documents import takes_pages, uri_of
from orchestrator_server.features.shown_finding import Finding, ShownFinding, actions, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.records import Receipt
    from orchestrator_server.editor_session import EditorSession
    from orchestrator_server.features.plan_file import PlanFiles
    from orchestrator_server.folder import Folder

log = logging.getLogger(__name__)


class _Mission(Struct):
    """What is kept of a mission that runs, or has something to show."""

    root: Path
    text: str
    plan_file: str
    dry_run: bool
    titles: dict[str, str] = field(default_factory=dict)
    failed: dict[str, Receipt] = field(default_factory=dict)
    ended: bool = False


class _Shown(Struct):
    """The findings of a file, by mission, and the URI and the text that they are about."""

    uri: str
    text: int
    found: dict[str, list[ShownFinding]] = field(default_factory=dict)


class Findings:
    """The findings that are shown in one session. Lives on the event loop."""

    def __init__(self, session: EditorSession, plans: PlanFiles) -> None:
        self._session = session
        self._plans = plans
        self._missions: dict[str, _Mission] = {}
        self._shown: dict[tuple[Path, str], _Shown] = {}  # by folder and path
        self._showing: set[asyncio.Task[None]] = set()

    def stepped(self, root: Path, event: AnyEvent) -> None:
        """A mission of a folder took a step."""
        mission = self._missions.get(event.mission_id)
        match event:
            case MissionAccepted():
                self._clear(lambda name, old: name == event.mission_id or _again(old, root, event))
                self._missions[event.mission_id] = _Mission(
                    root, event.text, event.plan_file, event.dry_run
                )
            case MissionPlanned() if mission is not None:
                mission.titles = {task.id: task.title for task in event.plan.tasks}
                if not mission.dry_run:
                    self._begun(root, [glob for task in event.plan.tasks for glob in task.files])
            case TaskStarted() if mission is not None:
                mission.failed.pop(event.task_id, None)
            case TaskReviewed() if mission is not None and not event.receipt.passed:
                mission.failed[event.task_id] = event.receipt
            case TaskReviewed() if mission is not None:
                mission.failed.pop(event.task_id, None)
            case EditsApplied() | EditsReverted():
                for change in event.changes:
                    self._forget(root, change.path)
            case MissionFinished() if mission is not None:
                self._ended(event.mission_id, mission)
            case MissionUndone():
                self._clear(lambda name, _: name == event.mission_id)
            case _:
                pass

    def changed(self, uri: str) -> None:
        """An open document has another text: what was found in it counts no more."""
        if self._shown and (place := self._session.place(uri)) is not None:
            self._forget(place[0].root, place[1])

    def opened(self, uri: str) -> None:
        """A document was opened, perhaps with another text than the one on disk."""
        place = self._session.place(uri) if self._shown else None
        shown = self._shown.get((place[0].root, place[1])) if place else None
        text = self._session.server.workspace.text_documents[unquote(uri)].source
        if shown is not None and shown.text != hash(text):
            self.changed(uri)

    async def code_actions(self, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        """What can be done about the findings that a range touches."""
        place = self._session.place(params.text_document.uri) if self._shown else None
        shown = self._shown.get((place[0].root, place[1])) if place else None
        if place is None or shown is None:
            return []
        return [
            action
            for name, told in shown.found.items()
            for each in told
            if _touch(each.diagnostic.range, params.range)
            for action in actions(
                each, name, self._missions[name].plan_file, place[0].root.as_uri()
            )
        ]

    def folders_changed(self) -> None:
        """The editor closed folders, perhaps: what was found in those is shown no more."""
        self._clear(lambda _, mission: mission.root not in self._session.folders)

    def _ended(self, name: str, mission: _Mission) -> None:
        found = [
            Finding(task, check.name, at)
            for task, receipt in mission.failed.items()
            for check in receipt.checks
            for at in check.found
        ]
        if mission.dry_run or not found or mission.root not in self._session.folders:
            del self._missions[name]
            return
        showing = asyncio.ensure_future(self._show(name, mission, found))
        self._showing.add(showing)
        showing.add_done_callback(self._showing.discard)

    async def _show(self, name: str, mission: _Mission, found: list[Finding]) -> None:
        folder = self._session.folders[mission.root]
        try:
            engine = await folder.orchestrator()
            places = await engine.records.locate([each.at for each in found])
            about = {
                task: await self._about(folder, name, mission, task) for task in mission.failed
            }
        except OrchestratorError as error:
            log.info("what checks found in mission %s is not shown: %s", name, error)
            self._missions.pop(name, None)
            return
        if self._missions.get(name) is not mission:  # its place was taken meanwhile
            return
        mission.ended = True
        touched: dict[tuple[Path, str], None] = {}
        for each, place in zip(found, places, strict=True):
            uri = folder.uri(each.at.path)
            if place is None or not self._is_current(uri, place.text):
                continue
            if self._plans.place(uri) is not None or each.at.path in SETTINGS_FILES:
                continue  # those have diagnostics of their own
            text, key = hash(place.text), (mission.root, each.at.path)
            shown = self._shown.get(key)
            if shown is None or shown.text != text:
                shown = self._shown[key] = _Shown(uri, text)
            task = f"{each.task} of mission {name}"
            found_here = show(each, place, about[each.task], task, self._encoding)
            shown.found.setdefault(name, []).append(found_here)
            touched[key] = None
        for key in touched:
            self._publish(self._shown[key])
        self._drop_unseen()

    async def _about(
        self, folder: Folder, name: str, mission: _Mission, task: str
    ) -> lsp.DiagnosticRelatedInformation | None:
        """Where the task stands in its plan file; without one, the page of its record."""
        client = self._session.server.client_capabilities
        push = client.text_document.publish_diagnostics if client.text_document else None
        if push is None or not push.related_information:
            return None
        told = f"task {task}: {mission.titles.get(task, '')} (mission {name})"
        if mission.plan_file:
            uri = folder.uri(mission.plan_file)
            plan = await self._plans.document(uri)
            for node in plan.tasks if plan else ():
                if plan and node.id == task:
                    lines = self._plans.lines(uri, plan.text)
                    where = lines.range(node.span.start, node.span.end)
                    return lsp.DiagnosticRelatedInformation(lsp.Location(uri, where), told)
        if not takes_pages(client):
            return None
        top = lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))
        page = lsp.Location(uri_of(name, task), top)
        return lsp.DiagnosticRelatedInformation(page, told)

    def _is_current(self, uri: str, text: str) -> bool:
        """Whether an open document still has the text that was looked at."""
        document = self._session.server.workspace.text_documents.get(unquote(uri))
        return document is None or document.source == text

    def _begun(self, root: Path, globs: Iterable[str]) -> None:
        """Tasks that are limited to some files begin."""
        from orchestrator_core.agents.path_globs import matches_path  # noqa: PLC0415 - see app

        globs = list(globs)
        for there, path in list(self._shown):
            if there == root and any(matches_path(glob, path) for glob in globs):
                self._forget(root, path)

    def _forget(self, root: Path, path: str) -> None:
        """What was found in a file counts no more."""
        shown = self._shown.pop((root, path), None)
        if shown is not None:
            shown.found = {}
            self._publish(shown)
            self._drop_unseen()

    def _clear(self, over: Callable[[str, _Mission], bool]) -> None:
        """Forget some missions, and what is shown of them."""
        gone = {name for name, mission in self._missions.items() if over(name, mission)}
        for name in gone:
            del self._missions[name]
        for key, shown in list(self._shown.items()):
            if gone & shown.found.keys():
                shown.found = {name: told for name, told in shown.found.items() if name not in gone}
                if not shown.found:
                    del self._shown[key]
                self._publish(shown)

    def _drop_unseen(self) -> None:
        """Forget the missions that have ended and of which nothing is shown."""
        seen = {name for shown in self._shown.values() for name in shown.found}
        for name in [name for name, each in self._missions.items() if each.ended]:
            if name not in seen:
                del self._missions[name]

    def _publish(self, shown: _Shown) -> None:
        found = [each.diagnostic for told in shown.found.values() for each in told]
        self._session.server.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(shown.uri, found)
        )

    @property
    def _encoding(self) -> lsp.PositionEncodingKind | str:
        return self._session.server.workspace.position_encoding or lsp.PositionEncodingKind.Utf16


def _touch(one: lsp.Range, other: lsp.Range) -> bool:
    return one.start.line <= other.end.line and other.start.line <= one.end.line


def _again(old: _Mission, root: Path, event: MissionAccepted) -> bool:
    """Whether a mission that begins is about the same as an old one."""
    if old.root != root or event.dry_run:
        return False
    return old.plan_file == event.plan_file if event.plan_file else old.text == event.text
