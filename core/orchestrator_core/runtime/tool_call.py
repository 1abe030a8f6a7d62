"""A tool call on its way, and how its answer becomes a result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from orchestrator_core.decoding import decode
from orchestrator_core.errors import ToolError, ToolRejected
from orchestrator_core.runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.runtime.tool_process import Message, ToolProcess

T = TypeVar("T")


class ToolInfo(Struct, frozen=True, rename="camel"):
    """A tool as the server lists it."""

    name: str
    description: str = ""
    input_schema: dict[str, Any] = {}


class _Content(Struct, frozen=True):
    text: str = ""


class _CallResult(Struct, frozen=True, rename="camel"):
    structured_content: Raw = msgspec.field(default_factory=Raw)
    content: tuple[_Content, ...] = ()
    is_error: bool = False


class _ToolList(Struct, frozen=True):
    tools: tuple[ToolInfo, ...]


class Call(Generic[T]):
    """A call on its way. ``process`` is ``None`` while it waits."""

    __slots__ = (
        "deadline",
        "decode",
        "future",
        "id",
        "line",
        "name",
        "process",
        "started",
        "timeout_s",
    )

    def __init__(
        self, name: str, line: bytes, call_id: int, timeout_s: float, decode: Callable[[Raw], T]
    ) -> None:
        self.name = name
        self.line = line
        self.id = call_id
        self.started = time.monotonic()
        self.timeout_s = timeout_s
        self.deadline = self.started + timeout_s
        self.decode = decode
        self.future: Future[T] = Future()
        self.process: ToolProcess | None = None

    def finish(self, message: Message) -> None:
        """End the future with the answer; decoding happens here."""
        if message.error is not None:
            error = message.error
            self.future.set_exception(ToolRejected(error.message, error.code, error.data))
            return
        try:
            self.future.set_result(self.decode(message.result))
        except ToolError as error:
            self.future.set_exception(error)
        except msgspec.DecodeError as error:
            self.future.set_exception(
                ToolError(f"{self.name} answered in a form that was not expected: {error}")
            )


def decode_result(result_type: type[T], raw: Raw) -> T:
    """What a tool returned, from the answer to ``tools/call``."""
    result = decode(raw, _CallResult)
    if result.is_error or not result.structured_content:
        text = " ".join(part.text for part in result.content)
        raise ToolRejected(text or "the tool answered without a result")
    return decode(result.structured_content, result_type)


def decode_tools(raw: Raw) -> tuple[ToolInfo, ...]:
    """The tools, from the answer to ``tools/list``."""
    return decode(raw, _ToolList).tools
