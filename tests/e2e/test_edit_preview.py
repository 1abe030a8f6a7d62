"""With ``review = "before"`` each task's edit is shown before it is made, in every editor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lsprotocol import types as lsp

from fake_editor import EDITORS
from orchestrator_server.edit_preview import annotates

if TYPE_CHECKING:
    from fake_editor import FakeEditor

every_editor = pytest.mark.parametrize("editor", EDITORS, indirect=True)

TASK = r"replace /\bassertEquals\(/ -> assertEqual( in tests/**/*.py"
FILE = "tests/test_shop.py"


@pytest.fixture
def initialization_options() -> dict[str, Any]:
    return {"review": "before"}


async def run(editor: FakeEditor, text: str = TASK) -> Any:
    return await editor.execute("/task", text, {"wait": True})


@every_editor
async def test_an_edit_is_made_once_the_person_wants_it(editor: FakeEditor) -> None:
    editor.open(FILE, "# 🍕 unsaved\n" + editor.text(FILE))
    editor.choose = "Apply"
    report = await run(editor)
    assert report["status"] == "done", report["reason"]
    assert "assertEquals" not in editor.text(FILE)
    (params,) = editor.edits
    annotations = params.edit.change_annotations or {}
    if annotates(editor.capabilities):
        (annotation,) = annotations.values()
        assert annotation.needs_confirmation
        assert annotation.label == f"orchestrator: {TASK}"
        assert editor.questions == []
        for step in params.edit.document_changes or ():
            assert isinstance(step, lsp.TextDocumentEdit)
            assert all(isinstance(edit, lsp.AnnotatedTextEdit) for edit in step.edits)
    else:
        assert not annotations
        assert [question.message for question in editor.questions] == [
            f"orchestrator: {TASK} would change 1 file: {FILE}"
        ]
    # Nobody is asked whether an undo is wanted.
    editor.questions.clear()
    undone = await editor.execute("/undo")
    assert undone["unrestored"] == []
    assert editor.questions == []
    assert not editor.edits[-1].edit.change_annotations


@every_editor
async def test_an_edit_that_is_discarded_fails_its_task(editor: FakeEditor, tree: Any) -> None:
    before = tree()
    if annotates(editor.capabilities):
        editor.refuse = "every box was cleared"
    else:
        editor.choose = "Discard"
    report = await run(editor)
    assert report["status"] == "failed"
    assert "discarded by the person: nothing was changed" in report["tasks"][0]["reason"]
    assert report["filesChanged"] == []
    assert tree() == before


@pytest.mark.parametrize("editor", ["neovim-0.11.4"], indirect=True)
async def test_the_diff_is_shown_and_the_question_asked_again(editor: FakeEditor) -> None:
    answers = ["Apply", "Show diff"]

    def choose(_: object) -> None:
        editor.choose = answers.pop()

    editor.asked = choose
    report = await run(editor)
    assert report["status"] == "done"
    assert len(editor.questions) == 2
    assert editor.shown[-1].endswith(".diff")


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
    report = await run(editor, "replace /old/ -> new in *.txt")
    assert report["status"] == "done", report["reason"]
    assert (editor.text("one.txt"), editor.text("two.txt")) == ("new\n", "old\n")
    editor.preview = lambda edit: edit
    listed = await editor.execute("/hunks")
    assert [each["path"] for each in listed] == ["one.txt"]
    report = await run(editor, "replace /old/ -> newer in *.txt")
    assert report["filesChanged"] == ["two.txt"]
    assert editor.text("two.txt") == "newer\n"
