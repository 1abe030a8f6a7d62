"""The protocol layer of pygls, mended.

Every override says which defect of pygls 2.1.1 it mends, by its number in the list below, so
that it can go when upstream is mended. ``tests/server/test_defects.py`` has a test for each
that fails on stock pygls.

1.  ``$/cancelRequest`` on a command was answered while its handler kept running.
2.  ``shutdown`` while a command ran failed: a dict changed during iteration.
3.  The exit code was always 0.
4.  Futures, progress tokens and result types were never forgotten.
5.  Invalid params or malformed JSON got no answer.
6.  A nested dict with a key ``jsonrpc`` was taken for a message.
7.  Untyped params became a namedtuple class per dict.
8.  The reader shared the thread pool of the handlers.
9.  The end of the input waited for threads; the editor's process was not watched.
10. Writes blocked the loop.
11. Lines were split at characters that end no line in the LSP.
12. There was no lifecycle: anything was accepted before ``initialize`` and after ``shutdown``.
13. A cancelled request to the client raised on the late answer, and sent no cancel.
14. The command line refused ``--stdio``.
15. ``workspace/textDocumentContent`` was left out of the server's capabilities.
16. SystemExit in a handler left the server unresponsive.
17. SIGTERM ended the process without any cleanup.
18. An enormous Content-Length ended the process.
19. A negative or non-numeric one left the next request without an answer.
20. A child process outlived the server.

1, 4 and 16 are mended in ``invocation``; 4 to 7, 12 and 13 in ``rpc``; 8 and 10 in
``transport``; 9 and 17 in ``lifecycle``; 11 in ``text_document``; 18 and 19 in ``frames``; 14
by the command line and 20 by ``orchestrator_core.runtime.process``; the rest here.
"""

from __future__ import annotations

import asyncio
import contextvars
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from lsprotocol import types
from pygls.capabilities import ServerCapabilitiesBuilder
from pygls.progress import Progress
from pygls.protocol import lsp_method
from pygls.uris import from_fs_path

from orchestrator_server.arguments import bind_arguments, parameters_of
from orchestrator_server.rpc import MendedRpc, Phase
from orchestrator_server.structure import InvalidParams
from orchestrator_server.text_document import OpenWorkspace

if TYPE_CHECKING:
    from collections.abc import Generator

    from cattrs import Converter

    from orchestrator_server.arguments import Parameters
    from orchestrator_server.invocation import Handler, Steps
    from orchestrator_server.server import HardenedServer

_SHUTDOWN_ANSWER_S = 1.0

_work_done_token: contextvars.ContextVar[types.ProgressToken | None] = contextvars.ContextVar(
    "work_done_token", default=None
)


def current_work_done_token() -> types.ProgressToken | None:
    """The token that the client sent with the command that runs in this context, if any."""
    return _work_done_token.get()


class ForgettingProgress(Progress):
    """Work-done progress that forgets a token at its end (mends 4)."""

    def end(self, token: types.ProgressToken, value: types.WorkDoneProgressEnd) -> None:
        """Tell the client that the work has ended, and forget the token."""
        super().end(token, value)
        self.tokens.pop(token, None)  # pyright: ignore[reportUnknownMemberType] (a bare Future)


class HardenedProtocol(MendedRpc):
    """The LSP's lifecycle and commands, for one client."""

    _server: HardenedServer  # pyright: ignore[reportIncompatibleVariableOverride] (narrower)

    def __init__(self, server: HardenedServer, converter: Converter) -> None:
        super().__init__(server, converter)
        self.progress = ForgettingProgress(self)
        self._parameters: dict[str, Parameters] = {}
        self._hides_errors = False

    @property
    def shut_down(self) -> bool:
        """Whether the client has sent ``shutdown``."""
        return self.phase is Phase.SHUT_DOWN

    @property
    def features(self) -> dict[str, Handler]:
        """The registered features."""
        return cast("dict[str, Handler]", self.fm.features)  # pyright: ignore[reportUnknownMemberType] (untyped in pygls)

    @property
    def commands(self) -> dict[str, Handler]:
        """The registered commands."""
        return cast("dict[str, Handler]", self.fm.commands)  # pyright: ignore[reportUnknownMemberType] (untyped in pygls)

    @property
    def feature_options(self) -> dict[str, Any]:
        """The options that features were registered with."""
        return cast("dict[str, Any]", self.fm.feature_options)  # pyright: ignore[reportUnknownMemberType] (untyped in pygls)

    def end(self, reason: str, *, exit_code: int | None = None) -> None:
        """Begin to end the server."""
        self._server.end(reason, exit_code=exit_code)

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(
        self, params: types.InitializeParams
    ) -> Generator[Any, Any, types.InitializeResult]:
        """Open the workspace and tell what the server can do (mends 9, 11, 12 and 15)."""
        self.phase = Phase.INITIALIZING
        try:
            self.client_capabilities = params.capabilities
            self.trace = params.trace or types.TraceValue.Off
            encoding = ServerCapabilitiesBuilder.choose_position_encoding(params.capabilities)
            sync_kind = _sync_kind(params.client_info)
            self._hides_errors = _is_helix(params.client_info)
            self._workspace = _open_workspace(params, sync_kind, encoding)
            if (handler := self.features.get(types.INITIALIZE)) is not None:
                yield handler, (params,), None
            self.server_capabilities = self._build_capabilities(sync_kind, encoding)
        except BaseException:
            self.phase = Phase.NEW
            raise
        self.phase = Phase.RUNNING
        self._server.initialized(params.process_id)
        return types.InitializeResult(self.server_capabilities, self.server_info)

    def _build_capabilities(
        self, sync_kind: types.TextDocumentSyncKind, encoding: types.PositionEncodingKind | str
    ) -> types.ServerCapabilities:
        capabilities = ServerCapabilitiesBuilder(
            self.client_capabilities,
            {*self.features, *cast("dict[str, Handler]", self.fm.builtin_features)},  # pyright: ignore[reportUnknownMemberType] (untyped in pygls)
            self.feature_options,
            list(self.commands),
            sync_kind,
            None,
            encoding,
        ).build()
        content = self.feature_options.get(types.WORKSPACE_TEXT_DOCUMENT_CONTENT)
        able = self.client_capabilities.workspace
        if content is not None and able is not None and able.text_document_content is not None:
            capabilities.workspace = capabilities.workspace or types.WorkspaceOptions()
            capabilities.workspace.text_document_content = content
        return capabilities

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: object) -> Steps:
        """Cancel what runs and release what is held (mends 2).

        It is answered when that is done, but after a second at the latest, because editors
        wait about two; ``exit`` then waits for the rest.
        """
        self.phase = Phase.SHUT_DOWN
        self._shutdown = True
        if (handler := self.features.get(types.SHUTDOWN)) is not None:
            yield handler, args, None
        for message_id, future in list(self._running.items()):
            if message_id != self.msg_id:
                future.cancel()
        yield self._server.release, ("shutdown", _SHUTDOWN_ANSWER_S), None

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: object) -> Steps:
        """End the server: 0 after ``shutdown``, else 1 (mends 3)."""
        if (handler := self.features.get(types.EXIT)) is not None:
            yield handler, args, None
        self.end("exit")

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    def lsp_workspace__execute_command(self, params: types.ExecuteCommandParams) -> Any:
        """Run a command; the returned future is the handler's own (mends 1)."""
        if (handler := self.commands.get(params.command)) is None:
            raise InvalidParams(f"there is no command {params.command!r}")
        if params.command not in self._parameters:
            self._parameters[params.command] = parameters_of(handler)
        parameters = self._parameters[params.command]
        arguments = bind_arguments(parameters, params.arguments, self._converter)
        _work_done_token.set(params.work_done_token)
        result = self.invoker.invoke(handler, arguments)
        if self._hides_errors and isinstance(result, asyncio.Future):
            running = cast("asyncio.Future[Any]", result)
            running.add_done_callback(partial(self._show_error, params.command))
        return cast("object", result)

    def _show_error(self, command: str, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            message = types.ShowMessageParams(types.MessageType.Error, f"{command}: {error}")
            self._server.window_show_message(message)


def _is_helix(client: types.ClientInfo | None) -> bool:
    """Whether it is Helix, which writes the errors of commands to its log alone."""
    return client is not None and client.name == "helix"


def _open_workspace(
    params: types.InitializeParams,
    sync_kind: types.TextDocumentSyncKind,
    encoding: types.PositionEncodingKind | str,
) -> OpenWorkspace:
    root_uri = params.root_uri
    if root_uri is None and params.root_path is not None:
        root_uri = from_fs_path(params.root_path)
    folders = list(params.workspace_folders or ())
    return OpenWorkspace(root_uri, sync_kind, folders, encoding)


def _sync_kind(client: types.ClientInfo | None) -> types.TextDocumentSyncKind:
    """How this client tells of changes.

    Helix sends each change in a task of its own, so that they overtake one another when keys come
    fast. From whole texts the newest is known; from edits no right text could be made.
    """
    kinds = types.TextDocumentSyncKind
    return kinds.Full if _is_helix(client) else kinds.Incremental
