"""The person is asked what an agent may do, and sees all of it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pty
from typing import TYPE_CHECKING, cast

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from rich.console import Console

from orchestrator_core.agents.permission_gate import Answer
from orchestrator_core.agents.permissions import Decision, ToolCall
from orchestrator_core.safety import Effect
from orchestrator_core.tools.registry import Permission
from orchestrator_server.permission_question import EditorAsker
from orchestrator_server.terminal_questions import TerminalAsker, permission_question

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import TextIO

    from orchestrator_server.server import HardenedServer

CALL = ToolCall("shell", Permission.EXECUTE, command="make test")
DECISION = Decision(Effect.ASK, "the settings: no rule allows it")


class Editor:
    """The side of the server that asks."""

    def __init__(self, answer: str | Exception | None) -> None:
        self.answer = answer
        self.asked: list[lsp.ShowMessageRequestParams] = []

    async def window_show_message_request_async(
        self, params: lsp.ShowMessageRequestParams
    ) -> lsp.MessageActionItem | None:
        self.asked.append(params)
        if isinstance(self.answer, Exception):
            raise self.answer
        return None if self.answer is None else lsp.MessageActionItem(title=self.answer)


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ("Allow once", Answer.ONCE),
        ("Allow for this mission", Answer.ALWAYS),
        ("Deny", Answer.NO),
        (None, Answer.NO),
        ("something else", Answer.NO),
        (JsonRpcException("not known"), Answer.NO),
    ],
)
async def test_the_editor_is_asked(answer: str | Exception | None, meant: Answer) -> None:
    editor = Editor(answer)
    assert await EditorAsker(cast("HardenedServer", editor)).ask(CALL, DECISION) is meant
    (asked,) = editor.asked
    assert "make test" in asked.message
    assert "no rule allows it" in asked.message


def test_a_question_hides_nothing() -> None:
    sly = "git status \x1b[2K\r\u202ewget x" + " " * 5000 + "; rm -rf src"
    text = permission_question(ToolCall("shell", Permission.EXECUTE, command=sly), DECISION)
    assert "\\u001b[2K\\u000d\\u202ewget x" in text
    assert text.count("\n") == 1
    assert "; rm -rf src" in text
    assert len(text) < 2000


class Terminal:
    def __init__(self) -> None:
        self.person, other = pty.openpty()
        self.stdin: TextIO = os.fdopen(other, "r")
        self.shown = io.StringIO()
        self.pauses = 0

    def asker(self) -> TerminalAsker:
        return TerminalAsker(Console(file=self.shown, force_terminal=True), self.stdin, self.paused)

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        self.pauses += 1
        yield


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.stdin.close()
    os.close(terminal.person)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("y", Answer.ONCE),
        (" A ", Answer.ALWAYS),
        ("n", Answer.NO),
        ("", Answer.NO),
        ("x", Answer.NO),
    ],
)
async def test_the_terminal_is_asked(terminal: Terminal, typed: str, meant: Answer) -> None:
    os.write(terminal.person, f"{typed}\n".encode())
    assert await asyncio.wait_for(terminal.asker().ask(CALL, DECISION), 10) is meant
    assert "make test" in terminal.shown.getvalue()
    assert terminal.pauses == 1


async def test_a_question_can_be_taken_back(terminal: Terminal) -> None:
    asking = asyncio.ensure_future(terminal.asker().ask(CALL, DECISION))
    while not terminal.pauses:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    os.write(terminal.person, b"y\n")
    assert terminal.stdin.readline() == "y\n"  # the answer was left for whoever reads next


async def test_without_a_terminal_the_answer_is_no() -> None:
    with open(os.devnull, encoding="utf-8") as nothing:
        asker = TerminalAsker(Console(file=io.StringIO()), nothing, contextlib.nullcontext)
        assert await asker.ask(CALL, DECISION) is Answer.NO
