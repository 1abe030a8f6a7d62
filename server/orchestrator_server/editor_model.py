"""The editor's own language model, asked for through the client: ``orchestrator/lm.chat``.

A client that can answer says so with ``languageModel: true`` in its ``initializationOptions``, or
later with ``orchestrator/lm.offer`` ``{offered}``, which also takes the offer back. The
request is ``{token, selector, messages, tools, toolMode}``; the answer ``{content, model}``, where
``content`` is a list of ``{type: "text", text}`` and ``{type: "toolCall", id, name, input}``.
Meanwhile the client may send ``orchestrator/lm.delta`` ``{token, text}``.

Editors know two roles only, user and assistant: the system prompt is the first thing a user says.
They count no tokens, so that these are estimated.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any, cast

from pygls.exceptions import JsonRpcException

from orchestrator_core.agents.chat import (
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

    from orchestrator_server.server import HardenedServer

CHAT = "orchestrator/lm.chat"

_FINAL = {
    "NoPermissions": "the editor's model may not be used: allow it in the editor, then try again",
    "NotFound": "the editor has no language model: sign in to one, or name another backend",
    "Blocked": "the editor's model would not answer: its filters or its quota forbid it",
}


class EditorModel:
    """A :class:`~orchestrator_core.agents.chat.ChatModel`. Lives on the event loop.

    Args:
        server: whose client is asked.
        silent_s: a request that brings nothing for so long is given up.
    """

    name = "editor"

    def __init__(self, server: HardenedServer, silent_s: float = 120.0) -> None:
        self._server = server
        self._silent_s = silent_s
        self._tokens = itertools.count(1)
        self._heard: dict[str, Callable[[str], None]] = {}

    async def ready(self) -> None:
        """It is."""

    async def reply(self, prompt: Prompt, on_text: Callable[[str], None]) -> Reply:
        """One turn. Cancelling it cancels the client's request."""
        token = f"lm-{next(self._tokens)}"
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._silent_s) as silence:

                def hear(text: str) -> None:
                    silence.reschedule(loop.time() + self._silent_s)
                    on_text(text)

                self._heard[token] = hear
                request = self._server.protocol.send_request(CHAT, _params(token, prompt))
                answer = await asyncio.wrap_future(request)
        except TimeoutError as error:
            raise ModelFault(f"the editor's model was silent for {self._silent_s:g} s") from error
        except JsonRpcException as error:
            raise _failure(error) from error
        except ConnectionError as error:
            raise AgentError("the editor has gone") from error
        finally:
            self._heard.pop(token, None)
        return _reply(answer, prompt)

    def on_delta(self, params: object) -> None:
        """A piece of an answer came; late ones are of no interest."""
        if not isinstance(params, dict):
            return
        told = cast("dict[str, Any]", params)
        hear = self._heard.get(str(told.get("token")))
        if hear is not None:
            hear(str(told.get("text", "")))

    def price_usd(self, usage: Usage) -> float:
        """Nothing that is known here: the editor's plan pays."""
        del usage
        return 0.0

    async def close(self) -> None:
        """Nothing is held."""


def _params(token: str, prompt: Prompt) -> dict[str, Any]:
    return {
        "token": token,
        "selector": {},
        "messages": [
            {"role": "user", "content": prompt.system},
            *map(_message, prompt.messages),
        ],
        "tools": [
            {"name": t.name, "description": t.description, "inputSchema": t.schema}
            for t in prompt.tools
        ],
        "toolMode": "auto",
    }


def _message(message: Message) -> dict[str, Any]:
    match message:
        case Said(text):
            return {"role": "user", "content": text}
        case ToolResults(results):
            told = [{"callId": r.call.id, "content": r.text} for r in results]
            return {"role": "user", "content": "", "toolResults": told}
        case Reply(text, calls):
            made = [{"id": c.id, "name": c.name, "input": _input(c)} for c in calls]
            return {"role": "assistant", "content": text, "toolCalls": made}


def _input(call: ToolCall) -> object:
    try:
        return json.loads(call.arguments or "{}")
    except json.JSONDecodeError:
        return {"malformed": call.arguments}


def _reply(answer: object, prompt: Prompt) -> Reply:
    """What the client answered.

    Raises:
        ModelFault: it is not of the form that was agreed on.
    """
    told = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    content: object = told.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise ModelFault(f"the editor answered {CHAT} without content")
    texts: list[str] = []
    calls: list[ToolCall] = []
    for part in cast("list[Any]", content):
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "toolCall", "id": str(call_id), "name": str(name)}:
                calls.append(ToolCall(call_id, name, json.dumps(part.get("input") or {})))
            case _:
                raise ModelFault(f"the editor answered {CHAT} with a part that is not known")
    text = "".join(texts)
    usage = Usage(estimate_tokens(prompt), estimate_reply(text, calls))
    return Reply(text, tuple(calls), usage)


def _failure(error: JsonRpcException) -> AgentError:
    data: object = error.data
    kind = cast("dict[str, Any]", data).get("code", "") if isinstance(data, dict) else ""
    if kind in _FINAL:
        return AgentError(_FINAL[kind])
    if kind == "ContextOverflow":
        return ContextOverflow("the conversation is too long for the editor's model")
    if error.code == -32601:  # the client does not know the request, whatever it has offered
        return AgentError("the editor offered its model, and does not know how to ask it")
    return ModelFault(f"the editor's model failed: {error.message}")
