"""What the tests of the protocol layer ask of a server, whichever it is built on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from orchestrator_core.runtime.process import Child

if TYPE_CHECKING:
    from pygls.lsp.server import LanguageServer

MARKER = os.environ.get("PROBE_MARKER", "")


def mark(text: str) -> None:
    """Leave a word where the test finds it, even when nobody reads standard output."""
    if MARKER:
        with Path(MARKER).open("a") as file:
            file.write(text + "\n")


def register(server: LanguageServer, *, owned_children: bool) -> None:
    """Register the probes."""
    cancelled: list[str] = []
    release = threading.Event()
    kept: list[object] = []

    @server.command("/echo")
    def echo(*arguments: Any) -> list[Any]:
        return list(arguments)

    @server.command("/wait")
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("wait")
            mark("cancelled")
            raise

    @server.command("/cancelled")
    def count_cancelled() -> int:
        return len(cancelled)

    @server.command("/thread")
    @server.thread()
    def in_thread() -> bool:
        return release.wait(30)

    @server.command("/release")
    def release_threads() -> None:
        release.set()

    @server.command("/kept")
    def count_kept() -> int:
        protocol: Any = server.protocol
        tables = [protocol._request_futures, protocol._result_types, protocol.progress.tokens]
        if hasattr(protocol, "outgoing"):
            tables += [protocol._running, protocol.invoker._unfinished, protocol.outgoing._awaited]
        return sum(map(len, tables))

    @server.command("/progress")
    async def progress(token: str) -> None:
        await server.work_done_progress.create_async(token)
        server.work_done_progress.begin(token, types.WorkDoneProgressBegin(title=token))
        server.work_done_progress.end(token, types.WorkDoneProgressEnd())

    @server.command("/ask")
    async def ask() -> object:
        params = types.ShowMessageRequestParams(type=types.MessageType.Info, message="?")
        return await server.protocol.send_request_async("window/showMessageRequest", params)

    @server.command("/exit")
    async def leave(code: int) -> None:
        await asyncio.sleep(0)
        raise SystemExit(code)

    @server.command("/flood")
    async def flood(megabytes: int) -> None:
        text = "x" * 1_000_000
        for _ in range(megabytes):
            server.protocol.notify("probe/flood", {"text": text})
            await asyncio.sleep(0)
        mark("flooded")

    @server.command("/lines")
    def lines(uri: str) -> str:
        return server.workspace.get_text_document(uri).source

    @server.command("/child")
    def spawn() -> int:
        argv = ["sleep", "600"]
        if owned_children:
            child = Child(argv)
            kept.append(child)
            return child.pid
        process = subprocess.Popen(argv)
        kept.append(process)
        return process.pid

    @server.feature("probe/type")
    def type_of(params: Any) -> str:
        return type(params).__name__

    @server.feature(
        types.WORKSPACE_TEXT_DOCUMENT_CONTENT, types.TextDocumentContentOptions(schemes=["probe"])
    )
    def content(params: types.TextDocumentContentParams) -> types.TextDocumentContentResult:
        return types.TextDocumentContentResult(text=params.uri)
