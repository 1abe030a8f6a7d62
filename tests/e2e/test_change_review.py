"""What a mission changed is accepted and rejected by hunk in every editor, unsaved text and all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from e2e.conftest import editor_session
from fake_editor import EDITORS
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from pathlib import Path

    from fake_editor import FakeEditor

every_editor = pytest.mark.parametrize("editor", EDITORS, indirect=True)

FILE = "shop/menu.py"
TASK = r"replace /old/ -> new in shop"
OLD = """first 🍕 = "old 🍕 one"
kept = 1
second = ["🍕", "old 🍕 two"]
kept = 2
third = "old"
"""
NEW = OLD.replace("old", "new")


class Reviewed:
    """A document of which a mission changed three lines."""

    def __init__(self, editor: FakeEditor, path: str = FILE) -> None:
        self.editor = editor
        self.path = path
        self.document = lsp.TextDocumentIdentifier(editor.uri(path))

    @property
    def text(self) -> str:
        return self.editor.text(self.path)

    def marked(self, place: lsp.Range) -> str:
        lines = LineIndex(self.text, self.editor.encoding)
        return self.text[lines.offset(place.start) : lines.offset(place.end)]

    async def lenses(self) -> list[lsp.CodeLens]:
        params = lsp.CodeLensParams(self.document)
        return list(await self.editor.client.text_document_code_lens_async(params) or ())

    async def changes(self) -> list[str]:
        """The text below each lens that accepts one change."""
        return [
            self.marked(lens.range)
            for lens in await self.lenses()
            if lens.command and lens.command.title.startswith("Accept") and _hunk(lens.command)
        ]

    async def actions(self, line: int) -> dict[str, lsp.Command]:
        """What is offered on a line."""
        place = lsp.Range(lsp.Position(line, 0), lsp.Position(line, 0))
        params = lsp.CodeActionParams(self.document, place, lsp.CodeActionContext([]))
        found: Any = await self.editor.client.text_document_code_action_async(params)
        commands = [each if isinstance(each, lsp.Command) else each.command for each in found]
        return {command.title: command for command in commands}

    async def run(self, command: lsp.Command) -> Any:
        return await self.editor.execute(command.command, *(command.arguments or ()))

    async def lens(self, title: str, text: str) -> Any:
        """Run the lens of that title above the change that is ``text`` now."""
        command = next(
            lens.command
            for lens in await self.lenses()
            if lens.command and lens.command.title == title and self.marked(lens.range) == text
        )
        return await self.run(command)


def _hunk(command: lsp.Command) -> bool:
    return len(command.arguments or ()) == 3


async def after_mission(editor: FakeEditor, unsaved: str = "") -> Reviewed:
    """The document, open, when the mission is over; ``unsaved`` is typed on top before."""
    (editor.root / FILE).write_text(OLD, "utf-8")
    editor.open(FILE, unsaved + OLD)
    report = await editor.execute("/task", TASK, {"wait": True})
    assert report["status"] == "done", report["reason"]
    assert editor.text(FILE) == unsaved + NEW
    return Reviewed(editor)


@every_editor
async def test_hunks_are_settled_one_by_one_in_an_unsaved_buffer(editor: FakeEditor) -> None:
    reviewed = await after_mission(editor, "# typed 🍕, not saved\n")
    first, second, third = NEW.splitlines()[::2]
    assert await reviewed.changes() == [first, second, third]
    titles = {lens.command.title for lens in await reviewed.lenses() if lens.command}
    every = {"Accept all 3 changes", "Reject all 3 changes"}
    assert titles == {"Accept", "Reject", f"T1: {TASK}", *every}

    rejected = await reviewed.lens("Reject", second)
    assert (rejected["hunks"], rejected["left"]) == (1, 2)
    assert reviewed.text == "# typed 🍕, not saved\n" + NEW.replace("new 🍕 two", "old 🍕 two")
    assert (editor.root / FILE).read_text("utf-8") == OLD
    editor.refreshed.clear()
    await reviewed.lens("Accept", third)
    assert await reviewed.changes() == [first]
    await is_refreshed(editor)

    await is_offered_and_shown(reviewed)
    editor.type(FILE, "0 🍕\n" + reviewed.text)
    assert await reviewed.changes() == [first]
    editor.type(FILE, reviewed.text.replace("first 🍕", "mine 🍕"))
    assert await reviewed.lenses() == []


async def is_refreshed(editor: FakeEditor) -> None:
    """Lenses are asked for again where the editor can."""
    workspace = editor.capabilities.workspace
    if workspace and workspace.code_lens and workspace.code_lens.refresh_support:
        await editor.until(lambda: lsp.WORKSPACE_CODE_LENS_REFRESH in editor.refreshed)
    else:
        assert lsp.WORKSPACE_CODE_LENS_REFRESH not in editor.refreshed


async def is_offered_and_shown(reviewed: Reviewed) -> None:
    """The first change, on the second line, has actions, and its diff is seen."""
    of = f"of T1: {TASK}"
    assert not any("change" in title for title in await reviewed.actions(2))
    offered = await reviewed.actions(1)
    assert {f"Accept {of}", f"Reject {of}", f"Show {of}"} < offered.keys()
    editor = reviewed.editor
    told = await reviewed.run(offered[f"Show {of}"])
    assert '-first 🍕 = "old 🍕 one"\n+first 🍕 = "new 🍕 one"\n' in told["diff"]
    window = editor.capabilities.window
    if window and window.show_document and window.show_document.support:
        assert editor.shown[-1].endswith(".diff")
    else:
        await editor.until(lambda: any(m.message == told["diff"] for m in editor.messages))


async def test_all_of_a_file_is_rejected_with_a_code_action(editor: FakeEditor) -> None:
    reviewed = await after_mission(editor)
    offered = await reviewed.actions(2)
    assert "Accept all changes of the mission" in offered
    await reviewed.run(offered["Reject all 3 changes of this file"])
    assert reviewed.text == OLD
    assert await reviewed.lenses() == []
    with pytest.raises(JsonRpcException, match="nothing to undo"):
        await editor.execute("/undo")


async def test_undo_leaves_a_rejected_change_alone(editor: FakeEditor) -> None:
    reviewed = await after_mission(editor)
    await reviewed.lens("Reject", 'third = "new"')
    editor.type(FILE, reviewed.text.replace('third = "old"', 'third = "a new one"'))
    undone = await editor.execute("/undo")
    assert undone["unrestored"] == []
    assert reviewed.text == OLD.replace('third = "old"', 'third = "a new one"')


async def test_the_review_goes_on_after_a_restart(shop: Path, environment: dict[str, str]) -> None:
    async with editor_session("neovim-0.11.4", shop, environment) as editor:
        reviewed = await after_mission(editor)
        await reviewed.lens("Reject", 'third = "new"')
        (shop / FILE).write_text(reviewed.text, "utf-8")
    async with editor_session("emacs-eglot-30.1", shop, environment) as editor:
        editor.open(FILE)
        reviewed = Reviewed(editor)
        assert len(await reviewed.changes()) == 2
        await reviewed.lens("Accept", NEW.splitlines()[0])
    async with editor_session("helix-25.01.1", shop, environment) as editor:
        editor.open(FILE)
        reviewed = Reviewed(editor)
        assert await reviewed.changes() == [NEW.splitlines()[2]]
        await editor.execute("/reject", None, FILE)
        assert reviewed.text == OLD.replace("old 🍕 one", "new 🍕 one")
        assert await editor.execute("/hunks") == []


async def test_files_are_listed_and_taken_back(editor: FakeEditor, tree: Any) -> None:
    before = tree()
    await editor.execute("/task", "rename load -> read_all then format", {"wait": True})
    listed = await editor.execute("/hunks")
    assert {each["path"] for each in listed} >= {"shop/basket.py", "shop/prices.py"}
    one = next(each for each in listed if each["path"] == "shop/basket.py")
    assert one["uri"] == editor.uri("shop/basket.py")
    assert one["range"]["start"]["line"] == one["line"] - 1
    with pytest.raises(JsonRpcException, match="not pending any more"):
        await editor.execute("/accept", one["mission"], one["path"], "none")
    with pytest.raises(JsonRpcException, match="name its mission"):
        await editor.execute("/accept", None, None, one["hunk"])
    report = await editor.execute("/reject", one["mission"])
    assert (report["hunks"], report["left"]) == (len(listed), 0)
    assert tree() == before
