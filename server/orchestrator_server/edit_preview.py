"""Asking before an edit is made, for who has set ``orchestrator.review`` to ``before``.

An editor that knows change annotations shows the edit itself and lets the person choose from it
(VS Code's Refactor Preview). Any other is asked with ``window/showMessageRequest``, a terminal by
`terminal_questions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from orchestrator_core.errors import EditRefused
from orchestrator_core.workspace.unified import diff_of
from orchestrator_server.terminal_questions import DISCARDED, edit_question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.workspace.edits import Change
    from orchestrator_server.diff_view import DiffView
    from orchestrator_server.server import HardenedServer

APPLY, SHOW, DISCARD = "Apply", "Show diff", "Discard"


def annotates(capabilities: lsp.ClientCapabilities) -> bool:
    """Whether an editor lets the person look at an edit before it makes it."""
    edit = capabilities.workspace.workspace_edit if capabilities.workspace else None
    return bool(edit and edit.document_changes and edit.change_annotation_support)


def annotated(edit: lsp.WorkspaceEdit, label: str) -> lsp.WorkspaceEdit:
    """An edit of which each part asks for the person's consent."""
    steps: list[Any] = []
    for step in edit.document_changes or ():
        if isinstance(step, lsp.TextDocumentEdit):
            edits = [
                lsp.AnnotatedTextEdit(label, part.range, part.new_text)
                for part in step.edits
                if isinstance(part, lsp.TextEdit)
            ]
            steps.append(lsp.TextDocumentEdit(step.text_document, edits))
        else:
            steps.append(attrs.evolve(step, annotation_id=label))
    annotation = lsp.ChangeAnnotation(label, needs_confirmation=True)
    return lsp.WorkspaceEdit(document_changes=steps, change_annotations={label: annotation})


class EditorConsent:
    """Asks with ``window/showMessageRequest``. Lives on the event loop."""

    def __init__(self, server: HardenedServer, diffs: DiffView) -> None:
        self._server = server
        self._diffs = diffs

    async def ask(self, changes: Sequence[Change], label: str) -> None:
        """Ask until the person has decided.

        Raises:
            EditRefused: they do not want the changes, or cannot be asked.
        """
        while True:
            try:
                chosen = await self._server.window_show_message_request_async(
                    lsp.ShowMessageRequestParams(
                        type=lsp.MessageType.Info,
                        message=edit_question(changes, label),
                        actions=[lsp.MessageActionItem(each) for each in (APPLY, SHOW, DISCARD)],
                    )
                )
            except JsonRpcException as error:
                raise EditRefused(
                    'this editor cannot ask before an edit is made, as orchestrator.review = "before" '
                    f"wants it: {error.message}"
                ) from error
            if chosen is None or chosen.title == DISCARD:
                raise EditRefused(DISCARDED)
            if chosen.title == APPLY:
                return
            await self._diffs.show(label, diff_of(changes))
