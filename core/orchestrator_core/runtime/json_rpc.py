"""JSON-RPC messages as child processes send them, whatever frames them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from orchestrator_core.errors import ToolError, ToolRejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.runtime.future import Future

T = TypeVar("T")

METHOD_NOT_FOUND = -32601


class RpcError(Struct, frozen=True):
    """The error of an answer."""

    code: int
    message: str
    data: Any = None


class Message(Struct, frozen=True):
    """A request, a notification or an answer.

    ``params`` and ``result`` are not decoded yet, and valid only while the message is handled.
    """

    id: int | str | None = None
    method: str | None = None
    params: Raw = msgspec.field(default_factory=Raw)
    result: Raw = msgspec.field(default_factory=Raw)
    error: RpcError | None = None


def settle(future: Future[T], answer: Message, decode: Callable[[Raw], T], name: str) -> None:
    """End a future with the answer to its request; decoding happens here.

    Args:
        future: gets the result; ToolRejected for an error, ToolError for an unexpected form.
        answer: what came.
        decode: makes the result of it.
        name: of the request, for messages.
    """
    if (error := answer.error) is not None:
        future.set_exception(ToolRejected(error.message, error.code, error.data))
        return
    try:
        future.set_result(decode(answer.result))
    except ToolError as error:
        future.set_exception(error)
    except msgspec.DecodeError as error:
        future.set_exception(ToolError(f"{name} answered in a form that was not expected: {error}"))
