"""The plan file as a language: what an editor can ask of it. See the modules beside this one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from orchestrator_core.errors import RequestError
from orchestrator_server.features import plan_actions, plan_completion, plan_hover, plan_outline
from orchestrator_server.features.plan_ids import PlanIds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator_core.mission.plan_document import PlanDocument
    from orchestrator_server.features.plan_actions import Action, Records
    from orchestrator_server.features.plan_file import PlanFiles
    from orchestrator_server.features.plan_ids import Named
    from orchestrator_server.folder import Folder
    from orchestrator_server.server import HardenedServer
    from orchestrator_server.text_document import LineIndex


class PlanLanguage:
    """Answers for plan files, and nothing for any other document. Lives on the event loop."""

    def __init__(self, server: HardenedServer, plans: PlanFiles) -> None:
        self._server = server
        self._plans = plans

    async def hover(self, params: lsp.HoverParams) -> lsp.Hover | None:
        """What became of the task at a position."""
        if (known := await self._document(params.text_document.uri)) is None:
            return None
        document, lines = known
        node = plan_hover.task_at(document, params.position.line + 1)
        if node is None:
            return None
        records = await self._plans.records(params.text_document.uri)
        text = plan_hover.described(node, records.get(node.id))
        return lsp.Hover(
            lsp.MarkupContent(lsp.MarkupKind.Markdown, text),
            lines.range(node.span.start, node.span.end),
        )

    async def symbols(self, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol] | None:
        """The outline."""
        known = await self._document(params.text_document.uri)
        return plan_outline.symbols(*known) if known else None

    async def folds(self, params: lsp.FoldingRangeParams) -> list[lsp.FoldingRange] | None:
        """The sections."""
        known = await self._document(params.text_document.uri)
        return plan_outline.folds(*known) if known else None

    async def definition(self, params: lsp.DefinitionParams) -> lsp.Location | None:
        """From an id in ``depends`` to where it is given; from there to the first change."""
        uri = params.text_document.uri
        known = await self._document(uri)
        if known is None or (found := self._named(known, params.position)) is None:
            return None
        ids, named = found
        given = ids.given.get(named.id)
        if given is None:
            return None
        if given.span == named.span:
            return await self._first_change(uri, named.id)
        return lsp.Location(uri, known[1].range(given.span.start, given.span.end))

    async def references(self, params: lsp.ReferenceParams) -> list[lsp.Location] | None:
        """Where the id at a position stands."""
        known = await self._document(params.text_document.uri)
        if known is None or (found := self._named(known, params.position)) is None:
            return None
        ids, named = found
        places = ids.places(named.id, with_given=params.context.include_declaration)
        ranges = [known[1].range(span.start, span.end) for span in places]
        return [lsp.Location(params.text_document.uri, each) for each in ranges]

    async def prepare_rename(self, params: lsp.PrepareRenameParams) -> lsp.Range | None:
        """The id at a position, if it can be renamed."""
        known = await self._document(params.text_document.uri)
        if known is None or (found := self._named(known, params.position)) is None:
            return None
        ids, named = found
        return known[1].range(named.span.start, named.span.end) if named.id in ids.given else None

    async def rename(self, params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        """Give an id another name, wherever it stands.

        Raises:
            RequestError: the name is taken, or no id.
        """
        known = await self._document(params.text_document.uri)
        if known is None or (found := self._named(known, params.position)) is None:
            raise RequestError("there is no id of a task, milestone or step here")
        ids, named = found
        ids.check_rename(named.id, params.new_name)
        edits = [
            lsp.TextEdit(known[1].range(span.start, span.end), params.new_name)
            for span in ids.places(named.id)
        ]
        return lsp.WorkspaceEdit(changes={params.text_document.uri: edits})

    async def complete(self, params: lsp.CompletionParams) -> lsp.CompletionList | None:
        """What can be written next; ids are those of the plan as it was read last."""
        uri = params.text_document.uri
        if (place := self._plans.place(uri)) is None or (text := self._plans.text(uri)) is None:
            return None
        lines = self._plans.lines(uri, text)
        offset = lines.offset(params.position)
        before = text[lines.line_start(lines.line_and_column(offset)[0]) : offset]
        if (what := plan_completion.asked(before)) is None:
            return None
        word = lines.range(offset - len(what.typed), offset)
        known = self._plans.known(uri) or await self._plans.document(uri)
        items = await asyncio.to_thread(
            plan_completion.complete,
            what,
            word,
            known,
            place[0].root,
            snippets=self._knows_snippets(),
        )
        more = what.kind in {"file", "files"} or len(items) >= plan_completion.MOST
        return lsp.CompletionList(is_incomplete=more, items=items)

    async def lenses(self, params: lsp.CodeLensParams) -> list[lsp.CodeLens] | None:
        """What can be done, above the headings."""
        found = await self._actions(params.text_document.uri)
        return plan_actions.lenses(*found) if found else None

    async def code_actions(self, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        """The same, for editors that show no lenses."""
        found = await self._actions(params.text_document.uri)
        return plan_actions.code_actions(*found, params.range) if found else []

    async def hints(self, params: lsp.InlayHintParams) -> list[lsp.InlayHint] | None:
        """State and time of each task."""
        if (known := await self._document(params.text_document.uri)) is None:
            return None
        records = await self._plans.records(params.text_document.uri)
        return plan_actions.hints(known[0], records, known[1], params.range)

    async def _document(self, uri: str) -> tuple[PlanDocument, LineIndex] | None:
        document = await self._plans.document(uri)
        return None if document is None else (document, self._plans.lines(uri, document.text))

    async def _actions(self, uri: str) -> tuple[Iterator[Action], LineIndex] | None:
        known, place = await self._document(uri), self._plans.place(uri)
        if known is None or place is None:
            return None
        records = await self._plans.records(uri)
        folder, path = place
        return self._actions_of(known[0], folder, path, records), known[1]

    def _actions_of(
        self, document: PlanDocument, folder: Folder, path: str, records: Records
    ) -> Iterator[Action]:
        options = {"folder": folder.root.as_uri()}
        return plan_actions.actions(document, path, records, options)

    def _named(
        self, known: tuple[PlanDocument, LineIndex], position: lsp.Position
    ) -> tuple[PlanIds, Named] | None:
        document, lines = known
        ids = PlanIds(document)
        named = ids.at(lines.offset(position))
        return None if named is None else (ids, named)

    async def _first_change(self, uri: str, task_id: str) -> lsp.Location | None:
        place = self._plans.place(uri)
        record = (await self._plans.records(uri)).get(task_id)
        if place is None or record is None:
            return None
        folder = place[0]
        engine = await folder.orchestrator()
        changed = await engine.records.first_change(record.mission, task_id)
        if changed is None:
            return None
        start = lsp.Position(changed.line - 1, 0)
        return lsp.Location(folder.uri(changed.path), lsp.Range(start, start))

    def _knows_snippets(self) -> bool:
        document = self._server.client_capabilities.text_document
        completion = document.completion if document else None
        item = completion.completion_item if completion else None
        return bool(item and item.snippet_support)
