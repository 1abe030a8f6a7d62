"""The language server: constructs it, registers every feature, serves standard input."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from lsprotocol import types as lsp

from orchestrator_core import __version__
from orchestrator_core.errors import WorkspaceError
from orchestrator_server.commands import Commands
from orchestrator_server.editor_session import EditorSession
from orchestrator_server.features.change_review import ChangeReview
from orchestrator_server.features.code_actions import CodeActions
from orchestrator_server.features.documents import Documents
from orchestrator_server.features.findings import Findings
from orchestrator_server.features.plan_file import PlanFiles
from orchestrator_server.features.plan_requests import PlanRequests
from orchestrator_server.features.source_actions import SourceActions
from orchestrator_server.lifecycle import kill_children, run
from orchestrator_server.log import PERSON, environment_log
from orchestrator_server.notifications import ClientListener, EditorLog
from orchestrator_server.progress import MissionProgressBars
from orchestrator_server.server import HardenedServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from orchestrator_core.events import AnyEvent
    from orchestrator_server.folder import Folder
    from orchestrator_server.log import ServerLog

NAME = "opencode-orchestrator"


def serve(arguments: Sequence[str]) -> int:
    """Serve one editor on standard input and output until it ends the session.

    Args:
        arguments: flags that editors append, such as ``--stdio``; all are accepted.

    Returns:
        The exit code: 0 after an orderly shutdown, 1 otherwise.
    """
    log = environment_log()
    if arguments:
        logging.getLogger(__name__).debug("flags: %s", arguments)
    server, session = build(log)

    async def on_shutdown(reason: str) -> None:
        await session.close(reason)

    try:
        return run(server, on_shutdown=on_shutdown, last_resort=kill_children)
    finally:
        log.close()


def build(log: ServerLog) -> tuple[HardenedServer, EditorSession]:
    """The server with all its features, not yet serving."""
    server = HardenedServer(NAME, __version__)
    log.add(EditorLog(server))
    bars = MissionProgressBars(server)
    session = EditorSession(
        server, log, lambda root: ClientListener(server, bars, root, partial(stepped, root))
    )
    commands = Commands(session, bars)
    plans = PlanFiles(session)
    findings = Findings(session, plans)

    def stepped(root: Path, event: AnyEvent) -> None:
        plans.stepped(event)
        findings.stepped(root, event)
        documents.stepped(event)

    documents = Documents(server, commands.engine_of, session.uri_of)
    commands.register(server)
    documents.register()
    requests = PlanRequests(server, plans)
    requests.register()
    review = ChangeReview(session)
    review.register(server)
    actions = CodeActions(server)
    actions.add(requests.code_actions)
    actions.add(findings.code_actions)
    actions.add(SourceActions(session, plans).code_actions)
    actions.add(review.code_actions)
    actions.register()
    _register_lifecycle(server, session, commands, plans, findings)
    _register_documents(server, session, plans, review, findings)

    @server.feature(lsp.TEXT_DOCUMENT_CODE_LENS)
    async def lenses(params: lsp.CodeLensParams) -> list[lsp.CodeLens]:
        return [*await requests.lenses(params), *await review.lenses(params)]

    @server.feature(lsp.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def cancel_progress(params: lsp.WorkDoneProgressCancelParams) -> None:
        if (mission := bars.mission_of(params.token)) is not None:
            session.stop(mission, "cancelled in the editor")

    @server.feature("orchestrator/lm.delta")
    def model_said(params: dict[str, Any]) -> None:
        session.hear_model(params)

    @server.feature("orchestrator/lm.offer")
    async def model_offered(params: dict[str, Any]) -> None:
        await session.offer_model(params)

    return server, session


def _register_lifecycle(
    server: HardenedServer,
    session: EditorSession,
    commands: Commands,
    plans: PlanFiles,
    findings: Findings,
) -> None:
    async def look(folders: Iterable[Folder]) -> None:
        for folder in folders:
            try:
                await plans.look(folder)
                await commands.offer_to_resume(folder)
            except WorkspaceError as error:
                logging.getLogger(PERSON).warning("%s", error)

    @server.feature(lsp.INITIALIZE)
    def initialize(params: lsp.InitializeParams) -> None:
        session.begin(params)

    @server.feature(lsp.INITIALIZED)
    async def initialized(_: lsp.InitializedParams) -> None:
        session.warm_up()
        await look(list(session.folders.values()))

    @server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def configured(params: lsp.DidChangeConfigurationParams) -> None:
        await session.reconfigure(params.settings)

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def folders_changed(params: lsp.DidChangeWorkspaceFoldersParams) -> None:
        opened = session.change_folders(params.event)
        findings.folders_changed()
        await look(opened)


def _register_documents(
    server: HardenedServer,
    session: EditorSession,
    plans: PlanFiles,
    review: ChangeReview,
    findings: Findings,
) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        session.tell(params.text_document.uri, opened=True)
        plans.changed(params.text_document.uri)
        findings.opened(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        session.tell(params.text_document.uri)
        plans.changed(params.text_document.uri)
        findings.changed(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    async def saved(params: lsp.DidSaveTextDocumentParams) -> None:
        await session.saved(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        session.forget(params.text_document.uri)
        plans.closed(params.text_document.uri)
        review.closed(params.text_document.uri)
