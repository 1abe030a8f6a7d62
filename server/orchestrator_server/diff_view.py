"""Showing a diff: as a document where the editor can open one, as a message elsewhere."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from orchestrator_server.show import show

if TYPE_CHECKING:
    from orchestrator_server.server import HardenedServer

_MESSAGE_CHARACTERS = 2_000


class DiffView:
    """Diffs of one session, in temporary files that are gone after it. Lives on the event loop."""

    def __init__(self, server: HardenedServer) -> None:
        self._server = server
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def show(self, title: str, text: str) -> None:
        """Show a diff; one of the same title is replaced."""
        window = self._server.client_capabilities.window
        if window and window.show_document and window.show_document.support:
            file = await asyncio.to_thread(self._write, title, text)
            if await show(self._server, file.as_uri()):
                return
        if len(text) > _MESSAGE_CHARACTERS:
            text = f"{text[:_MESSAGE_CHARACTERS]}\n… ({len(text)} characters in all)"
        self._server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Info, text))

    def close(self) -> None:
        """Remove the files. Repeating it does nothing."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _write(self, title: str, text: str) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="orchestrator-")
        name = re.sub(r"[^\w.-]+", "-", title)[:80].strip("-") or "changes"
        file = Path(self._folder.name, f"{name}.diff")
        file.write_text(text, "utf-8", "surrogatepass")
        return file
