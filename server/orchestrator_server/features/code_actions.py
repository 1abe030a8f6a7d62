"""Code actions: what the features offer at a place, in the shape that the client can take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from lsprotocol import types as lsp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orchestrator_server.server import HardenedServer

    Offer = Callable[[lsp.CodeActionParams], Awaitable[Sequence[lsp.CodeAction]]]

KINDS = (lsp.CodeActionKind.QuickFix, lsp.CodeActionKind.Refactor)


class CodeActions:
    """Answers ``textDocument/codeAction`` with what each feature offers. Lives on the event loop.

    Features offer actions as if every client could take all; what this client cannot take is
    left out here. An action whose kind was not asked for (``only``) is left out, too.
    """

    def __init__(self, server: HardenedServer) -> None:
        self._server = server
        self._offers: list[Offer] = []

    def add(self, offer: Offer) -> None:
        """Ask this feature, too; what was added first is shown first."""
        self._offers.append(offer)

    def register(self) -> None:
        """Register the request with the server."""
        options = lsp.CodeActionOptions(code_action_kinds=list(KINDS))

        @self._server.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, options)
        async def handler(
            params: lsp.CodeActionParams,
        ) -> list[lsp.CodeAction | lsp.Command]:
            return await self.answer(params)

    async def answer(self, params: lsp.CodeActionParams) -> list[lsp.CodeAction | lsp.Command]:
        """What is offered at a range."""
        document = self._server.client_capabilities.text_document
        able = document.code_action if document else None
        found: list[lsp.CodeAction | lsp.Command] = []
        for offer in self._offers:
            for action in await offer(params):
                fitting = fitted(action, able) if wanted(action, params.context.only) else None
                if fitting is not None:
                    found.append(fitting)
        return found


def wanted(action: lsp.CodeAction, only: Sequence[str] | None) -> bool:
    """Whether an action is of a kind that was asked for: any, or one at or below those named."""
    if not only:
        return True
    kind = action.kind
    return kind is not None and any(
        asked in ("", kind) or kind.startswith(f"{asked}.") for asked in only
    )


def fitted(
    action: lsp.CodeAction, able: lsp.CodeActionClientCapabilities | None
) -> lsp.CodeAction | lsp.Command | None:
    """An action without what the client has not said it can take.

    Returns:
        None where too little is left: a disabled action would look like one that can be run.
    """
    if action.disabled is not None and not (able and able.disabled_support):
        return None
    if able is None or able.code_action_literal_support is None:
        return action.command if action.edit is None else None
    return attrs.evolve(
        action,
        is_preferred=action.is_preferred if able.is_preferred_support else None,
        data=action.data if able.data_support else None,
        tags=action.tags if able.tag_support else None,
    )
