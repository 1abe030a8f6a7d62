"""What a person is asked, in words for any screen, and asked on a terminal.

An editor is asked the same by `permission_question` and `edit_preview`. Nothing here knows its
protocol, whose types would take most of the time that a command needs to start.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, TextIO

from orchestrator_core.agents.permission_gate import Answer
from orchestrator_core.errors import EditRefused
from orchestrator_core.workspace.unified import diff_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console

    from orchestrator_core.agents.permissions import Decision, ToolCall
    from orchestrator_core.workspace.apply import Applier
    from orchestrator_core.workspace.edits import Change

DISCARDED = "the edit was discarded by the person: nothing was changed"
_KEYS = {"y": Answer.ONCE, "yes": Answer.ONCE, "a": Answer.ALWAYS, "always": Answer.ALWAYS}
_NAMED = 5
_SHOWN = 1500
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def permission_question(call: ToolCall, decision: Decision) -> str:
    """What the person reads. Nothing that an agent wrote can hide or reorder a part of it."""
    wish = _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", call.summary)
    if len(wish) > _SHOWN:
        half = _SHOWN // 2
        wish = f"{wish[:half]} …({len(wish) - _SHOWN} characters)… {wish[-half:]}"
    return f"An agent wants to: {wish}\n({decision.reason})"


def edit_question(changes: Sequence[Change], label: str) -> str:
    """What the person is asked."""
    names = [change.new_path or change.path for change in changes]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    files = "1 file" if len(names) == 1 else f"{len(names)} files"
    return f"{label} would change {files}: {', '.join(names[:_NAMED])}{more}"


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
            self._console.print(permission_question(call, decision), style="yellow", markup=False)
            self._console.print("allow? y = once, a = for this mission, else no: ", end="")
            typed = await typed_line(self._stdin)
        return _KEYS.get(typed.strip().lower(), Answer.NO)


class AskingApplier:
    """Asks on a terminal before task's edits are made, and has another applier make them.

    Args:
        applier: makes them.
        console: where the question is shown.
        stdin: where the answer is typed.
        paused: takes live output away for as long as the question stands.
    """

    def __init__(
        self,
        applier: Applier,
        console: Console,
        stdin: TextIO,
        paused: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._applier = applier
        self._console = console
        self._stdin = stdin
        self._paused = paused

    async def apply(self, changes: Sequence[Change], *, label: str, confirm: bool = False) -> None:
        """Ask, if that is wanted and somebody is there, and make the changes."""
        if confirm and changes and self._console.is_terminal and self._stdin.isatty():
            with self._paused():
                await self._ask(changes, label)
        await self._applier.apply(changes, label=label)

    async def _ask(self, changes: Sequence[Change], label: str) -> None:
        self._console.print(edit_question(changes, label), style="yellow", markup=False)
        while True:
            self._console.print("apply? y = yes, d = show the diff, else no: ", end="")
            match (await typed_line(self._stdin)).strip().lower():
                case "y" | "yes":
                    return
                case "d" | "diff":
                    self._console.print(diff_of(changes), markup=False, highlight=False)
                case _:
                    raise EditRefused(DISCARDED)


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
