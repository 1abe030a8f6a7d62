"""The main job in every editor: a text becomes checked edits in the editor's buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from e2e.conftest import every_editor

if TYPE_CHECKING:
    from fake_editor import FakeEditor

REPLACE = r"replace /\bassertEquals\(/ -> assertEqual( in tests/**/*.py"


@every_editor
async def test_task_edits_files_and_reports(editor: FakeEditor) -> None:
    report = await editor.execute("/task", f"{REPLACE} then fix F,I in shop", {"wait": True})

    assert report["status"] == "done"
    assert report["filesChanged"] == ["shop/prices.py", "tests/test_shop.py"]
    assert "assertEquals" not in editor.text("tests/test_shop.py")
    assert "import os" not in editor.text("shop/prices.py")
    checks = report["tasks"][0]["receipt"]["checks"]
    assert {check["status"] for check in checks} == {"passed"}


@every_editor
async def test_unsaved_text_is_edited_and_kept(editor: FakeEditor, tree) -> None:
    before = tree()
    unsaved = "# typed by a person, not saved 🍕 assertEquals(\n" + editor.text(
        "tests/test_shop.py"
    )
    editor.open("tests/test_shop.py", unsaved)

    report = await editor.execute("/task", REPLACE, {"wait": True})

    assert report["filesChanged"] == ["tests/test_shop.py"], report["reason"]
    assert editor.text("tests/test_shop.py") == unsaved.replace("assertEquals(", "assertEqual(")
    assert tree() == before


@every_editor
async def test_undo_brings_every_text_back(editor: FakeEditor, tree) -> None:
    before = tree()
    editor.open("shop/basket.py")
    text = editor.text("shop/basket.py")
    report = await editor.execute("/task", "rename load -> read_all", {"wait": True})
    assert report["status"] == "done"
    assert "read_all" in editor.text("shop/basket.py")

    undone = await editor.execute("/undo")

    assert undone["mission"] == report["mission"]
    assert not undone["unrestored"]
    assert editor.text("shop/basket.py") == text
    assert tree() == before


@every_editor
async def test_progress_and_events_are_sent(editor: FakeEditor) -> None:
    accepted = await editor.execute("/task", f"{REPLACE} then check")
    assert accepted["status"] == "accepted"
    mission = accepted["missionId"]
    done = await editor.event("done", mission)

    assert done["status"] == "done"
    kinds = [event["kind"] for event in editor.events if event["missionId"] == mission]
    assert kinds[:3] == ["accepted", "planned", "taskStarted"]
    numbers = [event["sequence"] for event in editor.events if event["missionId"] == mission]
    assert numbers == list(range(1, len(numbers) + 1))
    stats = await editor.until(lambda: editor.stats and editor.stats[-1])
    assert stats["workers"]["executed"] > 0
    assert stats["tools"]["calls"] > 0
    assert stats["process"]["rssBytes"] > 0


async def test_clients_token_carries_the_progress(editor: FakeEditor) -> None:
    await editor.execute("/task", REPLACE, {"wait": True}, token="from-the-client")

    tokens = {token for token, _ in editor.progress}
    assert tokens == {"from-the-client"}
    begin, end = editor.progress[0][1], editor.progress[-1][1]
    assert (begin["kind"], end["kind"]) == ("begin", "end")
    assert begin["title"].startswith("replace ")
    assert end["message"] == "done, 1 file changed"  # editors show it beside the title


async def test_own_progress_token_is_readable(editor: FakeEditor) -> None:
    await editor.execute("/task", REPLACE, {"wait": True})

    await editor.until(lambda: editor.progress)
    assert str(editor.progress[0][0]).startswith("orchestrator: replace ")


async def test_gate_undoes_what_makes_it_worse(editor: FakeEditor, tree) -> None:
    before = tree()

    report = await editor.execute("/task", r"replace /\bprint\(/ -> log.info(", {"wait": True})

    assert report["status"] == "failed"
    assert report["filesChanged"] == []
    assert "F821" in report["tasks"][0]["reason"]
    assert tree() == before


async def test_edits_carry_the_documents_version(editor: FakeEditor) -> None:
    editor.open("tests/test_shop.py")
    editor.type("tests/test_shop.py", editor.text("tests/test_shop.py") + "\n# more\n")

    await editor.execute("/task", REPLACE, {"wait": True})

    (edit,) = editor.edits
    (change,) = edit.edit.document_changes or [None]
    assert isinstance(change, lsp.TextDocumentEdit)
    assert change.text_document.version == 2


async def test_steps_see_what_earlier_steps_did_in_a_silent_client(editor: FakeEditor) -> None:
    editor.undisclosed = True
    editor.open("tests/test_shop.py")

    report = await editor.execute(
        "/task",
        "replace assertEquals with assertSame in tests then "
        "replace assertSame with assertEqual in tests",
        {"wait": True},
    )

    assert report["status"] == "done"
    assert "assertEqual(" in editor.text("tests/test_shop.py")


async def test_a_refused_edit_fails_the_mission(editor: FakeEditor, tree) -> None:
    before = tree()
    editor.refuse = "the person said no"

    report = await editor.execute("/task", REPLACE, {"wait": True})

    assert report["status"] == "failed"
    assert "the person said no" in report["reason"]
    assert tree() == before


@pytest.mark.parametrize("editor", ["helix-25.01.1"], indirect=True)
async def test_an_editor_that_hides_the_errors_of_commands_shows_them_as_messages(
    editor: FakeEditor,
) -> None:
    with pytest.raises(JsonRpcException):
        await editor.execute("/run", "nowhere.plan.md")

    shown = await editor.until(lambda: editor.messages)
    assert shown[0].type is lsp.MessageType.Error
    assert "nowhere.plan.md" in shown[0].message


async def test_an_edit_that_met_newer_text_is_made_anew_where_the_editor_answers_an_error(
    editor: FakeEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "tests/test_shop.py"
    editor.open(path)

    def refuse_once(_: lsp.WorkspaceEdit) -> str | None:
        monkeypatch.undo()
        editor.type(path, f"# typed meanwhile\n{editor.text(path)}")
        raise JsonRpcException("the edit requires version 1, there is 2")

    monkeypatch.setattr(editor, "_apply", refuse_once)

    report = await editor.execute("/task", REPLACE, {"wait": True})

    assert report["status"] == "done", report["reason"]
    assert editor.text(path).startswith("# typed meanwhile\n")
    assert "assertEquals(" not in editor.text(path)


NOT_UNDERSTOOD = [
    ("", "what"),
    ("   ", "what"),
    ("frobnicate the code", "rename"),
    ("replace /(unclosed/ -> x", "unclosed group"),
    ("fix in nowhere/**/*.py", "no file matches"),
    ("rename no_such_function -> x", "no_such_function"),
    ("fix ZZZ999", "ZZZ999"),
    (["a list"], "text"),
]


async def test_bad_task_is_an_error_and_changes_nothing(editor: FakeEditor, tree) -> None:
    before = tree()

    for text, told in NOT_UNDERSTOOD:
        with pytest.raises(JsonRpcException) as caught:
            await editor.execute("/task", text, {"wait": True})
        assert told in caught.value.message, text

    assert tree() == before
    assert not (editor.root / ".opencode").exists()


async def test_wrong_options_are_invalid_params(editor: FakeEditor) -> None:
    with pytest.raises(JsonRpcException, match="dryrun"):
        await editor.execute("/task", REPLACE, {"dryrun": True})


async def test_dry_run_shows_the_diff_and_changes_nothing(editor: FakeEditor, tree) -> None:
    before = tree()

    report = await editor.execute(
        "/task", f"{REPLACE} then format in tests", {"wait": True, "dryRun": True}
    )

    assert report["dryRun"]
    assert "+        self.assertEqual(basket.total(), 9)" in report["diff"]
    assert tree() == before
    assert not editor.edits
    assert not (editor.root / ".opencode").exists()


async def test_task_without_text_asks(editor: FakeEditor) -> None:
    editor.choose = "Fix what the linter finds"

    accepted = await editor.execute("/task")

    await editor.event("done", accepted["missionId"])
    assert editor.questions
    assert "import os" not in editor.text("shop/prices.py")


async def test_task_without_text_and_answer_does_nothing(editor: FakeEditor, tree) -> None:
    before = tree()

    answer = await editor.execute("/task")

    assert answer == {"missionId": None, "status": "cancelled"}
    assert tree() == before


async def test_plan_is_written_shown_and_run(editor: FakeEditor) -> None:
    written = await editor.execute("/plan", f"{REPLACE} then fix F401")
    assert written["path"] == ".opencode/todo.md"
    text = (editor.root / ".opencode/todo.md").read_text("utf-8")
    assert "### T1" in text
    assert editor.shown == [editor.uri(".opencode/todo.md")]

    report = await editor.execute("/run", None, {"wait": True})

    assert [task["id"] for task in report["tasks"]] == ["T1", "T2"]
    assert report["status"] == "done"


async def test_plan_with_a_cycle_names_it(editor: FakeEditor, tree) -> None:
    (editor.root / "plan.md").write_text(
        "# Mission: circles\n### T1: one | depends: T2\n- [ ] format\n"
        "### T2: two | depends: T1\n- [ ] format\n"
    )
    before = tree()

    with pytest.raises(JsonRpcException, match="T1"):
        await editor.execute("/run", "plan.md", {"wait": True})

    assert tree() == before


async def test_status_lists_missions_with_receipts(editor: FakeEditor) -> None:
    report = await editor.execute("/task", REPLACE, {"wait": True})

    (mission,) = await editor.execute("/status")

    assert mission["mission"] == report["mission"]
    assert mission["tasks"][0]["receipt"]["passed"]


async def test_stats_have_all_groups(editor: FakeEditor) -> None:
    stats = await editor.execute("/stats")

    groups = {"workers", "objects", "buffers", "strings", "tools", "concurrency", "process"}
    assert groups <= stats.keys()
