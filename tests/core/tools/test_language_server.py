"""The client against a language server that is told how to behave."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_core.errors import ToolCrashed, ToolError, ToolRejected, ToolUnavailable
from orchestrator_core.runtime.future import CancelledError
from orchestrator_core.tools.language_server import LanguageServer

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 20.0
SERVER = [sys.executable, "-S", "-E", str(Path(__file__).with_name("fake_language_server.py"))]


@pytest.fixture
def server(root: Path) -> Iterator[LanguageServer]:
    with LanguageServer(SERVER, root, settings={"a": 1}) as server:
        yield server


def ask(server: LanguageServer, method: str, params: Any = None) -> Any:
    return server.request(method, params or {}).result(WAIT_S)


def test_the_handshake_carries_root_settings_and_capabilities(
    server: LanguageServer, root: Path
) -> None:
    params = ask(server, "initialize_params")
    assert params["rootUri"] == root.as_uri()
    assert params["initializationOptions"] == {"a": 1}
    assert params["capabilities"]["general"]["positionEncodings"][0] == "utf-32"
    assert server.encoding == "utf-8"


def test_requests_are_answered_in_any_order(server: LanguageServer) -> None:
    slow = server.request("wait_for", {"key": 1})
    fast = server.request("echo", {"x": 1})
    assert fast.result(WAIT_S) == {"x": 1}
    assert not slow.done()
    ask(server, "release", {"key": 1})
    assert slow.result(WAIT_S) == "released"


def test_the_servers_own_requests_are_answered(server: LanguageServer) -> None:
    answer = ask(server, "ask_client")
    assert answer["workspace/configuration"]["result"] == [None, None]
    assert answer["client/registerCapability"]["result"] is None
    assert answer["window/workDoneProgress/create"]["result"] is None
    assert answer["workspace/applyEdit"]["result"] == {"applied": False}
    assert len(answer["workspace/workspaceFolders"]["result"]) == 1
    assert answer["made/up"]["error"]["code"] == -32601


def test_errors_and_odd_answers_are_told_apart(server: LanguageServer) -> None:
    with pytest.raises(ToolRejected, match="no such method") as caught:
        ask(server, "nonsense")
    assert caught.value.code == -32601
    with pytest.raises(ToolError, match="form that was not expected"):
        server.request("echo", {"x": 1}, list[int]).result(WAIT_S)


def test_cancelling_tells_the_server(server: LanguageServer) -> None:
    waiting = server.request("wait_for", {"key": 2})
    assert waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.result(WAIT_S)
    assert ask(server, "cancelled") == 1
    assert not server.busy


def test_a_crash_fails_what_is_pending_with_the_servers_last_words(
    server: LanguageServer,
) -> None:
    waiting = server.request("wait_for", {"key": 3})
    server.notify("crash", {})
    with pytest.raises(ToolCrashed, match=r"wait_for.*lost my way"):
        waiting.result(WAIT_S)
    assert server.dead
    with pytest.raises(ToolCrashed):
        ask(server, "echo")


def test_garbage_ends_the_server(server: LanguageServer) -> None:
    waiting = server.request("garbage", {})
    with pytest.raises(ToolCrashed, match="not a message"):
        waiting.result(WAIT_S)


def test_a_program_that_does_not_exist_is_said(root: Path) -> None:
    server = LanguageServer(["/no/such/server"], root)
    with pytest.raises(ToolUnavailable, match="/no/such/server"):
        ask(server, "echo")
    server.close()


def test_closing_is_polite_and_then_forceful(root: Path) -> None:
    server = LanguageServer(SERVER, root)
    log = root / "log"
    ask(server, "log_to", {"path": str(log)})
    server.close()
    assert json.loads(log.read_text()) == ["shutdown", "exit"]
    stubborn = LanguageServer(SERVER, root)
    ask(stubborn, "ignore_everything")
    waiting = stubborn.request("echo", {})
    stubborn.close(deadline_s=0.1)
    with pytest.raises(ToolCrashed):
        waiting.result(WAIT_S)
    assert stubborn.dead


def test_large_documents_pass(server: LanguageServer) -> None:
    text = "é" * 2_000_000
    assert ask(server, "echo", {"text": text}) == {"text": text}


def test_uris_lead_back_to_paths(server: LanguageServer) -> None:
    for path in ("a.py", "ü b/c#d.py", "x%20y.py"):
        assert server.path(server.uri(path)) == path
    assert server.path("file:///somewhere/else.py") is None
