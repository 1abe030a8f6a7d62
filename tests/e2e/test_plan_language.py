"""The plan file as a language, in every editor and in each one's encoding of positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from e2e.conftest import every_editor
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from fake_editor import FakeEditor

PATH = ".opencode/todo.md"
PLAN = """# Mission: Modernise 🍕
### T1: Tests 🍕 use assertEqual | files: tests/**/*.py
- [ ] replace /\\bassertEquals\\(/ -> assertEqual(
### T10: Clean 🍕 up | depends: T1
- [ ] fix F,I in shop
"""


class PlanBuffer:
    """The plan, open in the editor, and places in it."""

    def __init__(self, editor: FakeEditor, text: str = PLAN) -> None:
        self._opened = text
        (editor.root / ".opencode").mkdir(exist_ok=True)
        (editor.root / PATH).write_text(text, "utf-8")
        editor.open(PATH)
        self.editor = editor
        self.document = lsp.TextDocumentIdentifier(editor.uri(PATH))

    @property
    def lines(self) -> LineIndex:
        return LineIndex(self.editor.text(PATH), self.editor.encoding)

    def at(self, text: str) -> lsp.Position:
        """Behind the first character of a text."""
        return self.lines.position(self.editor.text(PATH).index(text) + 1)

    def marked(self, place: lsp.Range) -> str:
        text, lines = self.editor.text(PATH), self.lines
        return text[lines.offset(place.start) : lines.offset(place.end)]

    def reload(self) -> None:
        """Take over what stands on disk, as editors do with a buffer that nobody has changed."""
        on_disk = (self.editor.root / PATH).read_text("utf-8")
        if self.editor.text(PATH) == self._opened != on_disk:
            self.editor.type(PATH, on_disk)

    async def lenses(self) -> list[lsp.Command]:
        params = lsp.CodeLensParams(self.document)
        found = await self.editor.client.text_document_code_lens_async(params)
        return [lens.command for lens in found or () if lens.command]

    async def lens(self, title: str, about: str) -> list[Any]:
        """Run what a lens offers for a task, and wait for the mission's end."""
        command = next(
            each
            for each in await self.lenses()
            if each.title == title and about in str(each.arguments)
        )
        return await self.editor.execute(command.command, *(command.arguments or ()))

    async def hint(self, line: int) -> str:
        whole = lsp.Range(lsp.Position(0, 0), lsp.Position(99, 0))
        params = lsp.InlayHintParams(self.document, whole)
        found = await self.editor.client.text_document_inlay_hint_async(params)
        return next((str(h.label) for h in found or () if h.position.line == line), "")

    async def hover(self, text: str) -> str:
        params = lsp.HoverParams(self.document, self.at(text))
        found: Any = await self.editor.client.text_document_hover_async(params)
        return found.contents.value if found else ""


@every_editor
async def test_one_task_is_run_from_its_lens_seen_and_undone(editor: FakeEditor) -> None:
    plan = PlanBuffer(editor)
    before = editor.text("tests/test_shop.py")
    assert [lens.title for lens in await plan.lenses()] == ["Run", "Run", "Run"]
    assert "no mission" in await plan.hover("T1:")

    accepted: Any = await plan.lens("Run", "'T1'")
    await editor.event("done", accepted["missionId"])

    assert "assertEquals" not in editor.text("tests/test_shop.py")
    assert "import os" in editor.text("shop/prices.py")
    plan.reload()
    assert "- [x] replace" in editor.text(PATH)
    assert "- [ ] fix F,I" in editor.text(PATH)
    assert "✓" in await plan.hint(1)
    assert await plan.hint(3) == ""
    hover = await plan.hover("T1:")
    assert "done" in hover
    assert "passed" in hover
    params = lsp.DefinitionParams(plan.document, plan.at("T1:"))
    place: Any = await editor.client.text_document_definition_async(params)
    assert place.uri == editor.uri("tests/test_shop.py")
    changed = editor.text("tests/test_shop.py").splitlines()[place.range.start.line]
    assert "assertEqual(" in changed

    await plan.lens("Undo", "'T1'")
    assert editor.text("tests/test_shop.py") == before


@every_editor
async def test_ids_are_followed_found_and_renamed(editor: FakeEditor) -> None:
    plan = PlanBuffer(editor)
    use = lsp.Position(3, plan.lines.position(PLAN.index("T1\n- [ ] fix") + 1).character)

    place: Any = await editor.client.text_document_definition_async(
        lsp.DefinitionParams(plan.document, use)
    )
    assert plan.marked(place.range) == "T1"
    assert place.range.start.line == 1

    found = await editor.client.text_document_references_async(
        lsp.ReferenceParams(lsp.ReferenceContext(True), plan.document, use)
    )
    assert [plan.marked(each.range) for each in found or ()] == ["T1", "T1"]
    whole: Any = await editor.client.text_document_prepare_rename_async(
        lsp.PrepareRenameParams(plan.document, use)
    )
    assert plan.marked(whole) == "T1"

    renamed = await editor.client.text_document_rename_async(
        lsp.RenameParams(plan.document, use, "T7.2")
    )
    assert renamed is not None
    assert editor._apply(renamed) is None
    assert editor.text(PATH) == PLAN.replace("T1:", "T7.2:").replace(
        "depends: T1\n", "depends: T7.2\n"
    )
    for taken, why in [("T10", "taken"), ("ten", "no id")]:
        with pytest.raises(JsonRpcException, match=why):
            await editor.client.text_document_rename_async(
                lsp.RenameParams(plan.document, plan.at("T7.2:"), taken)
            )


@every_editor
async def test_mistakes_are_shown_as_they_are_typed(editor: FakeEditor) -> None:
    plan = PlanBuffer(editor)
    uri = plan.document.uri
    await editor.until(lambda: editor.diagnostics.get(uri) == [])

    editor.type(PATH, PLAN.replace("depends: T1\n", "depends: T77\n"))
    (wrong,) = await editor.until(lambda: editor.diagnostics[uri])
    assert plan.marked(wrong.range) == "T77"
    assert "no T77" in wrong.message

    editor.type(PATH, PLAN.replace("🍕 use", "🍕 use").replace("- [ ] fix", "- [ ] mend"))
    await editor.until(lambda: any("mend" in d.message for d in editor.diagnostics[uri]))
    editor.type(PATH, PLAN)
    await editor.until(lambda: editor.diagnostics[uri] == [])


@every_editor
async def test_the_outline_and_what_comes_next(editor: FakeEditor) -> None:
    plan = PlanBuffer(editor)
    symbols: Any = await editor.client.text_document_document_symbol_async(
        lsp.DocumentSymbolParams(plan.document)
    )
    assert [symbol.name for symbol in symbols] == [
        "T1: Tests 🍕 use assertEqual",
        "T10: Clean 🍕 up",
    ]
    assert plan.marked(symbols[1].selection_range) == "T10"
    folds = await editor.client.text_document_folding_range_async(
        lsp.FoldingRangeParams(plan.document)
    )
    assert [(fold.start_line, fold.end_line) for fold in folds or ()] == [(1, 2), (3, 4)]

    typed = f"{PLAN}### T11: 🍕 | depends: T1"
    editor.type(PATH, typed)
    end = LineIndex(typed, editor.encoding).position(len(typed))
    offered: Any = await editor.client.text_document_completion_async(
        lsp.CompletionParams(plan.document, end)
    )
    items = {item.label: item for item in offered.items}
    assert {"T1", "T10"} <= set(items)
    assert plan.marked(items["T10"].text_edit.range) == "T1"


@every_editor
async def test_a_failed_check_stands_at_its_task(editor: FakeEditor) -> None:
    plan = PlanBuffer(
        editor,
        "# Mission: x\n### T1: breaks 🍕\n- [ ] replace /def total/ -> def total( in shop/basket.py\n",
    )
    report = await editor.execute("/run", PATH, {"wait": True})
    assert report["status"] == "failed"
    plan.reload()

    await editor.until(lambda: editor.diagnostics.get(plan.document.uri))
    (wrong,) = editor.diagnostics[plan.document.uri]
    assert wrong.range.start.line == 1
    assert "syntax" in wrong.message
    offered: Any = await editor.client.text_document_code_action_async(
        lsp.CodeActionParams(plan.document, wrong.range, lsp.CodeActionContext([wrong]))
    )
    assert [action.title for action in offered] == ["Retry T1", "Show T1"]


async def test_lenses_are_asked_for_again_when_a_task_ended(editor: FakeEditor) -> None:
    PlanBuffer(editor)
    await editor.execute("/run", PATH, {"wait": True})
    await editor.until(lambda: lsp.WORKSPACE_CODE_LENS_REFRESH in editor.refreshed)
    await editor.until(lambda: lsp.WORKSPACE_INLAY_HINT_REFRESH in editor.refreshed)


async def test_other_documents_get_no_answer(editor: FakeEditor) -> None:
    editor.open("shop/basket.py")
    document = lsp.TextDocumentIdentifier(editor.uri("shop/basket.py"))
    client, at = editor.client, lsp.Position(0, 0)
    assert not await client.text_document_code_lens_async(lsp.CodeLensParams(document))
    assert not await client.text_document_hover_async(lsp.HoverParams(document, at))
    assert not await client.text_document_document_symbol_async(lsp.DocumentSymbolParams(document))
    assert not await client.text_document_definition_async(lsp.DefinitionParams(document, at))
    assert not await client.text_document_completion_async(lsp.CompletionParams(document, at))
