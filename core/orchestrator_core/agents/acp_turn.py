"""What is heard of one turn of an agent: what it says, what it does, what it costs."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

logger = logging.getLogger(__name__)

MOST = 1_000_000
"""Characters of an answer; a turn that says more than that is called off."""

_TITLE = 100
_CHANGING = ("edit", "delete", "move")


class Turn:
    """One turn. Lives on the event loop.

    Args:
        say: told in a few words of each thing that the agent does.
        on_change: told of each path that the agent says it changes; answers why it must not.
        on_cost: told what the session has cost so far; answers whether that may go on.
        clock_s: monotonic.

    Attributes:
        text: what the agent said since it last did something: its answer, in the end.
        acted: whether it used a tool.
        refused: what it was not allowed, with the reasons.
        cost_usd: what the session has cost so far, where the agent tells.
        overspent: whether it was called off because nothing is left of the budget.
        heard_s: when it was last heard.
        reason: why the turn was called off; empty if it was not.
        off: set when it is called off.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda _: None,
        on_change: Callable[[str], str] = lambda _: "",
        on_cost: Callable[[float], bool] = lambda _: True,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._on_change = on_change
        self._on_cost = on_cost
        self._clock_s = clock_s
        self._chunks: list[str] = []
        self._size = 0
        self._asking = 0
        self._kinds: dict[object, object] = {}
        self.acted = False
        self.refused: list[str] = []
        self.cost_usd: float | None = None
        self.overspent = False
        self.heard_s = clock_s()
        self.reason = ""
        self.off = asyncio.Event()

    @property
    def text(self) -> str:
        """What was said last."""
        return "".join(self._chunks)

    def call_off(self, reason: str) -> None:
        """Have the turn end with this reason; the first one counts."""
        self.reason = self.reason or reason
        self.off.set()

    def heard_since(self, now_s: float) -> float:
        """For how long the agent has been silent; while a person is asked, it is not."""
        return 0.0 if self._asking else now_s - self.heard_s

    @contextmanager
    def asking(self) -> Generator[None]:
        """The agent waits for an answer of ours as long as this lasts."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
            self.heard_s = self._clock_s()

    def hear(self, update: dict[str, Any]) -> None:
        """Take in one ``session/update``; kinds that are not known are as good as silence."""
        self.heard_s = self._clock_s()
        match update:
            case {"sessionUpdate": "agent_message_chunk", "content": {"text": str(text)}}:
                self._hear_text(text)
            case {"sessionUpdate": "tool_call", "title": str(title)}:
                self.acted = True
                self._chunks.clear()
                self._say(" ".join(title.split())[:_TITLE])
                self._hear_change(update)
            case {"sessionUpdate": "tool_call_update"}:
                self._hear_change(update)
            case {"sessionUpdate": "notice", "title": str(title)}:
                logger.info("the agent gives notice: %s %s", title, update.get("description", ""))
            case {"sessionUpdate": "usage_update", "cost": {"amount": amount, "currency": "USD"}}:
                if isinstance(amount, int | float):
                    self._hear_cost(float(amount))
            case _:
                pass

    def _hear_text(self, text: str) -> None:
        self._size += len(text)
        if self._size > MOST:
            self.call_off(f"it said more than {MOST} characters in one turn")
        else:
            self._chunks.append(text)

    def _hear_cost(self, cost_usd: float) -> None:
        self.cost_usd = cost_usd
        if not self._on_cost(cost_usd):
            self.overspent = True
            self.call_off("its budget is spent")

    def _hear_change(self, call: dict[str, Any]) -> None:
        """Look at what a tool call says it changes, before it has."""
        name = call.get("toolCallId")
        kind = self._kinds.setdefault(name, call.get("kind"))
        if (call.get("kind") or kind) not in _CHANGING:
            return
        for path in changed_paths(call):
            if problem := self._on_change(path):
                self.call_off(problem)


def changed_paths(call: dict[str, Any]) -> list[str]:
    """The paths that a tool call names: where it happens, and what its diffs are about."""
    paths: list[str] = []
    for key in ("locations", "content"):
        entries: object = call.get(key)
        for entry in cast("list[object]", entries) if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                path: object = cast("dict[str, object]", entry).get("path")
                if isinstance(path, str):
                    paths.append(path)
    return list(dict.fromkeys(paths))
