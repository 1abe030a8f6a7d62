"""Several folders in one editor, settings that change, and files that are damaged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psutil
import pytest

from server.real_server import RealServer, folder_of, trust, wait_until

if TYPE_CHECKING:
    from pathlib import Path

REPLACE = "replace one -> two"
DIAGNOSTICS = "textDocument/publishDiagnostics"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")  # so that what a server sets is taken back
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("one\n")
    return tmp_path / "left", tmp_path / "right"


def diagnostics(server: RealServer, uri: str) -> list[dict[str, object]]:
    told = server.wait_for(lambda m: m.get("method") == DIAGNOSTICS and m["params"]["uri"] == uri)
    return told["params"]["diagnostics"]


def open_document(server: RealServer, path: Path) -> str:
    item = {"uri": path.as_uri(), "languageId": "x", "version": 1, "text": path.read_text()}
    server.notify("textDocument/didOpen", {"textDocument": item})
    return path.as_uri()


def test_a_mission_belongs_to_one_folder(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    left, right = folders
    with RealServer(tmp_path, left, right) as server:
        assert server.run_to_end(REPLACE, folder="right")["filesChanged"] == ["a.txt"]
        assert (left / "a.txt").read_text() == "one\n"
        assert (right / "a.txt").read_text() == "two\n"

        (left / "notes.txt").write_text("")
        open_document(server, left / "notes.txt")
        report = server.run_to_end("replace one -> three")
        texts = [mission["text"] for mission in server.command("/status")]
        assert texts == ["replace one -> three", REPLACE]

        server.command("/undo", report["mission"])
        server.command("/undo", server.command("/status")[1]["mission"])
        assert (right / "a.txt").read_text() == "one\n"


def test_missions_of_a_folder_that_is_closed_are_cancelled_and_reported(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    left, right = folders
    trust(tmp_path, left)
    with RealServer(tmp_path, left, right) as server:
        running = server.ask_command("/task", "run sleep 600", {"folder": "left", "wait": True})
        server.event("taskStarted")
        sleeps = wait_until(
            lambda: [p for p in server.family() if "sleep" in p.name() and p.is_running()]
        )
        change = {"added": [], "removed": [folder_of(left)]}
        server.notify("workspace/didChangeWorkspaceFolders", {"event": change})

        assert server.answer(running)["result"]["status"] == "cancelled"
        assert not psutil.wait_procs(sleeps, timeout=30)[1]
        assert "left was closed" in server.sent("window/showMessage")["params"]["message"]
        assert server.run_to_end(REPLACE)["filesChanged"] == ["a.txt"]
        assert (right / "a.txt").read_text() == "two\n"
        assert "no folder 'left'" in json.dumps(
            server.answer(server.ask_command("/task", REPLACE, {"folder": "left"}))
        )


def test_a_folder_that_is_opened_later_can_be_worked_in(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    left, _ = folders
    with RealServer(tmp_path) as server:
        refused = server.answer(server.ask_command("/task", REPLACE))
        assert "no folder is open" in refused["error"]["message"]
        change = {"added": [folder_of(left)], "removed": []}
        server.notify("workspace/didChangeWorkspaceFolders", {"event": change})
        assert server.run_to_end(REPLACE)["status"] == "done"


def test_a_setting_that_is_not_valid_is_marked_until_it_is_mended(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    left, _ = folders
    (left / ".opencode").mkdir()
    file = left / ".opencode" / "orchestrator.toml"
    file.write_text('logLevel = "info"\nworkers = "many"\n')
    with RealServer(tmp_path, left) as server:
        (marked,) = diagnostics(server, file.as_uri())
        assert marked["range"] == {
            "start": {"line": 1, "character": 0},
            "end": {"line": 1, "character": 16},
        }
        file.write_text("workers = 2\n")
        server.notify("textDocument/didSave", {"textDocument": {"uri": file.as_uri()}})
        assert diagnostics(server, file.as_uri()) == []


def test_damaged_files_start_the_server_with_a_diagnostic(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    left, _ = folders
    state = left / ".opencode"
    state.mkdir()
    (state / "orchestrator.toml").write_text("workers = \n")
    (state / "state.db").write_bytes(b"no database at all" * 500)
    (state / "todo.md").write_text("# Mission: x\n### T1: a | depends: T9\n- [ ] format\n")
    with RealServer(tmp_path, left) as server:
        (settings,) = diagnostics(server, (state / "orchestrator.toml").as_uri())
        assert "cannot be read" in str(settings["message"])
        (plan,) = diagnostics(server, (state / "todo.md").as_uri())
        assert "T9" in str(plan["message"])

        assert server.run_to_end(REPLACE)["status"] == "done"
        server.wait_for(
            lambda m: (
                m.get("method") == "window/showMessage"
                and "the journal was damaged and is now" in m["params"]["message"]
            )
        )
        assert (state / "state.db.damaged-1").exists()
        assert (state / "orchestrator.toml").read_text() == "workers = \n"


def test_settings_of_the_editor_are_taken_while_it_runs(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    left, _ = folders
    with RealServer(tmp_path, left) as server:
        changed = {"orchestrator": {"limits": {"tasks": 1}}}
        server.notify("workspace/didChangeConfiguration", {"settings": changed})
        refused = server.answer(server.ask_command("/task", "format then check"))
        assert "orchestrator.limits.tasks" in refused["error"]["message"]


def test_an_editor_that_does_not_send_its_settings_is_asked(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    left, _ = folders
    capabilities = {"workspace": {"configuration": True}}
    with RealServer(tmp_path, left, capabilities=capabilities) as server:
        server.notify("workspace/didChangeConfiguration", {"settings": None})
        asked = server.sent("workspace/configuration")
        assert asked["params"]["items"] == [{"section": "orchestrator"}]
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": [{"workers": "many"}]}
        server.send(answer)
        told = server.sent("window/showMessage")["params"]["message"]
        assert "orchestrator.workers" in told


def test_hover_tells_what_became_of_a_task_and_nothing_elsewhere(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    left, _ = folders
    (left / ".opencode").mkdir()
    plan = left / ".opencode" / "todo.md"
    plan.write_text("# Mission: x\n### T1: Replace\n- [ ] replace one -> two\n\nMine.\n")
    with RealServer(tmp_path, left) as server:

        def hover(uri: str, line: int) -> str:
            place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": 3}}
            result = server.call("textDocument/hover", place)["result"]
            return "" if result is None else result["contents"]["value"]

        uri = open_document(server, plan)
        assert "pending" in hover(uri, 1)
        assert server.command("/run", None, {"wait": True})["status"] == "done"
        told = hover(uri, 2)
        assert "**T1** done · " in told
        assert "syntax (tree-sitter): passed" in told
        assert "`a.txt`" in told
        assert hover(uri, 4) == ""
        assert hover(open_document(server, left / "a.txt"), 0) == ""
