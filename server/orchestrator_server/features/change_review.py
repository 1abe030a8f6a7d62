"""Accepting and rejecting what missions changed, in any document of any editor.

Lenses and code actions are answered from what is known of a text: only another text, or a mission
that ended, has it compared again, off the event loop, and once for all who ask meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from lsprotocol import types as lsp

from orchestrator_core.errors import OrchestratorError, RequestError
from orchestrator_server.features import change_lenses
from orchestrator_server.notifications import wire
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from orchestrator_core.mission.hunk_settlement import PendingHunk
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_server.editor_session import EditorSession
    from orchestrator_server.folder import Folder
    from orchestrator_server.server import HardenedServer

log = logging.getLogger(__name__)

_REFRESH_S = 0.05
_LOOKS = 4
"""A text that is another each time is being typed in: the editor asks again by itself."""


class _Known(NamedTuple):
    """The hunks of a text."""

    text: str
    generation: int
    hunks: list[tuple[PendingHunk, lsp.Range]]


class ChangeReview:
    """The pending hunks of open documents, and the commands about them. Lives on the event loop."""

    def __init__(self, session: EditorSession) -> None:
        self._session = session
        self._known: dict[str, _Known] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._refreshing: asyncio.TimerHandle | None = None

    def register(self, server: HardenedServer) -> None:
        """Register the commands with the server."""

        @server.command(change_lenses.ACCEPT)
        async def accept(
            mission: str | None = None, file: str | None = None, hunk: str | None = None
        ) -> object:
            return await self.settle(mission, file, hunk, accept=True)

        @server.command(change_lenses.REJECT)
        async def reject(
            mission: str | None = None, file: str | None = None, hunk: str | None = None
        ) -> object:
            return await self.settle(mission, file, hunk, accept=False)

        @server.command(change_lenses.DIFF)
        async def diff(
            mission: str | None = None, file: str | None = None, hunk: str | None = None
        ) -> object:
            return await self.diff(mission, file, hunk)

        @server.command("/hunks")
        async def hunks(mission: str | None = None, file: str | None = None) -> object:
            return await self.hunks(mission, file)

    async def lenses(self, params: lsp.CodeLensParams) -> list[lsp.CodeLens]:
        """What can be done with each pending hunk of a document."""
        uri = params.text_document.uri
        known = await self._pending(uri)
        return change_lenses.lenses(known.hunks, uri) if known else []

    async def code_actions(self, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        """The same at a range."""
        uri = params.text_document.uri
        known = await self._pending(uri)
        if known is None:
            return []
        return list(change_lenses.code_actions(known.hunks, uri, params.range))

    def closed(self, uri: str) -> None:
        """A document was closed: forget it."""
        self._known.pop(uri, None)

    async def settle(
        self, mission: str | None, file: str | None, hunk: str | None, *, accept: bool
    ) -> object:
        """Accept or reject one hunk, all of a file, or all of a mission: by default the newest."""
        _, engine, path = await self._about(mission, file)
        if hunk is not None and not (mission and path):
            raise RequestError("to name a change, name its mission and its file, too")
        report = await engine.review.settle(
            accept=accept, mission_id=mission or "", path=path, hunk=hunk or ""
        )
        if report.unsettled:
            self._session.server.window_show_message(
                lsp.ShowMessageParams(
                    type=lsp.MessageType.Warning,
                    message=f"Orchestrator: not taken back: {'; '.join(report.unsettled)}",
                )
            )
        return wire(report)

    async def hunks(self, mission: str | None, file: str | None) -> object:
        """The pending hunks, each with the URI of its file and its range there."""
        folder, engine, path = await self._about(mission, file)
        found = await engine.review.pending(mission_id=mission or "", path=path)
        told: list[dict[str, Any]] = []
        lines: dict[str, LineIndex] = {}
        for hunk in found:
            row: dict[str, Any] = wire(hunk)
            del row["start"], row["end"]  # in characters, not in the editor's units
            if hunk.kind != "delete":
                if hunk.path not in lines:
                    text, _ = await engine.review.standing(hunk.path)
                    lines[hunk.path] = self._lines(text)
                row["range"] = change_lenses.where(hunk, lines[hunk.path])
            told.append({**row, "uri": folder.uri(hunk.path)})
        return told

    async def diff(self, mission: str | None, file: str | None, hunk: str | None) -> object:
        """Show pending hunks as a diff."""
        _, engine, path = await self._about(mission, file)
        text = await engine.review.diff(mission_id=mission or "", path=path, hunk=hunk or "")
        await self._session.diffs.show(path or f"mission {mission or ''}", text)
        return {"diff": text}

    async def _about(
        self, mission: str | None, file: str | None
    ) -> tuple[Folder, Orchestrator, str]:
        """The folder, its engine and the path that a command is about."""
        if file is not None and ":" in file and (place := self._session.place(file)) is not None:
            return place[0], await place[0].orchestrator(), place[1]
        folder = self._session.folder()
        if mission is not None:
            for each in self._session.folders.values():
                engine = each.opened
                if engine is not None and await engine.review.pending(mission_id=mission):
                    folder = each
                    break
        return folder, await folder.orchestrator(), file or ""

    async def _pending(self, uri: str) -> _Known | None:
        """The hunks of an open document as it is now; None where there cannot be any."""
        place = self._session.place(uri)
        if place is None or place[0].settings.review == "off":
            return None
        try:
            engine = await place[0].orchestrator()
        except OrchestratorError:
            return None  # told to whoever runs a command
        engine.review.on_changed = self._changed
        if not engine.review.concerns(place[1]):
            return None
        for _ in range(_LOOKS):
            document = self._session.server.workspace.text_documents.get(unquote(uri))
            if document is None:
                return None
            known = self._known.get(uri)
            if known and known.generation == engine.review.generation:
                text = document.source
                if known.text is text or known.text == text:
                    return known
            if (looking := self._looking.get(uri)) is None:
                looking = asyncio.ensure_future(self._look(uri, engine, place[1]))
                self._looking[uri] = looking
                looking.add_done_callback(lambda _: self._looking.pop(uri, None))
            await asyncio.shield(looking)
        return None

    async def _look(self, uri: str, engine: Orchestrator, path: str) -> None:
        generation = engine.review.generation
        try:
            text, hunks = await engine.review.standing(path)
        except OrchestratorError as error:
            log.warning("what missions changed in %s is not known: %s", path, error)
            text, hunks = self._session.server.workspace.get_text_document(uri).source, []
        places = await asyncio.to_thread(self._placed, text, hunks)
        self._known[uri] = _Known(text, generation, places)

    def _placed(self, text: str, hunks: list[PendingHunk]) -> list[tuple[PendingHunk, lsp.Range]]:
        lines = self._lines(text) if hunks else None
        return [(hunk, change_lenses.where(hunk, lines)) for hunk in hunks if lines]

    def _lines(self, text: str) -> LineIndex:
        encoding = self._session.server.workspace.position_encoding
        return LineIndex(text, encoding or lsp.PositionEncodingKind.Utf16)

    def _changed(self) -> None:
        """Something was settled, undone, or done: lenses may be others now."""
        if self._refreshing is None:
            loop = asyncio.get_running_loop()
            self._refreshing = loop.call_later(_REFRESH_S, self._refresh)

    def _refresh(self) -> None:
        self._refreshing = None
        workspace = self._session.server.client_capabilities.workspace
        if workspace and workspace.code_lens and workspace.code_lens.refresh_support:
            self._session.server.workspace_code_lens_refresh(None)
