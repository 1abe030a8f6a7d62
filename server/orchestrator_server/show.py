"""Showing a document in the editor, where it can be told to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from orchestrator_server.server import HardenedServer

log = logging.getLogger(__name__)


async def show(server: HardenedServer, uri: str, selection: lsp.Range | None = None) -> bool:
    """Open a document, and select a range of it; False where the editor cannot."""
    window = server.client_capabilities.window
    if window is None or window.show_document is None or not window.show_document.support:
        return False
    params = lsp.ShowDocumentParams(uri=uri, take_focus=True, selection=selection)
    try:
        return (await server.window_show_document_async(params)).success
    except JsonRpcException as error:
        log.info("the editor does not show %s: %s", uri, error)
        return False
