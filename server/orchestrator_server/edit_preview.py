"""Asking before an edit is made, for who has set ``orchestrator.review`` to ``before``.

An editor that knows change annotations shows the edit itself and lets the person choose from it
(VS Code's Refactor Preview). Any other is asked with ``window/showMessageRequest``, a terminal with
a line; where nobody can be asked on a terminal, the edit is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

import attrs
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from orchestrator_core.errors import EditRefused
from orchestrator_core.workspace.unified import diff_of
from orchestrator_server.permission_question import typed_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console

    from orchestrator_core.workspace.apply import Applier
    from orchestrator_core.workspace.edits import Change
    from orchestrator_server.diff_view import DiffView
    from orchestrator_server.server import HardenedServer

APPLY, SHOW, DISCARD = "Apply", "Show diff", "Discard"
DISCARDED = "the edit was discarded by the person: nothing was changed"
_NAMED = 5


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


def question(changes: Sequence[Change], label: str) -> str:
    """What the person is asked."""
    names = [change.new_path or change.path for change in changes]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    files = "1 file" if len(names) == 1 else f"{len(names)} files"
    return f"{label} would change {files}: {', '.join(names[:_NAMED])}{more}"


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
                        message=question(changes, label),
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


class AskingApplier:
    """Asks on a terminal before task's edits are made, and has another applier make them.

    Args:
        applier: makes them.
        console: where the question is shown.
        stdin: where the answer is typed.
        paused: takes live output away for as long as the question stands.
    """

    def __init__(
        self,
        applier: Applier,
        console: Console,
        stdin: TextIO,
        paused: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._applier = applier
        self._console = console
        self._stdin = stdin
        self._paused = paused

    async def apply(self, changes: Sequence[Change], *, label: str, confirm: bool = False) -> None:
        """Ask, if that is wanted and somebody is there, and make the changes."""
        if confirm and changes and self._console.is_terminal and self._stdin.isatty():
            with self._paused():
                await self._ask(changes, label)
        await self._applier.apply(changes, label=label)

    async def _ask(self, changes: Sequence[Change], label: str) -> None:
        self._console.print(question(changes, label), style="yellow", markup=False)
        while True:
            self._console.print("apply? y = yes, d = show the diff, else no: ", end="")
            match (await typed_line(self._stdin)).strip().lower():
                case "y" | "yes":
                    return
                case "d" | "diff":
                    self._console.print(diff_of(changes), markup=False, highlight=False)
                case _:
                    raise EditRefused(DISCARDED)
