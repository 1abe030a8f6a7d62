"""Asking the person in the editor whether an agent may do something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from orchestrator_core.agents.permission_gate import Answer
from orchestrator_server.terminal_questions import permission_question

if TYPE_CHECKING:
    from orchestrator_core.agents.permissions import Decision, ToolCall
    from orchestrator_server.server import HardenedServer

_ACTIONS = {
    "Allow once": Answer.ONCE,
    "Allow for this mission": Answer.ALWAYS,
    "Deny": Answer.NO,
}


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
                    message=permission_question(call, decision),
                    actions=[lsp.MessageActionItem(title=title) for title in _ACTIONS],
                )
            )
        except JsonRpcException:
            return Answer.NO
        return Answer.NO if chosen is None else _ACTIONS.get(chosen.title, Answer.NO)
