"""A conversation with a model, whoever provides it: what goes in, what comes out, what it costs.

An API, a local server and the editor's own model all answer to :class:`ChatModel`; the roles
know nothing else. One call is one turn: the whole conversation goes in, one reply comes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHARACTERS_A_TOKEN = 3.5
"""A cautious guess, for what must be known before the model's side has counted."""


class ToolSpec(Struct, frozen=True):
    """A tool that the model may call; ``schema`` is the JSON schema of its arguments."""

    name: str
    description: str
    schema: dict[str, Any]


class ToolCall(Struct, frozen=True):
    """A call that the model made; ``arguments`` is what it wrote, which may be no JSON at all."""

    id: str
    name: str
    arguments: str


class Usage(Struct, frozen=True):
    """What a turn cost, in tokens."""

    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def total(self) -> int:
        """Both."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens
        )


class Said(Struct, frozen=True, tag="user"):
    """What we say to the model."""

    text: str


class ToolResult(Struct, frozen=True):
    """The answer to one call."""

    call: ToolCall
    text: str
    failed: bool = False


class ToolResults(Struct, frozen=True, tag="tools"):
    """The answers to the calls of the reply before."""

    results: tuple[ToolResult, ...]


class Reply(Struct, frozen=True, tag="model"):
    """What the model answered.

    Attributes:
        usage: as the model's side counted it, or as estimated where it does not count.
        stop: why it ended; ``length`` means that it was cut off.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    stop: Literal["end", "length", "refused"] = "end"


Message = Said | ToolResults | Reply


class Prompt(Struct, frozen=True):
    """Everything that one turn sends.

    Attributes:
        system: who the model is and what the rules are.
        max_output_tokens: the reply is cut off there.
    """

    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_output_tokens: int = 4096


class ChatModel(Protocol):
    """A model that can be talked to. Safe to use for several conversations at once."""

    @property
    def name(self) -> str:
        """Provider and model, for limits and for people: ``openai:gpt-5``."""
        ...

    async def ready(self) -> None:
        """Do once what takes long: imports above all. Prices are known afterwards.

        Raises:
            AgentError: it cannot be used at all.
        """
        ...

    async def reply(self, prompt: Prompt, on_text: Callable[[str], None]) -> Reply:
        """One turn. Cancelling it ends the request at once.

        Args:
            prompt: what is sent.
            on_text: given the reply's text as it comes, piece by piece.

        Raises:
            ModelFault: it may go well if tried again.
            ContextOverflow: the prompt is too long for the model.
            AgentError: it will not go well: a wrong key, no such model, a rejected request.
        """
        ...

    def price_usd(self, usage: Usage) -> float:
        """What a turn of this size costs; 0 where it costs nothing, or nobody knows."""
        ...

    async def close(self) -> None:
        """Give up connections; idempotent."""
        ...


def estimate_tokens(prompt: Prompt) -> int:
    """About how many tokens a prompt has."""
    size = len(prompt.system) + sum(map(_size, prompt.messages))
    size += sum(len(tool.description) + len(str(tool.schema)) for tool in prompt.tools)
    return int(size / CHARACTERS_A_TOKEN) + 1


def estimate_reply(reply_text: str, calls: Sequence[ToolCall]) -> int:
    """About how many tokens a reply has."""
    size = len(reply_text) + sum(len(call.name) + len(call.arguments) for call in calls)
    return int(size / CHARACTERS_A_TOKEN) + 1


def _size(message: Message) -> int:
    match message:
        case Said(text):
            return len(text)
        case ToolResults(results):
            return sum(len(result.text) for result in results)
        case Reply(text, calls):
            return len(text) + sum(len(call.arguments) + len(call.name) for call in calls)
