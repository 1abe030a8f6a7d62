"""``/show``: what is on record of a mission, as a page, in every editor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.uris import to_fs_path

from fake_editor import EDITORS

if TYPE_CHECKING:
    from fake_editor import FakeEditor


async def content(editor: FakeEditor, uri: str) -> str:
    params = lsp.TextDocumentContentParams(uri)
    answer: Any = await editor.client.workspace_text_document_content_async(params)
    return answer.text


@pytest.mark.parametrize("editor", EDITORS, indirect=True)
async def test_a_mission_is_shown_as_a_page(editor: FakeEditor) -> None:
    text = "fix F401 in shop then replace /🍕/ -> pizza in shop/prices.py"
    report = await editor.execute("/task", text, {"wait": True})
    mission, tree = report["mission"], report["tasks"][0]["receipt"]["tree"]

    shown = await editor.execute("/show", mission)

    workspace, window = editor.capabilities.workspace, editor.capabilities.window
    virtual = workspace is not None and workspace.text_document_content is not None
    opens = bool(window and window.show_document and window.show_document.support)
    path = f".opencode/documents/{mission}.md"
    if virtual:
        assert shown["uri"] == f"orchestrator:/{mission}.md"
        page = await content(editor, shown["uri"])
        assert not (editor.root / path).exists()
    else:
        assert shown["uri"] == editor.uri(path)
        page = (editor.root / path).read_text("utf-8")
    assert shown["shown"] is opens
    assert editor.shown == [shown["uri"]] * opens
    assert opens or editor.messages[-1].message == f"Orchestrator: the page is {path}"
    assert "**done**" in page
    assert "## T2: replace /🍕/" in page
    assert f"the checks passed, on the tree `{tree}`" in page
    assert "| lint (`ruff`) | passed |" in page
    assert "edited `shop/prices.py`" in page

    await editor.execute("/undo", mission, "T2")
    again = await editor.execute("/show", mission, "T2")
    if virtual:
        await editor.until(lambda: lsp.WORKSPACE_TEXT_DOCUMENT_CONTENT_REFRESH in editor.refreshed)
        page = await content(editor, again["uri"])
    else:
        where = to_fs_path(again["uri"])
        assert where is not None
        assert where.endswith(f"{mission}-T2.md")
        page = (editor.root / ".opencode/documents" / f"{mission}-T2.md").read_text("utf-8")
    assert "## T1" not in page
    assert "took back `shop/prices.py`" in page


async def test_what_is_not_there_is_not_shown(editor: FakeEditor) -> None:
    for arguments, why in [
        ((), "there is no mission yet"),
        (("20200101-000000-0000",), "no mission 2020"),
    ]:
        with pytest.raises(JsonRpcException, match=why):
            await editor.execute("/show", *arguments)
    with pytest.raises(JsonRpcException, match="no page of the orchestrator"):
        await content(editor, "orchestrator:/")
    assert editor.shown == []
    assert not (editor.root / ".opencode").exists()
