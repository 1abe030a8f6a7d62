"""Edits as the editor sees them: ``workspace/applyEdit`` with document versions.

Everything that a mission changes goes through the editor, also files that it has not opened,
so that unsaved text is respected and the editor's own undo works. What the editor cannot do
(create, rename or delete files, in some) is done on disk.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from orchestrator_core.errors import EditRefused, StaleEdit
from orchestrator_core.workspace.edits import Change, TextEdit, diff_edits
from orchestrator_server.edit_preview import EditorConsent, annotated, annotates
from orchestrator_server.terminal_questions import DISCARDED
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.workspace.apply import Applier
    from orchestrator_core.workspace.documents import Workspace
    from orchestrator_server.diff_view import DiffView
    from orchestrator_server.server import HardenedServer

log = logging.getLogger(__name__)

SETTLE_S = 1.0
"""How long an editor may take to tell of its changed buffers after it applied an edit."""


class EditorApplier:
    """Applies changes through the editor. Lives on the event loop."""

    def __init__(
        self,
        server: HardenedServer,
        workspace: Workspace,
        disk: Applier,
        uri_of: Callable[[str], str],
        diffs: DiffView,
    ) -> None:
        self._server = server
        self._consent = EditorConsent(server, diffs)
        self._annotates = annotates(server.client_capabilities)
        self._workspace = workspace
        self._disk = disk
        self._uri = uri_of
        capabilities = server.client_capabilities.workspace
        self._can_apply = bool(capabilities and capabilities.apply_edit)
        support = capabilities.workspace_edit if capabilities else None
        self._versioned = bool(support and support.document_changes)
        self._operations = set((support.resource_operations or ()) if support else ())

    async def apply(self, changes: Sequence[Change], *, label: str, confirm: bool = False) -> None:
        """Have the editor make all changes; see :class:`~workspace.apply.Applier`.

        Cancelling it asks the editor to give up; comparing texts tells whether it did.
        """
        able = all(self._can_make(change) for change in changes)
        preview = confirm and able and self._annotates
        if confirm and changes and not preview:
            await self._consent.ask(changes, label)
        # Files are read in a thread; buffers are looked at last, just before the edit is sent.
        buffers = [c for c in changes if c.before is not None and c.before.version is not None]
        await asyncio.to_thread(self._verify, changes)
        self._verify(buffers)
        by_editor = [c for c in changes if able or (c.kind == "modify" and self._can_make(c))]
        taken = {id(change) for change in by_editor}
        on_disk = [change for change in changes if id(change) not in taken]
        await self._ask_editor(by_editor, label, preview=preview)
        await asyncio.to_thread(self._set_modes, by_editor)
        try:
            await self._disk.apply(on_disk, label=label)
        except BaseException:
            await self._ask_editor([self._inverse(change) for change in by_editor], label)
            raise

    async def _ask_editor(
        self, changes: Sequence[Change], label: str, *, preview: bool = False
    ) -> None:
        if not changes:
            return
        edit = self._workspace_edit(changes)
        if preview:
            edit = annotated(edit, label)
        try:
            result = await self._server.workspace_apply_edit_async(
                lsp.ApplyWorkspaceEditParams(edit=edit, label=label)
            )
            refusal = None if result.applied else result.failure_reason or "no reason given"
        except JsonRpcException as error:  # what some answer to an edit of an older version
            refusal = error.message
        if refusal is not None:
            # Where one was changed meanwhile, computing again may help.
            await asyncio.to_thread(self._verify, changes)
            if preview:
                raise EditRefused(f"{DISCARDED} ({refusal})")
            raise EditRefused(f"the editor did not apply the edit: {refusal}")
        settled = asyncio.Event()
        loop = asyncio.get_running_loop()
        waiting = {
            change.path: change.before.version
            for change in changes
            if change.before is not None and change.before.version is not None
        }

        def told(path: str) -> None:
            if path in waiting and self._workspace.version(path) != waiting[path]:
                del waiting[path]
                if not waiting:
                    loop.call_soon_threadsafe(settled.set)

        unsubscribe = self._workspace.subscribe(told)
        try:
            for change in () if preview else changes:  # of which perhaps not all was wanted
                self._note(change)
            for path in list(waiting):
                told(path)
            if waiting:
                # Until it tells, the noted text counts, so that running into the limit is
                # harmless; waiting only spares an edit against an old version.
                async with asyncio.timeout(SETTLE_S):
                    await settled.wait()
        except TimeoutError:
            pass
        finally:
            unsubscribe()

    def _set_modes(self, changes: Sequence[Change]) -> None:
        """Give files their permission bits: an editor knows none but the usual ones."""
        for change in changes:
            if change.mode is not None:
                path = change.new_path or change.path
                try:
                    self._workspace.locate(path).chmod(change.mode)
                except OSError as error:
                    log.warning("%s: its permission bits could not be set: %s", path, error)

    def _note(self, change: Change) -> None:
        if change.kind == "rename":
            self._workspace.note_applied(change.path, None)
            self._workspace.note_applied(change.new_path, change.after_text)
        elif self._workspace.version(change.path) == (
            change.before.version if change.before else None
        ):
            # Otherwise the editor has told of the new text already.
            self._workspace.note_applied(change.path, change.after_text)

    def _verify(self, changes: Sequence[Change]) -> None:
        for change in changes:
            now, then = self._workspace.find(change.path), change.before
            if (now and now.sha256) != (then and then.sha256):
                raise StaleEdit(change.path)

    def _can_make(self, change: Change) -> bool:
        if not self._can_apply:
            return False
        needed = {
            "create": lsp.ResourceOperationKind.Create,
            "delete": lsp.ResourceOperationKind.Delete,
            "rename": lsp.ResourceOperationKind.Rename,
        }.get(change.kind)
        return needed is None or (self._versioned and needed in self._operations)

    def _workspace_edit(self, changes: Sequence[Change]) -> lsp.WorkspaceEdit:
        if not self._versioned:
            edits = {self._uri(change.path): self._text_edits(change) for change in changes}
            return lsp.WorkspaceEdit(changes=edits)
        steps: list[lsp.TextDocumentEdit | lsp.CreateFile | lsp.RenameFile | lsp.DeleteFile] = []
        for change in changes:
            match change.kind:
                case "create":
                    steps.append(lsp.CreateFile(uri=self._uri(change.path)))
                    steps.append(self._document_edit(change.path, None, _whole(change)))
                case "delete":
                    steps.append(lsp.DeleteFile(uri=self._uri(change.path)))
                case "rename":
                    old, new = self._uri(change.path), self._uri(change.new_path)
                    steps.append(lsp.RenameFile(old_uri=old, new_uri=new))
                    if change.edits:
                        edits = self._text_edits(change)
                        steps.append(self._document_edit(change.new_path, None, edits))
                case "modify":
                    version = change.before.version if change.before else None
                    steps.append(
                        self._document_edit(change.path, version, self._text_edits(change))
                    )
        return lsp.WorkspaceEdit(document_changes=steps)

    def _document_edit(
        self, path: str, version: int | None, edits: Sequence[lsp.TextEdit]
    ) -> lsp.TextDocumentEdit:
        document = lsp.OptionalVersionedTextDocumentIdentifier(uri=self._uri(path), version=version)
        return lsp.TextDocumentEdit(text_document=document, edits=list(edits))

    def _text_edits(self, change: Change) -> list[lsp.TextEdit]:
        assert change.before is not None
        encoding = self._server.workspace.position_encoding or lsp.PositionEncodingKind.Utf16
        index = LineIndex(change.before.text, encoding)
        return [
            lsp.TextEdit(range=index.range(edit.start, edit.end), new_text=edit.new_text)
            for edit in _within_lines(change.before.text, change.edits)
        ]

    def _inverse(self, change: Change) -> Change:
        """What brings a modified file's text back."""
        assert change.before is not None
        now, text = self._workspace.read(change.path), change.before.text
        return Change(change.path, "modify", now, text, diff_edits(now.text, text), bom=now.bom)


def _within_lines(text: str, edits: Sequence[TextEdit]) -> Sequence[TextEdit]:
    """The same edits, with no insertion behind the last line end.

    Some editors know no place there, and would put the text at the end of the last line.
    """
    if not edits or not edits[-1].start == edits[-1].end == len(text):
        return edits
    line_end = "\r\n" if text.endswith("\r\n") else "\n"
    added, start = edits[-1].new_text, len(text) - len(line_end)
    if not (text.endswith(line_end) and added.endswith(line_end)):
        return edits
    if any(edit.end > start for edit in edits[:-1]):
        return edits
    return [*edits[:-1], TextEdit(start, start, line_end + added.removesuffix(line_end))]


def _whole(change: Change) -> list[lsp.TextEdit]:
    start = lsp.Position(0, 0)
    return [lsp.TextEdit(range=lsp.Range(start, start), new_text=change.after_text or "")]
