"""Models behind an API: OpenAI, Anthropic, and whatever speaks OpenAI's protocol.

The wire formats are pydantic-ai's, from the extra ``llm``; the tool loop, retries and budgets are
ours (:mod:`~agents.conversation`), because the same ones serve the editor's model. This module
imports pydantic-ai, which takes seconds: it is itself imported only when a model is used.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import httpx2
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from pydantic_ai import exceptions as faults
from pydantic_ai import messages as wire
from pydantic_ai.direct import model_request_stream
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from orchestrator_core.agents.chat import (
    ChatModel,
    Message,
    Prompt,
    Reply,
    Said,
    ToolCall,
    ToolResults,
    Usage,
    estimate_reply,
    estimate_tokens,
)
from orchestrator_core.errors import AgentError, ContextOverflow, ModelFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import AsyncOpenAI
    from pydantic_ai.models import Model, StreamedResponse

CONNECT_S = 10.0


def connect(
    provider: str, model: str, *, api_key: str, base_url: str, silent_s: float
) -> ChatModel:
    """A model behind an API. Nothing is sent until the first turn.

    Args:
        provider: ``openai``, for all that speak its protocol, or ``anthropic``.
        model: the provider's name for it.
        api_key: may be empty for a local server.
        base_url: where the API is; empty for the provider's own.
        silent_s: a request that brings nothing for so long is given up.
    """
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells of every request
    # Each client of ours keeps its own connections, on the loop that it is used on.
    client = httpx2.AsyncClient(timeout=httpx2.Timeout(silent_s, connect=CONNECT_S))
    made: Model[Any]
    if provider == "anthropic":
        from anthropic import AsyncAnthropic  # noqa: PLC0415 - only the one that is used
        from pydantic_ai.models.anthropic import AnthropicModel  # noqa: PLC0415
        from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415

        talks = AsyncAnthropic(
            api_key=api_key, base_url=base_url or None, http_client=client, max_retries=0
        )
        made = AnthropicModel(model, provider=AnthropicProvider(anthropic_client=talks))
    else:
        from openai import AsyncOpenAI as Client  # noqa: PLC0415
        from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
        from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

        speaks = Client(
            api_key=api_key or "none",
            base_url=base_url or None,
            http_client=client,
            max_retries=0,  # who retries is the conversation, which knows budget and circuit
        )
        _send_as_given(speaks)
        made = OpenAIChatModel(model, provider=OpenAIProvider(openai_client=speaks))
    return ApiModel(f"{provider}:{model}", made, client, silent_s, free=bool(base_url))


def _send_as_given(client: AsyncOpenAI) -> None:
    """Have a client send messages and tools as they are.

    It would look for keys to rename in every message and schema, of which there are none in a
    chat: that took half of a turn's time, and more with every turn.
    """
    create: Any = client.chat.completions.create

    def lean(
        *, messages: object, tools: object, extra_body: dict[str, Any] | None = None, **rest: Any
    ) -> Any:
        body: dict[str, Any] = {"messages": messages}
        if isinstance(tools, list):
            body["tools"] = tools
        return create(messages=[], extra_body=body | (extra_body or {}), **rest)

    client.chat.completions.create = lean  # pyright: ignore[reportAttributeAccessIssue]


class ApiModel:
    """One model of an API. See :class:`~agents.chat.ChatModel`."""

    def __init__(
        self,
        name: str,
        model: Model[Any],
        client: httpx2.AsyncClient,
        silent_s: float,
        *,
        free: bool,
    ) -> None:
        self.name = name
        self._free = free
        self._model = model
        self._client = client
        self._silent_s = silent_s

    async def ready(self) -> None:
        """It is, once this module is imported."""

    async def reply(self, prompt: Prompt, on_text: Callable[[str], None]) -> Reply:
        """One turn; see :meth:`~agents.chat.ChatModel.reply`."""
        try:
            return await self._reply(prompt, on_text)
        except faults.ModelContextWindowExceededError as error:
            raise ContextOverflow(f"{self.name}: the conversation is too long for it") from error
        except (
            faults.ModelRateLimitError,
            faults.ModelUnavailableError,
            faults.ModelServerError,
            faults.ModelConnectionError,
        ) as error:
            raise ModelFault(f"{self.name}: {_short(error)}", error.retry_after) from error
        except (httpx2.TransportError, faults.UnexpectedModelBehavior) as error:
            # A stream that is cut off, or that says nothing that makes sense.
            raise ModelFault(f"{self.name}: {_short(error)}") from error
        except TimeoutError as error:
            silence = f"{self.name}: nothing came for {self._silent_s:g} s"
            raise ModelFault(silence) from error
        except faults.ModelHTTPError as error:
            if error.status_code in (408, 409, 425, 429) or error.status_code >= 500:
                raise ModelFault(f"{self.name}: {_short(error)}", error.retry_after) from error
            raise AgentError(f"{self.name}: {_short(error)}{_advice(error)}") from error
        except (faults.AgentRunError, faults.UserError) as error:
            raise AgentError(f"{self.name}: {_short(error)}") from error

    def price_usd(self, usage: Usage) -> float:
        """What a turn of this size costs by the list prices; 0 for a server of one's own."""
        if self._free:
            return 0.0
        provider, model = self.name.split(":", 1)
        counted = PricedUsage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
        try:
            return float(calc_price(counted, model, provider_id=provider).total_price)
        except LookupError:
            return 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _reply(self, prompt: Prompt, on_text: Callable[[str], None]) -> Reply:
        settings = ModelSettings(max_tokens=prompt.max_output_tokens)
        parameters = ModelRequestParameters(
            function_tools=[
                ToolDefinition(
                    name=tool.name,
                    description=tool.description,
                    parameters_json_schema=tool.schema,
                    strict=False,
                )
                for tool in prompt.tools
            ]
        )
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._silent_s) as silence:
            async with model_request_stream(
                self._model,
                _on_the_wire(prompt),
                model_settings=settings,
                model_request_parameters=parameters,
            ) as stream:
                async for event in stream:
                    silence.reschedule(loop.time() + self._silent_s)
                    if text := _text_of(event):
                        on_text(text)
                return _reply_of(stream, prompt)


def _on_the_wire(prompt: Prompt) -> list[wire.ModelMessage]:
    messages: list[wire.ModelMessage] = [_wire_message(message) for message in prompt.messages]
    for message in messages:
        if isinstance(message, wire.ModelRequest):
            message.instructions = prompt.system
    return messages


def _wire_message(message: Message) -> wire.ModelMessage:
    match message:
        case Said(text):
            return wire.ModelRequest(parts=[wire.UserPromptPart(text)])
        case ToolResults(results):
            return wire.ModelRequest(
                parts=[
                    wire.ToolReturnPart(
                        tool_name=r.call.name, content=r.text, tool_call_id=r.call.id
                    )
                    for r in results
                ]
            )
        case Reply(text, calls):
            parts: list[wire.ModelResponsePart] = [wire.TextPart(text)] if text else []
            parts += [
                wire.ToolCallPart(tool_name=c.name, args=c.arguments, tool_call_id=c.id)
                for c in calls
            ]
            return wire.ModelResponse(parts=parts)


def _text_of(event: object) -> str:
    """The new text that an event of a stream brings, if any."""
    match event:
        case wire.PartStartEvent(part=wire.TextPart(content=content)):
            return content
        case wire.PartDeltaEvent(delta=wire.TextPartDelta(content_delta=content)):
            return content
        case _:
            return ""


def _reply_of(stream: StreamedResponse, prompt: Prompt) -> Reply:
    response = stream.get()
    text = "".join(part.content for part in response.parts if isinstance(part, wire.TextPart))
    calls = tuple(
        ToolCall(part.tool_call_id, part.tool_name, _as_written(part))
        for part in response.parts
        if isinstance(part, wire.ToolCallPart)
    )
    counted = response.usage
    usage = Usage(
        counted.input_tokens or estimate_tokens(prompt),
        counted.output_tokens or estimate_reply(text, calls),
    )
    match response.finish_reason:
        case "length":
            stop = "length"
        case "content_filter":
            stop = "refused"
        case _:
            stop = "end"
    return Reply(text, calls, usage, stop)


def _as_written(part: wire.ToolCallPart) -> str:
    """The arguments, even where they are no JSON: who calls the tool says what is wrong."""
    return part.args if isinstance(part.args, str) else part.args_as_json_str()


def _short(error: Exception) -> str:
    """The error in one line; bodies of answers can be whole pages."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= 300 else line[:299] + "…"


def _advice(error: faults.ModelHTTPError) -> str:
    if isinstance(error, faults.ModelAuthenticationError):
        return ". Is the API key right?"
    if isinstance(error, faults.ModelNotFoundError):
        return ". Is the model's name right (orchestrator.model.name), and the base URL?"
    return ""
