"""Asking on a terminal before an edit is made."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from typing import TYPE_CHECKING, TextIO

import pytest
from rich.console import Console

from orchestrator_core.errors import EditRefused
from orchestrator_core.workspace.disk_applier import DiskApplier
from orchestrator_core.workspace.documents import Workspace
from orchestrator_core.workspace.draft import Draft
from orchestrator_server.terminal_questions import AskingApplier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator_core.workspace.edits import Change


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """A terminal: where the person types, and what the program reads from."""
    keyboard, end = os.openpty()
    with os.fdopen(end, encoding="utf-8") as stdin:
        yield keyboard, stdin
    os.close(keyboard)


@pytest.fixture
def change(tmp_path: Path) -> tuple[Workspace, tuple[Change, ...]]:
    (tmp_path / "a.txt").write_text("old\n", "utf-8")
    workspace = Workspace(tmp_path)
    draft = Draft(workspace)
    draft.write("a.txt", "new\n")
    return workspace, draft.changes()


async def applied(
    workspace: Workspace, changes: tuple[Change, ...], stdin: TextIO, *, is_terminal: bool
) -> str:
    """Apply changes, asking first; what was shown."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=is_terminal, width=200, color_system=None)
    disk = DiskApplier(workspace, asyncio.to_thread)
    applier = AskingApplier(disk, console, stdin, contextlib.nullcontext)
    async with asyncio.timeout(30):
        await applier.apply(changes, label="T1", confirm=True)
    return shown.getvalue()


async def test_the_person_looks_at_the_diff_and_says_yes(
    terminal: tuple[int, TextIO], change: tuple[Workspace, tuple[Change, ...]]
) -> None:
    keyboard, stdin = terminal
    os.write(keyboard, b"d\n")
    asyncio.get_running_loop().call_later(0, os.write, keyboard, b"y\n")
    shown = await applied(*change, stdin, is_terminal=True)
    assert "T1 would change 1 file: a.txt" in shown
    assert "-old\n+new\n" in shown
    assert shown.count("apply?") == 2
    assert change[0].read("a.txt").text == "new\n"


async def test_anything_else_discards_the_edit(
    terminal: tuple[int, TextIO], change: tuple[Workspace, tuple[Change, ...]]
) -> None:
    keyboard, stdin = terminal
    os.write(keyboard, b"\n")
    with pytest.raises(EditRefused, match="discarded by the person"):
        await applied(*change, stdin, is_terminal=True)
    assert change[0].read("a.txt").text == "old\n"


async def test_where_nobody_sits_the_edit_is_made(
    change: tuple[Workspace, tuple[Change, ...]],
) -> None:
    with open(os.devnull, encoding="utf-8") as stdin:
        assert await applied(*change, stdin, is_terminal=False) == ""
    assert change[0].read("a.txt").text == "new\n"
