"""A tool call on its way, and how its answer becomes a result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from orchestrator_core.decoding import decode
from orchestrator_core.errors import ToolRejected
from orchestrator_core.runtime.future import Future
from orchestrator_core.runtime.json_rpc import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.runtime.json_rpc import Message
    from orchestrator_core.runtime.tool_process import ToolProcess

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

    def finish(self, answer: Message) -> None:
        """End the future with the answer; decoding happens here."""
        settle(self.future, answer, self.decode, self.name)


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
