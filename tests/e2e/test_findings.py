"""What a failed check found, as diagnostics in the files, in every editor and encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lsprotocol import types as lsp

from fake_editor import EDITORS
from orchestrator_server.text_document import LineIndex

if TYPE_CHECKING:
    from fake_editor import FakeEditor

PLAN, BASKET, PRICES = ".opencode/todo.md", "shop/basket.py", "shop/prices.py"
TASKS = """# Mission: x
### T1: 🍕 breaks | depends: -
- [ ] replace /return prices/ -> return nothing in shop/basket.py
"""


def shown(editor: FakeEditor, path: str) -> list[lsp.Diagnostic]:
    return editor.diagnostics.get(editor.uri(path), [])


def marked(editor: FakeEditor, path: str, where: lsp.Range) -> str:
    text = editor.text(path)
    lines = LineIndex(text, editor.encoding)
    return text[lines.offset(where.start) : lines.offset(where.end)]


async def actions_on(
    editor: FakeEditor, path: str, found: lsp.Diagnostic
) -> tuple[lsp.CodeAction, lsp.CodeAction]:
    """The two quick fixes of a finding, by title."""
    params = lsp.CodeActionParams(
        lsp.TextDocumentIdentifier(editor.uri(path)),
        found.range,
        lsp.CodeActionContext([found], only=[lsp.CodeActionKind.QuickFix]),
    )
    offered: Any = await editor.client.text_document_code_action_async(params)
    tied = [
        action
        for action in offered
        if not action.disabled and [each.message for each in action.diagnostics] == [found.message]
    ]
    one, other = sorted(tied, key=lambda action: action.title.startswith("Show"))
    return one, other


async def run(editor: FakeEditor, action: lsp.CodeAction) -> None:
    command: Any = action.command
    await editor.execute(command.command, *command.arguments)


@pytest.mark.parametrize("editor", EDITORS, indirect=True)
async def test_findings_stand_where_they_were_made(editor: FakeEditor) -> None:
    (editor.root / ".opencode").mkdir()
    (editor.root / PLAN).write_text(TASKS, "utf-8")
    text = editor.text(BASKET) + '\n\ndef go():\n    "🍕"; return prices\n'
    editor.open(BASKET, text)

    report = await editor.execute("/run", PLAN, {"wait": True})

    assert report["status"] == "failed"
    (found,) = await editor.until(lambda: shown(editor, BASKET))
    assert marked(editor, BASKET, found.range) == "prices"
    assert (found.source, found.code) == ("orchestrator", "lint")
    assert "F821" in found.message
    assert "Not applied" in found.message
    able = editor.capabilities.text_document
    assert able is not None
    assert able.publish_diagnostics is not None
    if able.publish_diagnostics.related_information:
        (about,) = list(found.related_information or [])
        assert about.location.uri == editor.uri(PLAN)
        assert marked(editor, PLAN, about.location.range).endswith("T1: 🍕 breaks | depends: -")
        assert report["mission"] in about.message
    else:
        assert found.related_information is None
        assert f"task T1 of mission {report['mission']}" in found.message

    retry, record = await actions_on(editor, BASKET, found)
    assert [retry.title, retry.kind] == ["Try T1 again", lsp.CodeActionKind.QuickFix]
    assert record.title == "Show what became of T1"
    editor.diagnostics.clear()
    await run(editor, retry)
    await editor.until(lambda: shown(editor, BASKET))  # they went, and came back

    editor.type(BASKET, text.replace("🍕", "🍕🍕"))
    await editor.until(lambda: not shown(editor, BASKET))


async def test_findings_go_with_their_folder(editor: FakeEditor) -> None:
    await editor.execute("/task", "check in shop/prices.py", {"wait": True})
    await editor.until(lambda: shown(editor, PRICES))
    folder = lsp.WorkspaceFolder(editor.root.as_uri(), editor.root.name)
    event = lsp.WorkspaceFoldersChangeEvent(added=[], removed=[folder])
    params = lsp.DidChangeWorkspaceFoldersParams(event)
    editor.client.workspace_did_change_workspace_folders(params)
    await editor.until(lambda: not shown(editor, PRICES))


async def test_findings_go_with_what_they_were_about(editor: FakeEditor) -> None:
    await editor.execute("/task", "check in shop/prices.py", {"wait": True})
    found = await editor.until(lambda: shown(editor, PRICES))
    assert {each.code for each in found} == {"check lint"}
    (os,) = [each for each in found if each.message.startswith("F401 `os`")]
    assert marked(editor, PRICES, os.range) == "os"
    (about,) = list(os.related_information or [])
    page: Any = await editor.client.workspace_text_document_content_async(
        lsp.TextDocumentContentParams(about.location.uri)
    )
    assert "## T1: check in shop/prices.py" in page.text

    editor.open(PRICES)  # as it is on disk: they stay
    fix, record = await actions_on(editor, PRICES, os)
    assert record.command is not None
    assert record.command.command == "/show"
    assert fix.title.startswith("Fix with orchestrator (F401 in this file)")

    editor.diagnostics.clear()
    await editor.execute("/task", "check in shop/prices.py", {"wait": True, "dryRun": True})
    assert editor.uri(PRICES) not in editor.diagnostics

    await editor.execute("/retry")  # the same again: they go, and come back
    await editor.until(lambda: len(shown(editor, PRICES)) == len(found))

    report = await editor.execute("/task", "fix F401 in shop", {"wait": True})
    assert report["status"] == "done"
    await editor.until(lambda: not shown(editor, PRICES))
