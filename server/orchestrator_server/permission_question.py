"""Asking the person whether an agent may do something: in the editor, or on the terminal."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, TextIO

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from orchestrator_core.agents.permission_gate import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from rich.console import Console

    from orchestrator_core.agents.permissions import Decision, ToolCall
    from orchestrator_server.server import HardenedServer

_ACTIONS = {
    "Allow once": Answer.ONCE,
    "Allow for this mission": Answer.ALWAYS,
    "Deny": Answer.NO,
}
_KEYS = {"y": Answer.ONCE, "yes": Answer.ONCE, "a": Answer.ALWAYS, "always": Answer.ALWAYS}
_SHOWN = 1500
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def question(call: ToolCall, decision: Decision) -> str:
    """What the person reads. Nothing that an agent wrote can hide or reorder a part of it."""
    wish = _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", call.summary)
    if len(wish) > _SHOWN:
        half = _SHOWN // 2
        wish = f"{wish[:half]} …({len(wish) - _SHOWN} characters)… {wish[-half:]}"
    return f"An agent wants to: {wish}\n({decision.reason})"


class EditorAsker:
    """Asks with ``window/showMessageRequest``. No answer, or no such editor, means no."""

    def __init__(self, server: HardenedServer) -> None:
        self._server = server

    async def ask(self, call: ToolCall, decision: Decision) -> Answer:
        """Ask, and wait for the answer."""
        try:
            chosen = await self._server.window_show_message_request_async(
                lsp.ShowMessageRequestParams(
                    type=lsp.MessageType.Warning,
                    message=question(call, decision),
                    actions=[lsp.MessageActionItem(title=title) for title in _ACTIONS],
                )
            )
        except JsonRpcException:
            return Answer.NO
        return Answer.NO if chosen is None else _ACTIONS.get(chosen.title, Answer.NO)


class TerminalAsker:
    """Asks on a terminal; where there is none, the answer is no.

    Args:
        console: where the question is shown.
        stdin: where the answer is typed.
        paused: takes live output away for as long as the question stands.
    """

    def __init__(
        self, console: Console, stdin: TextIO, paused: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._console = console
        self._stdin = stdin
        self._paused = paused

    async def ask(self, call: ToolCall, decision: Decision) -> Answer:
        """Ask, and wait for a line. Cancelling leaves the terminal as it was."""
        if not (self._console.is_terminal and self._stdin.isatty()):
            return Answer.NO
        with self._paused():
            self._console.print(question(call, decision), style="yellow", markup=False)
            self._console.print("allow? y = once, a = for this mission, else no: ", end="")
            typed = await typed_line(self._stdin)
        return _KEYS.get(typed.strip().lower(), Answer.NO)


async def typed_line(stdin: TextIO) -> str:
    """The next line that is typed, waited for without a thread that nobody could stop."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    descriptor = stdin.fileno()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    return stdin.readline()
