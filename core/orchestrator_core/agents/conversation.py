"""One conversation of a role with a model: turns, tools, and what goes wrong in between.

A reply that is empty or cut off is asked for again. A conversation that grows too long loses the
oldest of what tools have answered, which can be asked for again; what people and the model
themselves have said stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from orchestrator_core.agents.chat import (
    Message,
    Prompt,
    Reply,
    Said,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSpec,
    estimate_tokens,
)
from orchestrator_core.errors import AgentError, ContextOverflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.agents.budget import Budget
    from orchestrator_core.agents.model_gate import ModelGate

EMPTY_REPLIES = 3
_SHORT = 400
_LEFT_OUT = "[left out to save room; call the tool again if it is still needed]"
_GO_ON = "Your answer was cut off at its limit. Go on in smaller steps."
_SAY_SOMETHING = "Your answer was empty. Use a tool, or say that you are done and what was done."


class Toolset(Protocol):
    """What the model may call in this conversation."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools, as the model is told of them."""
        ...

    async def call(self, call: ToolCall) -> ToolResult:
        """Carry one call out; what goes wrong is a failed result, which the model can react to."""
        ...


class Conversation:
    """One conversation. Not to be used by two at once.

    Args:
        gate: the way to the model.
        system: who the model is, and the rules.
        budget: whose the calls are.
        context_tokens: how much the model can take, the reply included.
        max_output_tokens: of one reply.
        on_text: given replies as they come.
        on_call: told of each call before it is carried out.
        clean: takes secrets out of what the model is told.
    """

    def __init__(
        self,
        gate: ModelGate,
        system: str,
        budget: Budget,
        *,
        context_tokens: int,
        max_output_tokens: int,
        on_text: Callable[[str], None] = lambda _: None,
        on_call: Callable[[ToolCall], None] = lambda _: None,
        clean: Callable[[str], str] = str,
    ) -> None:
        self._gate = gate
        self._system = system
        self._budget = budget
        self._room = context_tokens
        self._max_output = max_output_tokens
        self._on_text = on_text
        self._on_call = on_call
        self._clean = clean
        self._messages: list[Message] = []
        self._tools: tuple[ToolSpec, ...] = ()

    async def work(self, text: str, tools: Toolset | None = None, *, turns: int = 1) -> str:
        """Say something, and carry out what the model calls until it calls nothing more.

        Returns:
            What it said in the end.

        Raises:
            AgentError: it refused, said nothing, did not end within ``turns``, or cannot be
                reached.
        """
        self._tools = tools.specs if tools else ()
        self._messages.append(Said(self._clean(text)))
        for _ in range(turns):
            reply = await self._turn()
            if not reply.calls:
                return reply.text
            if tools is None:
                raise AgentError(f"{self._gate.model.name} called a tool where there is none")
            results: list[ToolResult] = []
            for call in reply.calls:  # in their order: one may build on the one before
                self._on_call(call)
                results.append(await tools.call(call))
            self._messages.append(ToolResults(tuple(results)))
        raise AgentError(f"{self._gate.model.name} had not ended its work after {turns} turns")

    async def _turn(self) -> Reply:
        """The next reply that says or calls something."""
        for _ in range(EMPTY_REPLIES):
            reply = await self._reply()
            if reply.stop == "refused":
                said = f": {reply.text.strip()}" if reply.text.strip() else ""
                raise AgentError(f"{self._gate.model.name} refused the task{said}")
            if reply.stop == "length":
                # What was cut off is no whole call: it is dropped, and said again in parts.
                kept = Reply(reply.text or "…")
                self._messages += [kept, Said(_GO_ON)]
            elif reply.calls or reply.text.strip():
                self._messages.append(reply)
                return reply
            else:
                self._messages.append(Said(_SAY_SOMETHING))
        raise AgentError(f"{self._gate.model.name} answered nothing usable {EMPTY_REPLIES} times")

    async def _reply(self) -> Reply:
        while True:
            prompt = Prompt(self._system, tuple(self._messages), self._tools, self._max_output)
            if estimate_tokens(prompt) + self._max_output > self._room and self._compact():
                continue
            try:
                return await self._gate.call(prompt, self._budget, self._on_text)
            except ContextOverflow as error:
                if not self._compact():
                    raise AgentError(
                        f"{error}, and nothing more can be left out: use a model with a longer "
                        "context, or a smaller task"
                    ) from error

    def _compact(self) -> bool:
        """Leave out the older half of what tools have answered; whether anything was left out."""
        full = [
            place
            for place, message in enumerate(self._messages)
            if isinstance(message, ToolResults) and any(_is_long(r) for r in message.results)
        ]
        for place in full[: (len(full) + 1) // 2]:
            message = self._messages[place]
            assert isinstance(message, ToolResults)
            self._messages[place] = ToolResults(tuple(map(_shortened, message.results)))
        return bool(full)


def _is_long(result: ToolResult) -> bool:
    return len(result.text) > _SHORT and not result.text.endswith(_LEFT_OUT)


def _shortened(result: ToolResult) -> ToolResult:
    if not _is_long(result):
        return result
    head = result.text[: _SHORT // 2]
    return msgspec.structs.replace(result, text=f"{head}\n{_LEFT_OUT}")
