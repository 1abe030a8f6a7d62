"""The protocols that model servers speak, as frames of server-sent events.

Each dialect turns an answer of a script (see :mod:`scripted_model`) into what its protocol sends.
A call whose arguments are a text is sent as written, or as the input of a free-form tool.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = dict[str, Any]

_ids = itertools.count(1)


def frames(path: str) -> Callable[[Answer, Answer], Iterator[bytes]]:
    """The dialect that a request's path asks for."""
    for end, dialect in {
        "/messages": messages,
        "/responses": responses,
        "GenerateContent": contents,
    }.items():
        if path.partition("?")[0].endswith(end):
            return dialect
    return chat_completions


def chat_completions(answer: Answer, request: Answer) -> Iterator[bytes]:
    """OpenAI's older protocol, which most others speak too."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    for delta in _chat_deltas(answer):
        yield _frame({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    finish = answer.get("finish", "tool_calls" if answer.get("calls") else "stop")
    yield _frame({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    size, said = _tokens(request), _tokens(answer)
    usage = {"prompt_tokens": size, "completion_tokens": said, "total_tokens": size + said}
    yield _frame({**head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _chat_deltas(answer: Answer) -> Iterator[Answer]:
    if "refusal" in answer:
        yield {"role": "assistant", "refusal": answer["refusal"]}
        return
    yield {"role": "assistant", "content": ""}
    for text in _pieces(answer):
        yield {"content": text}
    for index, call in enumerate(answer.get("calls", ())):
        function = {"name": call["name"], "arguments": ""}
        head = {"index": index, "id": _id("call"), "type": "function"}
        yield {"tool_calls": [{**head, "function": function}]}
        for part in _halves(_written(call)):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def messages(answer: Answer, request: Answer) -> Iterator[bytes]:
    """Anthropic's Messages."""

    def event(kind: str, **more: Any) -> bytes:
        return _frame({"type": kind, **more}, kind)

    usage = {"input_tokens": _tokens(request), "output_tokens": 1}
    about = {"id": _id("msg"), "type": "message", "role": "assistant", "model": "scripted"}
    yield event("message_start", message={**about, "content": [], "usage": usage})
    blocks: list[tuple[Answer, list[Answer]]] = []
    if text := answer.get("text", answer.get("refusal", "")):
        pieces = [
            {"type": "text_delta", "text": part} for part in _pieces({**answer, "text": text})
        ]
        blocks.append(({"type": "text", "text": ""}, pieces))
    for call in answer.get("calls", ()):
        head = {"type": "tool_use", "id": _id("toolu"), "name": call["name"], "input": {}}
        parts = _halves(_written(call))
        blocks.append((head, [{"type": "input_json_delta", "partial_json": p} for p in parts]))
    for index, (head, deltas) in enumerate(blocks):
        yield event("content_block_start", index=index, content_block=head)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    usual = "tool_use" if answer.get("calls") else "end_turn"
    stop = "refusal" if "refusal" in answer else answer.get("finish", usual)
    usage = {"output_tokens": _tokens(answer)}
    yield event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=usage)
    yield event("message_stop")


def responses(answer: Answer, request: Answer) -> Iterator[bytes]:
    """OpenAI's Responses."""

    def event(kind: str, **more: Any) -> bytes:
        return _frame({"type": kind, **more}, kind)

    name = _id("resp")
    yield event("response.created", response={"id": name})
    if text := answer.get("text", ""):
        item = {"type": "message", "role": "assistant", "id": _id("item"), "content": []}
        yield event("response.output_item.added", output_index=0, item=item)
        for part in _pieces(answer):
            about = {"item_id": item["id"], "output_index": 0, "content_index": 0}
            yield event("response.output_text.delta", **about, delta=part)
        item["content"] = [{"type": "output_text", "text": text}]
        yield event("response.output_item.done", output_index=0, item=item)
    for call in answer.get("calls", ()):
        free = isinstance(call["arguments"], str)
        given = {"input": call["arguments"]} if free else {"arguments": _written(call)}
        kind = "custom_tool_call" if free else "function_call"
        item = {"type": kind, "id": _id("item"), "call_id": _id("call"), "name": call["name"]}
        yield event("response.output_item.done", output_index=0, item={**item, **given})
    size, said = _tokens(request), _tokens(answer)
    usage = {"input_tokens": size, "output_tokens": said, "total_tokens": size + said}
    details = {"input_tokens_details": None, "output_tokens_details": None}
    yield event("response.completed", response={"id": name, "usage": {**usage, **details}})


def contents(answer: Answer, request: Answer) -> Iterator[bytes]:
    """Google's generateContent, streamed."""
    calls = ({"name": call["name"], "args": call["arguments"]} for call in answer.get("calls", ()))
    texts = ({"text": part} for part in _pieces(answer))
    for part in (*texts, *({"functionCall": call} for call in calls)):
        yield _frame({"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]})
    size, told = _tokens(request), _tokens(answer)
    usage = {"promptTokenCount": size, "candidatesTokenCount": told, "totalTokenCount": size + told}
    empty = {"role": "model", "parts": [{"text": ""}]}
    end = {"content": empty, "index": 0, "finishReason": answer.get("finish", "STOP")}
    yield _frame({"candidates": [end], "usageMetadata": usage})


def _pieces(answer: Answer) -> Iterator[str]:
    """A text as it streams."""
    text = answer.get("text", "")
    step = max(1, len(text) // 8) if not answer.get("chunk_s") else 4
    return (text[at : at + step] for at in range(0, len(text), step))


def _written(call: Answer) -> str:
    arguments = call["arguments"]
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _halves(text: str) -> list[str]:
    half = len(text) // 2
    return [part for part in (text[:half], text[half:]) if part]


def _frame(event: Answer, kind: str = "") -> bytes:
    named = f"event: {kind}\n" if kind else ""
    return f"{named}data: {json.dumps(event)}\n\n".encode()


def _tokens(value: object) -> int:
    return len(json.dumps(value)) // 4


def _id(kind: str) -> str:
    return f"{kind}_{next(_ids)}"
