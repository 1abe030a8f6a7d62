"""What can be had done from any source file: a diagnostic fixed, a TODO done, a task on a selection.

Editors ask with every move of the cursor. An answer is made from the open document's text and
from what is known of the backends already; it reads no file and calls no tool.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from lsprotocol import types as lsp
from msgspec import Struct

from orchestrator_server.text_document import OpenDocument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orchestrator_server.editor_session import EditorSession
    from orchestrator_server.features.plan_file import PlanFiles
    from orchestrator_server.features.source_tasks import Spot
    from orchestrator_server.folder import Folder

SOURCE = "orchestrator"
CHECK = "check lint"
"""The one check whose findings are about files as they are, with ruff's rules."""
_MOST = 20
_FRESH_S = 5.0
_TITLE = 60
_RULE = re.compile(r"[A-Z]{1,5}[0-9]{3,4}")
_PYTHON = (".py", ".pyi")


class _Model(Struct, frozen=True):
    """Why a folder's missions have no model for what no verb understands; empty if they have."""

    lacking: str
    seen_at: float


class SourceActions:
    """Offers tasks in source files. Lives on the event loop."""

    def __init__(self, session: EditorSession, plans: PlanFiles) -> None:
        self._session = session
        self._plans = plans
        self._models: dict[Path, _Model] = {}
        self._looking: dict[Path, asyncio.Task[_Model]] = {}

    async def code_actions(self, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        """What is offered at a range of an open document of a folder."""
        uri = params.text_document.uri
        place = self._session.place(uri)
        document = self._session.server.workspace.text_documents.get(unquote(uri))
        if place is None or not isinstance(document, OpenDocument) or self._plans.place(uri):
            return []
        folder, path = place
        return list(_actions(params, path, document, folder.root, await self._model(folder)))

    async def _model(self, folder: Folder) -> _Model:
        """As it was some seconds ago at most, when asked again and again."""
        known = self._models.get(folder.root)
        if known is not None and time.monotonic() - known.seen_at < _FRESH_S:
            return known
        looking = self._looking.get(folder.root)
        if looking is None:
            looking = asyncio.ensure_future(self._look(folder))
            self._looking[folder.root] = looking
            looking.add_done_callback(lambda _: self._looking.pop(folder.root, None))
        return known or await asyncio.shield(looking)

    async def _look(self, folder: Folder) -> _Model:
        lacking = await (await folder.orchestrator()).plans.lacking_model()
        found = _Model(f"it needs a model: {lacking}" if lacking else "", time.monotonic())
        self._models[folder.root] = found
        return found


def _actions(
    params: lsp.CodeActionParams, path: str, document: OpenDocument, root: Path, model: _Model
) -> Iterator[lsp.CodeAction]:
    from orchestrator_server.features import source_tasks  # noqa: PLC0415 - after initialize

    where, folder = params.range, root.as_uri()

    def action(title: str, text: str, *, backend: str = "", **details: Any) -> lsp.CodeAction:
        if model.lacking and source_tasks.needs_model(text):
            return lsp.CodeAction(title, disabled=lsp.CodeActionDisabled(model.lacking), **details)
        options = {"folder": folder} | ({"backend": backend} if backend else {})
        return lsp.CodeAction(
            title, command=lsp.Command(title, "/task", arguments=[text, options]), **details
        )

    for found in _distinct(params.context.diagnostics):
        if found.source == SOURCE and found.code != CHECK:
            continue  # that is not in the file: see `shown_finding`
        tied: dict[str, Any] = {"kind": lsp.CodeActionKind.QuickFix, "diagnostics": [found]}
        rule, safe = _rule(found, path)
        if rule and safe is not False:
            shown = source_tasks.one_line(found.message, _TITLE)
            title = f"Fix with orchestrator ({rule} in this file): {shown}"
            text = source_tasks.fix_rule(path, rule)
            yield action(title, text, backend="builtin", is_preferred=safe, **tied)
        if not rule or not safe:
            told, spot = _told(found), _spot(path, found.range)
            title = f"Fix with orchestrator: {source_tasks.one_line(told, _TITLE)}"
            yield action(title, source_tasks.fix_finding(spot, told, found.source or ""), **tied)
    comment = source_tasks.todo_at(document.index, where.start.line)
    if comment is not None:
        spot = source_tasks.Spot(path, where.start.line + 1, where.start.line + 1)
        text = source_tasks.do_comment(spot, comment)
        shown = source_tasks.one_line(comment, _TITLE)
        title = f"Do this TODO with orchestrator: {shown}"
        yield action(title, text, kind=lsp.CodeActionKind.QuickFix)
    if where.start != where.end:
        spot = _spot(path, where)
        at = {"uri": document.uri, "firstLine": spot.first, "lastLine": spot.last}
        title = "Run a task here…"
        command = lsp.Command(title, "/task", arguments=[None, {"folder": folder, "at": at}])
        yield lsp.CodeAction(title, kind=lsp.CodeActionKind.Refactor, command=command)


def _distinct(found: Sequence[lsp.Diagnostic]) -> list[lsp.Diagnostic]:
    """The first so many that do not say the same of the same place."""
    seen: dict[object, lsp.Diagnostic] = {}
    for each in found:
        start = each.range.start
        seen.setdefault((start.line, start.character, each.code, each.message), each)
    return list(seen.values())[:_MOST]


def _told(found: lsp.Diagnostic) -> str:
    """What a diagnostic says, behind its code."""
    code = "" if found.code is None or str(found.code) in found.message else f"{found.code} "
    return f"{code}{found.message}"


def _rule(found: lsp.Diagnostic, path: str) -> tuple[str, bool | None]:
    """Ruff's rule of a diagnostic, and whether there is a safe fix, if that is known."""
    source, code = (found.source or "").lower(), str(found.code or "")
    if source == SOURCE:
        code = found.message.partition(" ")[0]
    elif source != "ruff":
        return "", None
    if not _RULE.fullmatch(code) or not path.endswith(_PYTHON):
        return "", None
    if not isinstance(found.data, dict):
        return code, None  # the editor keeps nothing of what ruff sent along
    return code, cast("dict[str, object]", found.data).get("is_preferred") is True


def _spot(path: str, where: lsp.Range) -> Spot:
    from orchestrator_server.features.source_tasks import Spot  # noqa: PLC0415 - after initialize

    whole_line = where.end.character == 0 and where.end.line > where.start.line
    return Spot(path, where.start.line + 1, where.end.line + (0 if whole_line else 1))
