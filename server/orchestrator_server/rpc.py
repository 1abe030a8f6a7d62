"""JSON-RPC over the wire, mended: every request that can be answered is, exactly once.

The numbers are those of the list in ``protocol``; what the server sends is in ``outgoing``.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from lsprotocol import types
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
from pygls.protocol import LanguageServerProtocol

from orchestrator_core.errors import OrchestratorError
from orchestrator_server.frames import BadFrame, Message
from orchestrator_server.invocation import ExitRequested, Invoker
from orchestrator_server.outgoing import JSONRPC, Outgoing, call_back
from orchestrator_server.structure import InvalidParams, structure

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from concurrent.futures import Future, ThreadPoolExecutor

    from cattrs import Converter

    MessageId = str | int
    JsonObject = dict[str, Any]

logger = logging.getLogger(__name__)

_REQUEST_FAILED = -32803
_CANCEL_ANSWER_S = 0.3


class Phase(enum.Enum):
    """How far the conversation with the client has come."""

    NEW = enum.auto()
    INITIALIZING = enum.auto()
    RUNNING = enum.auto()
    SHUT_DOWN = enum.auto()


class MendedRpc(LanguageServerProtocol):
    """Requests, notifications and answers, in both directions, for one client.

    Everything runs on the event loop, but for ``notify`` and ``send_request``, which any
    thread may call.
    """

    def __init__(self, server: Any, converter: Converter) -> None:
        self.phase = Phase.NEW
        self.invoker = Invoker(lambda: cast("ThreadPoolExecutor", server.thread_pool))
        super().__init__(server, converter)
        self.outgoing = Outgoing(converter)
        self._running: dict[MessageId, asyncio.Future[Any]] = {}

    # -- from the client ---------------------------------------------------------------

    def receive(self, frame: Message | BadFrame) -> None:
        """Handle one frame. Each message runs in a context of its own."""
        if isinstance(frame, BadFrame):
            logger.warning("a frame was dropped: %s", frame.reason)
            self._reject(None, JsonRpcParseError(f"Parse Error: {frame.reason}"))
        elif isinstance(frame.value, dict):
            contextvars.copy_context().run(self._route, cast("JsonObject", frame.value))
        else:
            what = "a batch" if isinstance(frame.value, list) else "no object"
            self._reject(None, JsonRpcInvalidRequest(f"Invalid Request: the message is {what}"))

    def _route(self, message: JsonObject) -> None:
        """Tell requests, notifications and answers apart (mends 5 and 6)."""
        message_id: Any = message.get("id")
        method = message.get("method")
        valid_id = type(message_id) is str or type(message_id) is int
        if message.get("jsonrpc") != JSONRPC:
            problem = f"jsonrpc is not {JSONRPC!r}"
        elif "method" not in message and ("result" in message or "error" in message):
            self.outgoing.take_answer(message_id, message)
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
            result = self.invoker.invoke(handler, (self._structure_params(method, params),))
        except (Exception, SystemExit) as error:  # noqa: BLE001 (every request is answered)
            self._fail(message_id, error)
            return
        if isinstance(result, asyncio.Future):
            future = cast("asyncio.Future[Any]", result)
            self._running[message_id] = future
            future.add_done_callback(partial(self._finish, message_id))
        else:
            self._answer(message_id, result)

    def _refusal(self, message_id: MessageId, method: str) -> JsonRpcException | None:
        """Why a request cannot be taken in this phase (mends 12)."""
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
            handler = self._get_handler(method)
            result = self.invoker.invoke(handler, (self._structure_params(method, params),))
        except JsonRpcMethodNotFound:
            logger.debug("ignored %s: nobody handles it", method)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (nobody else would hear of it)
            self._log_failure(method, error)
        else:
            if isinstance(result, asyncio.Future):
                future = cast("asyncio.Future[Any]", result)
                future.add_done_callback(partial(self._finish_notification, method))

    def _structure_params(self, method: str, params: object) -> Any:
        """Typed params for the LSP's methods, plain JSON values for all others (mends 6, 7)."""
        known = types.METHOD_TO_TYPES.get(method)
        if known is None or known[2] is None:
            return params
        return structure(self._converter, {} if params is None else params, known[2])

    def _cancel_running(self, message_id: MessageId) -> None:
        """Cancel a request; it is answered when it has ended, and in any case soon (mends 1)."""
        future = self._running.get(message_id)
        if future is not None:
            future.cancel()
            asyncio.get_running_loop().call_later(
                _CANCEL_ANSWER_S, self._answer_cancelled, message_id, future
            )

    # -- answers to the client ---------------------------------------------------------

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

    def _answer_cancelled(self, message_id: MessageId, future: asyncio.Future[Any]) -> None:
        if self._running.get(message_id) is future:
            del self._running[message_id]
            self._reject(message_id, JsonRpcRequestCancelled())

    def _finish_notification(self, method: str, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self._log_failure(method, error)

    def _answer(self, message_id: MessageId, result: object) -> None:
        try:
            self.outgoing.post({"id": message_id, "result": result})
        except Exception as error:  # noqa: BLE001 (a result without a JSON form)
            self._fail(message_id, error)

    def _reject(self, message_id: MessageId | None, error: JsonRpcException) -> None:
        answer: JsonObject = {"code": error.code, "message": error.message}
        if error.data is not None:
            answer["data"] = error.data
        self.outgoing.post({"id": message_id, "error": answer})

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
        if isinstance(error, SystemExit | ExitRequested):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            self.end(f"a handler asked to exit with {code}", exit_code=code)
        elif isinstance(error, InvalidParams):
            logger.warning("ignored %s: %s", what, error)
        else:
            logger.error("%s failed", what, exc_info=error)

    def end(self, reason: str, *, exit_code: int | None = None) -> None:
        """Begin to end the server."""
        raise NotImplementedError

    # -- to the client -----------------------------------------------------------------

    def notify(self, method: str, params: Any = None, *, key: Hashable | None = None) -> None:
        """Send a notification; never blocks, and may be called from any thread.

        While the client does not read, a queued notification with the same method and key is
        replaced, and once too much is queued, further ones are dropped.

        Args:
            method: the notification's method.
            params: its params: attrs objects, msgspec Structs, or what JSON knows.
            key: what it is the latest word on. Diagnostics and progress reports have theirs.

        Raises:
            TypeError, ValueError: the params have no JSON form.
        """
        self.outgoing.notify(method, params, key=key)

    def send_request(
        self,
        method: str,
        params: Any = None,
        callback: Callable[[Any], None] | None = None,
        msg_id: MessageId | None = None,
    ) -> Future[Any]:
        """Send a request to the client, from any thread.

        Cancelling the future, or a task that awaits it, sends ``$/cancelRequest`` (mends 13);
        what is kept for the request is forgotten when it is done (mends 4).

        Raises:
            ConnectionError: by the future, when the client cannot be written to.
        """
        message_id = None if msg_id is None else str(msg_id)
        future = self.outgoing.request(method, params, self.get_result_type(method), message_id)
        if callback is not None:
            future.add_done_callback(partial(call_back, callback))
        return future

    def get_message_type(self, method: str) -> type[Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride] (there a cached function)
        """The message class of a method, without stock's cache, which keeps protocols alive."""
        return types.METHOD_TO_TYPES.get(method, (None,))[0]

    def get_result_type(self, method: str) -> type[Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride] (there a cached function)
        """The class of the answer to a method."""
        return types.METHOD_TO_TYPES.get(method, (None, None))[1]
