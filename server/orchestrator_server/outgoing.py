"""What the server sends of its own accord: notifications, and requests with their answers.

The numbers are those of the list in ``protocol``.
"""

from __future__ import annotations

import itertools
import json
import logging
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from orchestrator_server.frames import encode_frame
from orchestrator_server.structure import InvalidParams, serialize, structure

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from cattrs import Converter

    JsonObject = dict[str, Any]

logger = logging.getLogger(__name__)

JSONRPC = "2.0"


class Sink(Protocol):
    """Takes whole frames without blocking, from any thread; the writer of ``transport``."""

    def send(self, data: bytes, *, key: Hashable | None = None, droppable: bool = False) -> bool:
        """Queue a frame; False when it will not be written."""
        ...


class Outgoing:
    """Encodes and sends, and keeps the requests that await the client's answer. Thread-safe.

    Args:
        converter: turns what is sent into JSON, and answers into structures.
    """

    def __init__(self, converter: Converter) -> None:
        self._converter = converter
        self._encode = json.JSONEncoder(
            default=partial(serialize, converter), separators=(",", ":"), allow_nan=False
        ).encode
        self._ids = itertools.count(1)
        self._awaited: dict[str, tuple[Future[Any], type[Any] | None]] = {}
        self.sink: Sink | None = None

    @property
    def awaited(self) -> int:
        """How many requests the client has not answered."""
        return len(self._awaited)

    def post(
        self, message: JsonObject, *, key: Hashable | None = None, droppable: bool = False
    ) -> bool:
        """Send a message; False when the client is gone or the message was dropped.

        Raises:
            TypeError, ValueError: it has no JSON form.
        """
        if self.sink is None:
            return False
        body = self._encode({"jsonrpc": JSONRPC, **message}).encode("ascii")
        return self.sink.send(encode_frame(body), key=key, droppable=droppable)

    def notify(self, method: str, params: Any = None, *, key: Hashable | None = None) -> None:
        """Send a notification; see `MendedRpc.notify`."""
        if key is None:
            key = _natural_key(params)
        message: JsonObject = {"method": method}
        if params is not None:
            message["params"] = params
        self.post(message, key=None if key is None else (method, key), droppable=True)

    def request(
        self,
        method: str,
        params: Any,
        answer_type: type[Any] | None,
        message_id: str | None = None,
    ) -> Future[Any]:
        """Send a request; see `MendedRpc.send_request`."""
        message_id = message_id or f"server-{next(self._ids)}"
        future: Future[Any] = Future()
        self._awaited[message_id] = (future, answer_type)
        future.add_done_callback(partial(self._forget, message_id))
        message: JsonObject = {"id": message_id, "method": method}
        if params is not None:
            message["params"] = params
        try:
            if not self.post(message):
                raise ConnectionError(f"{method} was not sent: the client is gone")
        except Exception as error:  # noqa: BLE001 (it is raised where the answer is awaited)
            future.set_exception(error)
        return future

    def take_answer(self, message_id: Any, message: JsonObject) -> None:
        """Resolve a request; the answer to one that was cancelled is ignored (mends 13)."""
        awaited = self._awaited.get(message_id) if type(message_id) is str else None
        if awaited is None:
            logger.debug("ignored an answer to %r: nobody awaits it", message_id)
            return
        future, answer_type = awaited
        try:
            if message.get("error") is not None:
                future.set_exception(_client_error(message["error"]))
            elif answer_type is None:
                future.set_result(message.get("result"))
            else:
                future.set_result(structure(self._converter, message, answer_type).result)
        except InvalidParams as error:
            future.set_exception(error)
        except InvalidStateError:
            logger.debug("ignored the answer to %r: it was cancelled", message_id)

    def cancel_requests(self) -> None:
        """Give up all requests that await the client."""
        for future, _ in list(self._awaited.values()):
            future.cancel()

    def _forget(self, message_id: str, future: Future[Any]) -> None:
        """Keep nothing of a request that is done (mends 4); pass on a cancellation (mends 13)."""
        self._awaited.pop(message_id, None)
        if future.cancelled():
            self.notify(types.CANCEL_REQUEST, {"id": message_id})


def call_back(callback: Callable[[Any], None], future: Future[Any]) -> None:
    """Hand a request's result to a callback; a refusal is logged."""
    if future.cancelled():
        return
    if (error := future.exception()) is not None:
        logger.warning("the client refused a request: %s", error)
        return
    callback(future.result())


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
    fields = cast("JsonObject", error)
    code: Any = fields.get("code")
    return JsonRpcException.from_error(
        types.ResponseError(
            code=code if type(code) is int else JsonRpcException.CODE,
            message=str(fields.get("message")),
            data=fields.get("data"),
        )
    )
