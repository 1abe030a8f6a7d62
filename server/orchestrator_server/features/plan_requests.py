"""Registers what an editor can ask of a plan file; the answers are imported with the first request.

The initialize answer has to name what can be asked, and must not wait for more than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lsprotocol import types as lsp

if TYPE_CHECKING:
    from orchestrator_server.features.plan_file import PlanFiles
    from orchestrator_server.features.plan_language import PlanLanguage
    from orchestrator_server.server import HardenedServer

_TRIGGERS = ("|", ":", ",", " ", "/")

ANSWERS: dict[str, tuple[str, object]] = {
    lsp.TEXT_DOCUMENT_HOVER: ("hover", None),
    lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL: ("symbols", None),
    lsp.TEXT_DOCUMENT_FOLDING_RANGE: ("folds", None),
    lsp.TEXT_DOCUMENT_DEFINITION: ("definition", None),
    lsp.TEXT_DOCUMENT_REFERENCES: ("references", None),
    lsp.TEXT_DOCUMENT_PREPARE_RENAME: ("prepare_rename", None),
    lsp.TEXT_DOCUMENT_RENAME: ("rename", lsp.RenameOptions(prepare_provider=True)),
    lsp.TEXT_DOCUMENT_COMPLETION: (
        "complete",
        lsp.CompletionOptions(trigger_characters=list(_TRIGGERS)),
    ),
    lsp.TEXT_DOCUMENT_INLAY_HINT: ("hints", None),
}
"""Each request with the method of :class:`PlanLanguage` that answers it, and its options."""


class PlanRequests:
    """The plan language's requests. Lives on the event loop."""

    def __init__(self, server: HardenedServer, plans: PlanFiles) -> None:
        self._server = server
        self._plans = plans
        self._language: PlanLanguage | None = None

    def register(self) -> None:
        """Register every request with the server."""
        for method, (name, options) in ANSWERS.items():
            self._register(method, name, options)

    async def code_actions(self, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        """What can be done with the plan and its tasks at a range."""
        return await self._answers().code_actions(params)

    async def lenses(self, params: lsp.CodeLensParams) -> list[lsp.CodeLens]:
        """What can be done with the plan and its tasks, above their headings."""
        return await self._answers().lenses(params) or []

    def _register(self, method: str, name: str, options: object) -> None:
        @self._server.feature(method, options)
        async def handler(params: Any) -> object:  # pygls marks what it registers: no methods
            return await getattr(self._answers(), name)(params)

    def _answers(self) -> PlanLanguage:
        if self._language is None:
            from orchestrator_server.features.plan_language import (  # noqa: PLC0415 - see above
                PlanLanguage,
            )

            self._language = PlanLanguage(self._server, self._plans)
        return self._language
