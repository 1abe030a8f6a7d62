"""Tasks from any source file, in every editor: a diagnostic, a TODO, a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lsprotocol import types as lsp

from e2e.conftest import every_editor
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fake_editor import FakeEditor

PATH = "shop/prices.py"
PLAN = ".opencode/todo.md"
QUICK, REFACTOR = lsp.CodeActionKind.QuickFix, lsp.CodeActionKind.Refactor


class Source:
    """An open file with unsaved text that begins with a character outside the BMP."""

    def __init__(self, editor: FakeEditor, first: str = "🍕 = 1; import os\n") -> None:
        self.editor = editor
        text = (editor.root / PATH).read_text("utf-8")
        self.text = first.replace("🍕 =", '"🍕";') + text.replace("import os\n", "")
        editor.open(PATH, self.text)
        self.lines = LineIndex(self.text, editor.encoding)
        self.document = lsp.TextDocumentIdentifier(editor.uri(PATH))

    def range(self, text: str) -> lsp.Range:
        start = self.text.index(text)
        return self.lines.range(start, start + len(text))

    def found(self, text: str, message: str, **more: Any) -> lsp.Diagnostic:
        return lsp.Diagnostic(self.range(text), message, lsp.DiagnosticSeverity.Error, **more)

    async def actions(
        self,
        where: lsp.Range,
        found: Sequence[lsp.Diagnostic] = (),
        only: Sequence[str] | None = None,
    ) -> dict[str, lsp.CodeAction]:
        context = lsp.CodeActionContext(list(found), only=only)
        params = lsp.CodeActionParams(self.document, where, context)
        offered: Any = await self.editor.client.text_document_code_action_async(params)
        return {action.title: action for action in offered}

    async def run(self, action: lsp.CodeAction) -> Any:
        command = action.command
        assert command is not None
        *arguments, options = list(command.arguments or ())
        return await self.editor.execute(
            command.command, *arguments, {**_plain(options), "wait": True}
        )


def _plain(options: Any) -> dict[str, Any]:
    return dict(options) if isinstance(options, dict) else options._asdict()


@every_editor
async def test_tasks_from_a_source_file(editor: FakeEditor) -> None:
    source = Source(editor)
    await _a_selection_becomes_a_task_of_the_plan(source, editor)
    await _a_diagnostic_is_fixed_where_a_verb_can(source, editor)
    await _a_todo_is_done(Source(editor, '"🍕"; import os  # TODO: fix F401\n'), editor)


async def _a_diagnostic_is_fixed_where_a_verb_can(source: Source, editor: FakeEditor) -> None:
    unused = source.found(
        "os\n", "`os` imported but unused", code="F401", source="Ruff", data={"is_preferred": True}
    )
    typed = source.found("PRICES[name]", "Type 🍕 is not known", code="reportX", source="pyright")

    offered = await source.actions(unused.range, [unused, typed])

    able = editor.capabilities.text_document
    assert able is not None
    assert able.code_action is not None
    fix = offered["Fix with orchestrator (F401 in this file): `os` imported but unused"]
    assert fix.kind == QUICK
    assert fix.is_preferred is (True if able.code_action.is_preferred_support else None)
    assert [each.message for each in fix.diagnostics or ()] == [unused.message]
    assert fix.diagnostics
    assert fix.diagnostics[0].range == unused.range
    other = offered.get("Fix with orchestrator: reportX Type 🍕 is not known")
    if able.code_action.disabled_support:
        assert other is not None
        assert other.disabled is not None
        assert "needs a model" in other.disabled.reason
    else:
        assert other is None

    report = await source.run(fix)
    assert report["status"] == "done"
    assert "import os" not in editor.text(PATH)


async def _a_selection_becomes_a_task_of_the_plan(source: Source, editor: FakeEditor) -> None:
    assert "Run a task here…" not in await source.actions(lsp.Range(*[lsp.Position(0, 0)] * 2))
    offered = await source.actions(source.range('"🍕": 9}\n'))
    here = offered["Run a task here…"]
    assert here.kind == REFACTOR

    answer = await source.run(here)

    line = source.text[: source.text.index('"🍕": 9')].count("\n") + 1
    assert answer == {"missionId": None, "status": "drafted", "task": "T1"}
    written = editor.text(PLAN)
    assert f"### T1: In {PATH}, line {line} | depends: - | files: {PATH}\n- [ ] \n" in written
    window = editor.capabilities.window
    if window and window.show_document and window.show_document.support:
        assert editor.shown == [editor.uri(PLAN)]
        where = editor.selections[0]
        assert where is not None
        assert where.start == LineIndex(written, editor.encoding).position(
            written.index("] \n") + 2
        )
    else:
        assert "T1 was added to .opencode/todo.md, line 4" in editor.messages[-1].message
    with pytest.raises(Exception, match="the step is empty"):
        await editor.execute("/run", PLAN)
    again = await source.run(here)
    assert again["task"] == "T2"


async def _a_todo_is_done(source: Source, editor: FakeEditor) -> None:
    offered = await source.actions(source.range("fix"), only=[QUICK])
    report = await source.run(offered["Do this TODO with orchestrator: fix F401"])
    assert report["status"] == "done"
    assert report["tasks"][0]["title"] == f"fix F401 in {PATH}"
    assert "import os" not in editor.text(PATH)


async def test_what_is_not_offered(editor: FakeEditor) -> None:
    source = Source(editor)
    unused = source.found("os\n", "unused", code="F401", source="Ruff")
    for only, expected in [
        ([QUICK], {QUICK}),
        (["refactor"], {REFACTOR}),
        (["refactor.extract", "source"], set[str]()),
        ([""], {QUICK, REFACTOR}),
    ]:
        offered = await source.actions(unused.range, [unused], only=only)
        assert {action.kind for action in offered.values()} == expected

    long = source.found("os\n", "Line too long", code="E501", source="Ruff", data={"edits": []})
    offered = await source.actions(long.range, [long], only=[QUICK])
    (fix,) = offered.values()
    assert fix.disabled is not None  # ruff has no safe fix for it

    source.document = lsp.TextDocumentIdentifier((editor.root.parent / "other.py").as_uri())
    assert await source.actions(source.range("import os")) == {}
    source.document = lsp.TextDocumentIdentifier(editor.uri("shop/basket.py"))  # not open
    assert await source.actions(source.range("import os")) == {}


class TestAnEditorThatCanAskAndHasAModel:
    """``initializationOptions: {"input": true, "languageModel": true}``."""

    @pytest.fixture
    def initialization_options(self) -> dict[str, Any]:
        return {"input": True, "languageModel": True}

    async def test_what_no_verb_does_goes_to_the_model(self, editor: FakeEditor) -> None:
        source = Source(editor, '"🍕"; import os  # TODO: be quick\n')
        found = source.found("PRICES[name]", "Type 🍕\nis not known", code=7, source="pyright")
        offered = await source.actions(found.range, [found])
        (fix,) = [action for action in offered.values() if action.kind == QUICK]
        line = source.text[: source.text.index("PRICES[name]")].count("\n") + 1
        told = f"In {PATH}, line {line}: fix what pyright reports: 7 Type 🍕 is not known"
        options = {"folder": editor.root.as_uri()}
        assert fix.command is not None
        text, sent = list(fix.command.arguments or [])
        assert (fix.command.command, text, _plain(sent)) == ("/task", told, options)

        offered = await source.actions(source.range("be quick"))
        todo = offered["Do this TODO with orchestrator: be quick"].command
        assert todo is not None
        assert next(iter(todo.arguments or [])) == (
            f"In {PATH}, line 1: do what this comment asks for, and then remove the comment: be quick"
        )

    async def test_the_text_of_a_task_is_asked_for(self, editor: FakeEditor) -> None:
        source = Source(editor)
        editor.typed = ["fix F401", "check in shop", None]
        offered = await source.actions(source.range("import os"))
        report = await source.run(offered["Run a task here…"])
        assert report["tasks"][0]["title"] == f"fix F401 in {PATH}"
        assert "import os" not in editor.text(PATH)
        assert not (editor.root / PLAN).exists()

        report = await editor.execute("/task", None, {"wait": True, "dryRun": True})
        assert report["tasks"][0]["title"] == "check in shop"
        cancelled = await editor.execute("/task")
        assert cancelled == {"missionId": None, "status": "cancelled"}
        where = f"What is to be done in {PATH}, line 1?"
        assert editor.prompts == [where, "What should be done?", "What should be done?"]
