"""The protocol layer of pygls, mended.

Every override says which defect of pygls 2.1.1 it mends, by its number in the list below, so
that it can go when upstream is mended. ``tests/server/test_protocol.py`` has a test for each
that fails on stock pygls.

1. ``$/cancelRequest`` on a command answered while the handler kept running.
2. ``shutdown`` while a command ran failed, because a dict changed during iteration.
3. The exit code was always 0.
4. Futures, progress tokens and result types were never forgotten.
5. Invalid params or malformed JSON got no answer.
6. A nested dict with a key ``jsonrpc`` was taken for a message.
7. Untyped params became a namedtuple class per dict.
12. There was no lifecycle: anything was accepted before ``initialize`` and after ``shutdown``.
13. A cancelled request to the client raised on the late answer, and sent no cancel.
15. ``workspace/textDocumentContent`` was left out of the server's capabilities.
16. SystemExit in a handler left the server unresponsive.

8, 9, 10, 17, 18 and 19 are mended by ``transport``, ``frames`` and ``lifecycle``, 11 by
``text_document``, 14 by the command line and 20 by ``orchestrator_core.runtime``.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
import inspect
import itertools
import json
import logging
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from orchestrator_core.errors import OrchestratorError
from pygls.capabilities import ServerCapabilitiesBuilder
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcMethodNotFound,
    JsonRpcParseError,
    JsonRpcRequestCancelled,
    JsonRpcServerNotInitialized,
)
from pygls.feature_manager import is_thread_function
from pygls.progress import Progress
from pygls.protocol import LanguageServerProtocol, lsp_method
from pygls.uris import from_fs_path

from orchestrator_server.arguments import bind_arguments
from orchestrator_server.frames import BadFrame, Message, encode_frame
from orchestrator_server.structure import InvalidParams, serialize, structure
from orchestrator_server.text_document import OpenWorkspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Hashable

    from cattrs import Converter

    from orchestrator_server.server import HardenedServer
    from orchestrator_server.transport import WireWriter

    MessageId = str | int

logger = logging.getLogger(__name__)

_REQUEST_FAILED = -32803
_CANCEL_ANSWER_S = 0.3
_SHUTDOWN_ANSWER_S = 1.0

_work_done_token: contextvars.ContextVar[types.ProgressToken | None] = contextvars.ContextVar(
    "work_done_token", default=None
)


def current_work_done_token() -> types.ProgressToken | None:
    """The token that the client sent with the command that runs in this context, if any."""
    return _work_done_token.get()


class Phase(enum.Enum):
    """How far the conversation with the client has come."""

    NEW = enum.auto()
    INITIALIZING = enum.auto()
    RUNNING = enum.auto()
    SHUT_DOWN = enum.auto()


class ForgettingProgress(Progress):
    """Work-done progress that forgets a token at its end (mends 4)."""

    def end(self, token: types.ProgressToken, value: types.WorkDoneProgressEnd) -> None:
        """Tell the client that the work has ended, and forget the token."""
        super().end(token, value)
        self.tokens.pop(token, None)


class HardenedProtocol(LanguageServerProtocol):
    """JSON-RPC and the LSP's lifecycle, for one client, on one event loop.

    Everything runs on the loop, but for ``notify`` and ``send_request``, which any thread may
    call.
    """

    _server: HardenedServer
    progress: ForgettingProgress

    def __init__(self, server: HardenedServer, converter: Converter) -> None:
        self.phase = Phase.NEW
        super().__init__(server, converter)
        self.progress = ForgettingProgress(self)
        self._wire: WireWriter | None = None
        self._encode = json.JSONEncoder(
            default=partial(serialize, converter), separators=(",", ":"), allow_nan=False
        ).encode
        self._request_ids = itertools.count(1)
        self._running: dict[MessageId, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Future[Any]] = set()

    @property
    def shut_down(self) -> bool:
        """Whether the client has sent ``shutdown``."""
        return self.phase is Phase.SHUT_DOWN

    # -- receiving ---------------------------------------------------------------------

    def receive(self, frame: Message | BadFrame) -> None:
        """Handle one frame. Each message runs in a context of its own."""
        if isinstance(frame, BadFrame):
            logger.warning("a frame was dropped: %s", frame.reason)
            self._reject(None, JsonRpcParseError(f"Parse Error: {frame.reason}"))
        elif isinstance(frame.value, dict):
            contextvars.copy_context().run(self._route, frame.value)
        else:
            what = "a batch" if isinstance(frame.value, list) else "no object"
            self._reject(None, JsonRpcInvalidRequest(f"Invalid Request: the message is {what}"))

    def _route(self, message: dict[str, Any]) -> None:
        """Tell requests, notifications and answers apart (mends 5 and 6)."""
        message_id = message.get("id")
        method = message.get("method")
        valid_id = type(message_id) is str or type(message_id) is int
        if message.get("jsonrpc") != self.VERSION:
            problem = f"jsonrpc is not {self.VERSION!r}"
        elif "method" not in message and ("result" in message or "error" in message):
            self._take_answer(message_id, message)
            return
        elif type(method) is not str:
            problem = "the message has no method"
        elif "id" not in message:
            self._take_notification(method, message.get("params"))
            return
        elif not valid_id:
            problem = "the id is neither a string nor an integer"
        else:
            self._take_request(message_id, method, message.get("params"))
            return
        self._reject(
            message_id if valid_id else None, JsonRpcInvalidRequest(f"Invalid Request: {problem}")
        )

    def _take_request(self, message_id: MessageId, method: str, params: object) -> None:
        """Run a request's handler, and see to it that exactly one answer is sent (mends 5)."""
        if (refusal := self._refusal(message_id, method)) is not None:
            self._reject(message_id, refusal)
            return
        self._ctx_msg_id.set(message_id)
        try:
            handler = self._get_handler(method)
            result = self._invoke(handler, (self._structure_params(method, params),), {})
        except (Exception, SystemExit) as error:  # noqa: BLE001 (every request is answered)
            self._fail(message_id, error)
            return
        if isinstance(result, asyncio.Future):
            self._running[message_id] = result
            result.add_done_callback(partial(self._finish, message_id))
        else:
            self._answer(message_id, result)

    def _refusal(self, message_id: MessageId, method: str) -> JsonRpcException | None:
        """Why the request cannot be taken in this phase (mends 12)."""
        if self.phase is Phase.SHUT_DOWN:
            return JsonRpcInvalidRequest("Invalid Request: the server has been shut down")
        if method == types.INITIALIZE:
            if self.phase is not Phase.NEW:
                return JsonRpcInvalidRequest("Invalid Request: initialize was sent already")
        elif self.phase is not Phase.RUNNING:
            return JsonRpcServerNotInitialized("the server has not been initialized")
        if message_id in self._running:
            return JsonRpcInvalidRequest(f"Invalid Request: id {message_id!r} is in use")
        return None

    def _take_notification(self, method: str, params: object) -> None:
        """Run a notification's handler; what goes wrong is logged, for nobody awaits it."""
        if self.phase is not Phase.RUNNING and method != types.EXIT:
            logger.debug("ignored %s: the server is not running", method)
            return
        try:
            if method == types.CANCEL_REQUEST:
                self._cancel_running(self._structure_params(method, params).id)
                return
            result = self._invoke(
                self._get_handler(method), (self._structure_params(method, params),), {}
            )
        except JsonRpcMethodNotFound:
            logger.debug("ignored %s: nobody handles it", method)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (nobody else would hear of it)
            self._log_failure(method, error)
        else:
            if isinstance(result, asyncio.Future):
                result.add_done_callback(partial(self._finish_notification, method))

    def _structure_params(self, method: str, params: object) -> Any:
        """Typed params for the LSP's methods, plain JSON values for all others (mends 6, 7)."""
        known = types.METHOD_TO_TYPES.get(method)
        if known is None or known[2] is None:
            return params
        return structure(self._converter, {} if params is None else params, known[2])

    def _take_answer(self, message_id: Any, message: dict[str, Any]) -> None:
        """Resolve a request to the client; one that was cancelled is gone (mends 4 and 13)."""
        if type(message_id) is not str or message_id not in self._request_futures:
            logger.debug("ignored an answer to %r: nobody awaits it", message_id)
            return
        future = self._request_futures[message_id]
        try:
            if message.get("error") is not None:
                future.set_exception(_client_error(message["error"]))
                return
            try:
                future.set_result(self._structure_result(message_id, message))
            except InvalidParams as error:
                future.set_exception(error)
        except InvalidStateError:
            logger.debug("ignored the answer to %r: it was cancelled", message_id)

    def _structure_result(self, message_id: str, message: dict[str, Any]) -> Any:
        type_ = self._result_types.get(message_id)
        if type_ is None:
            return message.get("result")
        return structure(self._converter, message, type_).result

    # -- running handlers --------------------------------------------------------------

    def _invoke(
        self, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call a handler of any kind.

        Returns:
            The result of one that is done; of any other, the future that cancels it, too
            (mends 1). Futures are forgotten when they are done (mends 4).
        """
        if is_thread_function(handler):
            run = contextvars.copy_context().run
            work = self._server.thread_pool.submit(run, handler, *args, **kwargs)
            return self._track(asyncio.wrap_future(work))
        result = handler(*args, **kwargs)
        if inspect.isgenerator(result):
            return self._drive(result)
        if inspect.iscoroutine(result):
            return self._track(asyncio.ensure_future(self._contain(result)))
        return result

    def _drive(self, steps: Generator[Any, Any, Any]) -> Any:
        """Run a builtin handler, which yields the handlers to call; as far as it can be, at once.

        A document's changes are thus in place before the next message is looked at.
        """
        value = None
        while True:
            try:
                handler, args, kwargs = steps.send(value)
            except StopIteration as stop:
                return stop.value
            value = self._invoke(handler, tuple(args or ()), kwargs or {})
            if isinstance(value, asyncio.Future):
                return self._track(asyncio.ensure_future(self._drive_on(steps, value)))

    async def _drive_on(
        self, steps: Generator[Any, Any, Any], pending: asyncio.Future[Any]
    ) -> object:
        while True:
            value = await pending
            try:
                handler, args, kwargs = steps.send(value)
            except StopIteration as stop:
                return stop.value
            value = self._invoke(handler, tuple(args or ()), kwargs or {})
            if not isinstance(value, asyncio.Future):
                pending = asyncio.get_running_loop().create_future()
                pending.set_result(value)
            else:
                pending = value

    async def _contain(self, awaitable: Awaitable[Any]) -> Any:
        """Keep SystemExit from tearing down the loop; `_fail` ends the server (mends 16)."""
        try:
            return await awaitable
        except SystemExit as error:
            raise _ExitRequested(error.code) from error

    def _track(self, future: asyncio.Future[Any]) -> asyncio.Future[Any]:
        self._tasks.add(future)
        future.add_done_callback(self._tasks.discard)
        return future

    def _cancel_running(self, message_id: MessageId) -> None:
        """Cancel a request, answer it when it has ended, and in any case soon (mends 1)."""
        future = self._running.get(message_id)
        if future is None:
            return
        future.cancel()
        asyncio.get_running_loop().call_later(
            _CANCEL_ANSWER_S, self._answer_cancelled, message_id, future
        )

    def _answer_cancelled(self, message_id: MessageId, future: asyncio.Future[Any]) -> None:
        if self._running.get(message_id) is future:
            del self._running[message_id]
            self._reject(message_id, JsonRpcRequestCancelled())

    async def cancel_all(self, timeout_s: float) -> bool:
        """Cancel all that runs or awaits the client; True when it has ended within the time."""
        pending = {future for future in self._tasks if future is not asyncio.current_task()}
        for future in pending:
            future.cancel()
        for request in list(self._request_futures.values()):
            request.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=timeout_s)
        return not pending

    # -- answering ---------------------------------------------------------------------

    def _finish(self, message_id: MessageId, future: asyncio.Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        if self._running.get(message_id) is not future:
            return  # its cancellation was answered while it was still ending
        del self._running[message_id]
        if future.cancelled():
            self._reject(message_id, JsonRpcRequestCancelled())
        elif error is not None:
            self._fail(message_id, error)
        else:
            self._answer(message_id, future.result())

    def _finish_notification(self, method: str, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self._log_failure(method, error)

    def _answer(self, message_id: MessageId, result: object) -> None:
        try:
            self._post({"jsonrpc": self.VERSION, "id": message_id, "result": result})
        except Exception as error:  # noqa: BLE001 (a result without a JSON form)
            self._fail(message_id, error)

    def _reject(self, message_id: MessageId | None, error: JsonRpcException) -> None:
        answer: dict[str, Any] = {"code": error.code, "message": error.message}
        if error.data is not None:
            answer["data"] = error.data
        self._post({"jsonrpc": self.VERSION, "id": message_id, "error": answer})

    def _fail(self, message_id: MessageId, error: BaseException) -> None:
        """Answer with what went wrong; an unexpected error leaves its traceback in the log."""
        if isinstance(error, JsonRpcException):
            self._reject(message_id, error)
        elif isinstance(error, InvalidParams):
            self._reject(message_id, JsonRpcInvalidParams(f"Invalid Params: {error}"))
        elif isinstance(error, OrchestratorError):
            self._reject(message_id, JsonRpcException(str(error), code=_REQUEST_FAILED))
        else:
            self._log_failure(f"request {message_id!r}", error)
            text = f"Internal Error: {type(error).__name__}: {error}"
            self._reject(message_id, JsonRpcInternalError(text))

    def _log_failure(self, what: str, error: BaseException) -> None:
        if isinstance(error, SystemExit | _ExitRequested):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            self._server.end(f"a handler asked to exit with {code}", exit_code=code)
        elif isinstance(error, InvalidParams):
            logger.warning("ignored %s: %s", what, error)
        else:
            logger.error("%s failed", what, exc_info=error)

    # -- sending -----------------------------------------------------------------------

    def attach(self, wire: WireWriter) -> None:
        """Send through this writer from now on."""
        self._wire = wire
        self.set_writer(wire)

    def _send_data(self, data: Any) -> None:
        self._post(data)

    def _post(
        self, message: object, *, key: Hashable | None = None, droppable: bool = False
    ) -> bool:
        if self._wire is None:
            return False
        frame = encode_frame(self._encode(message).encode("ascii"))
        return self._wire.send(frame, key=key, droppable=droppable)

    def notify(self, method: str, params: object = None, *, key: Hashable | None = None) -> None:
        """Send a notification; never blocks, and may be called from any thread.

        While the client does not read, a queued notification with the same method and key is
        replaced, and once too much is queued, further ones are dropped.

        Args:
            method: the notification's method.
            params: its params; anything that `serialize` or JSON knows.
            key: what it is the latest word on. Diagnostics and progress reports have theirs.
        """
        if key is None:
            key = _natural_key(params)
        message = {"jsonrpc": self.VERSION, "method": method}
        if params is not None:
            message["params"] = params  # pyright: ignore[reportArgumentType]
        self._post(message, key=None if key is None else (method, key), droppable=True)

    def send_request(
        self,
        method: str,
        params: object = None,
        callback: Callable[[Any], None] | None = None,
        msg_id: MessageId | None = None,
    ) -> Future[Any]:
        """Send a request to the client, from any thread.

        Cancelling the future, or a task that awaits it, sends ``$/cancelRequest`` (mends 13);
        what is kept for the request is forgotten when it is done (mends 4).

        Raises:
            ConnectionError: by the future, when the client cannot be written to.
        """
        message_id = str(msg_id) if msg_id is not None else f"server-{next(self._request_ids)}"
        future: Future[Any] = Future()
        self._request_futures[message_id] = future
        self._result_types[message_id] = self.get_result_type(method)
        future.add_done_callback(partial(self._forget_request, message_id))
        if callback is not None:
            future.add_done_callback(partial(_call_back, callback))
        message = {"jsonrpc": self.VERSION, "id": message_id, "method": method}
        if params is not None:
            message["params"] = params  # pyright: ignore[reportArgumentType]
        try:
            if not self._post(message):
                raise ConnectionError(f"{method} was not sent: the client is gone")
        except Exception as error:  # noqa: BLE001 (it is raised where the answer is awaited)
            future.set_exception(error)
        return future

    def _forget_request(self, message_id: str, future: Future[Any]) -> None:
        self._request_futures.pop(message_id, None)
        self._result_types.pop(message_id, None)
        if future.cancelled():
            self.notify(types.CANCEL_REQUEST, {"id": message_id})

    def get_message_type(self, method: str) -> type[Any] | None:
        """The message class of a method (uncached: stock's cache keeps every protocol alive)."""
        return types.METHOD_TO_TYPES.get(method, (None,))[0]

    def get_result_type(self, method: str) -> type[Any] | None:
        """The class of the answer to a method."""
        return types.METHOD_TO_TYPES.get(method, (None, None))[1]

    # -- the LSP's own methods ---------------------------------------------------------

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
            self._workspace = _open_workspace(params, self._server, encoding)
            if (handler := self.fm.features.get(types.INITIALIZE)) is not None:
                yield handler, (params,), None
            self.server_capabilities = self._build_capabilities(encoding)
        except BaseException:
            self.phase = Phase.NEW
            raise
        self.phase = Phase.RUNNING
        self._server.process_id = params.process_id
        if params.process_id is not None:
            self._server.watch_editor(params.process_id)
        return types.InitializeResult(self.server_capabilities, self.server_info)

    def _build_capabilities(self, encoding: types.PositionEncodingKind | str) -> Any:
        capabilities = ServerCapabilitiesBuilder(
            self.client_capabilities,
            {*self.fm.features, *self.fm.builtin_features},
            self.fm.feature_options,
            list(self.fm.commands),
            self._server.text_document_sync_kind,
            self._server.notebook_document_sync,
            encoding,
        ).build()
        content = self.fm.feature_options.get(types.WORKSPACE_TEXT_DOCUMENT_CONTENT)
        if content is not None:
            capabilities.workspace = capabilities.workspace or types.WorkspaceOptions()
            capabilities.workspace.text_document_content = content
        return capabilities

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: object) -> Generator[Any, Any, None]:
        """Cancel what runs and release what is held (mends 2).

        It is answered when that is done, but after a second at the latest, because editors
        wait about two; ``exit`` then waits for the rest.
        """
        self.phase = Phase.SHUT_DOWN
        self._shutdown = True
        if (handler := self.fm.features.get(types.SHUTDOWN)) is not None:
            yield handler, args, None
        for message_id, future in list(self._running.items()):
            if message_id != self.msg_id:
                future.cancel()
        yield self._server.release, ("shutdown", _SHUTDOWN_ANSWER_S), None

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: object) -> Generator[Any, Any, None]:
        """End the server: 0 after ``shutdown``, else 1 (mends 3)."""
        if (handler := self.fm.features.get(types.EXIT)) is not None:
            yield handler, args, None
        self._server.end("exit", exit_code=0 if self.phase is Phase.SHUT_DOWN else 1)

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    def lsp_workspace__execute_command(self, params: types.ExecuteCommandParams) -> Any:
        """Run a command; the returned future is the handler's own (mends 1)."""
        if (handler := self.fm.commands.get(params.command)) is None:
            raise InvalidParams(f"there is no command {params.command!r}")
        arguments = bind_arguments(handler, params.arguments, self._converter)
        _work_done_token.set(params.work_done_token)
        return self._invoke(handler, arguments, {})


class _ExitRequested(Exception):
    """Carries a SystemExit out of a task: as itself it would tear down the loop."""

    def __init__(self, code: object) -> None:
        super().__init__(f"the server is exiting with {code!r}")
        self.code = code


def _open_workspace(
    params: types.InitializeParams,
    server: HardenedServer,
    encoding: types.PositionEncodingKind | str,
) -> OpenWorkspace:
    root_uri = params.root_uri
    if root_uri is None and params.root_path is not None:
        root_uri = from_fs_path(params.root_path)
    folders = list(params.workspace_folders or ())
    return OpenWorkspace(root_uri, server.text_document_sync_kind, folders, encoding)


def _natural_key(params: object) -> Hashable | None:
    """What a standard notification is the latest word on, where only the latest word counts."""
    if isinstance(params, types.PublishDiagnosticsParams):
        return params.uri
    if isinstance(params, types.ProgressParams) and isinstance(
        params.value, types.WorkDoneProgressReport
    ):
        return params.token
    return None


def _client_error(error: Any) -> JsonRpcException:
    if not isinstance(error, dict):
        return JsonRpcException(str(error))
    code, message = error.get("code"), error.get("message")
    return JsonRpcException.from_error(
        types.ResponseError(
            code=code if isinstance(code, int) else JsonRpcException.CODE,
            message=str(message),
            data=error.get("data"),
        )
    )


def _call_back(callback: Callable[[Any], None], future: Future[Any]) -> None:
    if future.cancelled():
        return
    if (error := future.exception()) is not None:
        logger.warning("the client refused a request: %s", error)
        return
    callback(future.result())
