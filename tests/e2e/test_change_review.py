"""What a mission changes is seen before, and accepted or rejected by hunk after, in every editor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from e2e.conftest import editor_session, every_editor
from orchestrator_server.edit_preview import annotates
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from fake_editor import FakeEditor

FILE = "shop/menu.py"
TASK = r"replace /old/ -> new in shop"
OLD = """first 🍕 = "old 🍕 one"
kept = 1
second = ["🍕", "old 🍕 two"]
kept = 2
third = "old"
"""
NEW = OLD.replace("old", "new")

MENDING = r"replace /\bassertEquals\(/ -> assertEqual( in tests/**/*.py"
TESTS = "tests/test_shop.py"


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


@pytest.fixture
def initialization_options() -> dict[str, Any]:
    """People who want to be asked before an edit is made, and to look at it after as well."""
    return {"review": "before"}


async def after_mission(editor: FakeEditor, unsaved: str = "") -> Reviewed:
    """The document, open, when the mission is over; ``unsaved`` is typed on top before."""
    (editor.root / FILE).write_text(OLD, "utf-8")
    editor.open(FILE, unsaved + OLD)
    editor.choose = "Apply"
    report = await editor.execute("/task", TASK, {"wait": True})
    assert report["status"] == "done", report["reason"]
    assert editor.text(FILE) == unsaved + NEW
    return Reviewed(editor)


@every_editor
async def test_an_edit_is_seen_before_and_each_hunk_settled_after(
    editor: FakeEditor, tree: Any
) -> None:
    await is_discarded(editor, tree)
    reviewed = await after_mission(editor, "# typed 🍕, not saved\n")
    is_asked_about(editor)
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


async def is_discarded(editor: FakeEditor, tree: Any) -> None:
    """An edit that the person does not want fails its task, and nothing is changed."""
    before = tree()
    editor.refuse = "every box was cleared" if annotates(editor.capabilities) else None
    editor.choose = "Discard"
    report = await editor.execute("/task", "replace /PRICES/ -> COSTS in shop", {"wait": True})
    assert report["status"] == "failed"
    assert "discarded by the person: nothing was changed" in report["tasks"][0]["reason"]
    assert (report["filesChanged"], tree()) == ([], before)
    editor.refuse = None
    editor.edits.clear()
    editor.questions.clear()


def is_asked_about(editor: FakeEditor) -> None:
    """Each part of the edit asks for consent, or the person was asked before."""
    (params,) = editor.edits
    annotations = params.edit.change_annotations or {}
    if not annotates(editor.capabilities):
        assert not annotations
        assert [question.message for question in editor.questions] == [
            f"orchestrator: {TASK} would change 1 file: {FILE}"
        ]
        editor.questions.clear()
    else:
        (annotation,) = annotations.values()
        assert annotation.needs_confirmation
        assert annotation.label == f"orchestrator: {TASK}"
        for step in params.edit.document_changes or ():
            assert isinstance(step, lsp.TextDocumentEdit)
            assert all(isinstance(edit, lsp.AnnotatedTextEdit) for edit in step.edits)
    assert editor.questions == []


async def test_undo_leaves_a_rejected_change_alone(editor: FakeEditor) -> None:
    reviewed = await after_mission(editor)
    await reviewed.lens("Reject", 'third = "new"')
    editor.type(FILE, reviewed.text.replace('third = "old"', 'third = "mine"'))
    editor.questions.clear()
    undone = await editor.execute("/undo")
    assert undone["unrestored"] == []
    assert reviewed.text == OLD.replace('third = "old"', 'third = "mine"')
    # What the person asks for is not asked about.
    assert editor.questions == []
    assert not editor.edits[-1].edit.change_annotations

    await editor.execute("/task", TASK, {"wait": True})
    offered = await reviewed.actions(2)
    assert "Accept all changes of the mission" in offered
    await reviewed.run(offered["Reject all 2 changes of this file"])
    assert reviewed.text == OLD.replace('third = "old"', 'third = "mine"')
    assert await reviewed.lenses() == []
    with pytest.raises(JsonRpcException, match="nothing to undo"):
        await editor.execute("/undo")


async def test_the_review_goes_on_after_a_restart(shop: Path, environment: dict[str, str]) -> None:
    async with editor_session("neovim-0.11.4", shop, environment) as editor:
        reviewed = await after_mission(editor)
        assert editor.questions == []  # by default nobody is asked before
        await reviewed.lens("Reject", 'third = "new"')
        await reviewed.lens("Accept", NEW.splitlines()[0])
        (shop / FILE).write_text(reviewed.text, "utf-8")
    async with editor_session("helix-25.01.1", shop, environment) as editor:
        editor.open(FILE)
        reviewed = Reviewed(editor)
        assert await reviewed.changes() == [NEW.splitlines()[2]]
        await editor.execute("/reject", None, FILE)
        assert reviewed.text == OLD.replace("old 🍕 one", "new 🍕 one")
        assert await editor.execute("/hunks") == []


async def test_files_are_listed_and_taken_back(editor: FakeEditor, tree: Any) -> None:
    before = tree()
    editor.choose = "Apply"
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


async def test_the_diff_is_shown_and_the_question_asked_again(
    shop: Path, environment: dict[str, str]
) -> None:
    answers = ["Apply", "Show diff"]

    def choose(_: object) -> None:
        editor.choose = answers.pop()

    options = {"review": "before"}
    async with editor_session("neovim-0.11.4", shop, environment, options) as editor:
        editor.asked = choose
        report = await editor.execute("/task", MENDING, {"wait": True})
        assert report["status"] == "done"
        assert len(editor.questions) == 2
        shown = Path(unquote(urlparse(editor.shown[-1]).path))
        assert "+        self.assertEqual(" in shown.read_text("utf-8")
    assert not shown.parent.exists()


@pytest.mark.parametrize("editor", ["helix-25.01.1"], indirect=True)
async def test_a_mission_is_stopped_while_the_person_is_asked(editor: FakeEditor) -> None:
    before = editor.text(TESTS)
    editor.choose = "Show diff"  # again and again
    accepted = await editor.execute("/task", MENDING)
    await editor.until(lambda: len(editor.questions) > 1)
    assert (await editor.execute("/stop"))["stopped"] == [accepted["missionId"]]
    done = await editor.event("done", accepted["missionId"])
    assert done["status"] == "cancelled"
    assert editor.text(TESTS) == before


async def test_parts_that_the_person_left_out_are_not_taken_for_made(editor: FakeEditor) -> None:
    """VS Code makes what is ticked in the preview, and says that it applied the edit."""
    (editor.root / "one.txt").write_text("old\n", "utf-8")
    (editor.root / "two.txt").write_text("old\n", "utf-8")
    editor.open("one.txt")

    def leave_out(edit: lsp.WorkspaceEdit) -> lsp.WorkspaceEdit:
        steps = [
            step
            for step in edit.document_changes or ()
            if isinstance(step, lsp.TextDocumentEdit)
            and step.text_document.uri == editor.uri("one.txt")
        ]
        return lsp.WorkspaceEdit(document_changes=steps)

    editor.preview = leave_out
    report = await editor.execute("/task", "replace /old/ -> new in *.txt", {"wait": True})
    assert report["status"] == "done", report["reason"]
    assert (editor.text("one.txt"), editor.text("two.txt")) == ("new\n", "old\n")
    editor.preview = lambda edit: edit
    listed = await editor.execute("/hunks")
    assert [each["path"] for each in listed] == ["one.txt"]
    report = await editor.execute("/task", "replace /old/ -> newer in *.txt", {"wait": True})
    assert report["filesChanged"] == ["two.txt"]
    assert editor.text("two.txt") == "newer\n"
