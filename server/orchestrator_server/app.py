"""The language server: constructs it, registers every feature, serves standard input."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from orchestrator_core import __version__
from orchestrator_server.commands import Commands
from orchestrator_server.editor_session import EditorSession
from orchestrator_server.lifecycle import run
from orchestrator_server.notifications import ClientListener
from orchestrator_server.progress import MissionProgressBars
from orchestrator_server.server import HardenedServer

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "opencode-orchestrator"


def serve(arguments: Sequence[str]) -> int:
    """Serve one editor on standard input and output until it ends the session.

    Args:
        arguments: flags that editors append, such as ``--stdio``; all are accepted.

    Returns:
        The exit code: 0 after an orderly shutdown, 1 otherwise.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("pygls").setLevel(logging.WARNING)
    if arguments:
        logging.getLogger(__name__).debug("flags: %s", arguments)
    server, session = build()

    async def on_shutdown(reason: str) -> None:
        await session.close(reason)

    return run(server, on_shutdown=on_shutdown)


def build() -> tuple[HardenedServer, EditorSession]:
    """The server with all its features, not yet serving."""
    server = HardenedServer(NAME, __version__)
    bars = MissionProgressBars(server)
    session = EditorSession(server, ClientListener(server, bars))
    commands = Commands(session, bars)
    commands.register(server)
    _register_lifecycle(server, session, commands)
    _register_documents(server, session)

    @server.feature(lsp.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def cancel_progress(params: lsp.WorkDoneProgressCancelParams) -> None:
        mission = bars.mission_of(params.token)
        if mission is not None and session.opened is not None:
            session.opened.stop(mission, "cancelled in the editor")

    return server, session


def _register_lifecycle(server: HardenedServer, session: EditorSession, commands: Commands) -> None:
    @server.feature(lsp.INITIALIZE)
    def initialize(params: lsp.InitializeParams) -> None:
        session.begin(params)

    @server.feature(lsp.INITIALIZED)
    async def initialized(_: lsp.InitializedParams) -> None:
        session.warm_up()
        await commands.offer_to_resume()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def configured(params: lsp.DidChangeConfigurationParams) -> None:
        await session.reconfigure(params.settings)


def _register_documents(server: HardenedServer, session: EditorSession) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        session.tell(params.text_document.uri, opened=True)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        session.tell(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: lsp.DidSaveTextDocumentParams) -> None:
        path = session.relative(params.text_document.uri)
        if session.opened is not None and path is not None:
            session.opened.workspace.saved(path)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        session.forget(params.text_document.uri)
