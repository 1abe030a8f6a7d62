"""The wire: what is answered to good and bad messages, and how the process ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.tool_server.client import DEADLINE_S, RpcError, ToolServer, binary

TOOLS = {
    "grep", "multi_grep", "glob", "ast_search", "ast_rewrite", "replace", "syntax", "diff",
    "edits", "outline", "file_stats", "git_status", "git_diff", "read",
}  # fmt: skip


def eventually(condition: Callable[[], object], deadline_s: float = 10.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the deadline passed"
        time.sleep(0.01)


def orphan(server: ToolServer) -> dict[str, Any]:
    """The next answer without a request of ours."""
    with server.orphaned:
        assert server.orphaned.wait_for(lambda: server.orphans, DEADLINE_S)
        return server.orphans.pop(0)


def test_initialize_agrees_on_a_known_protocol_version(server: ToolServer) -> None:
    known = server.request("initialize", {"protocolVersion": "2025-03-26", "capabilities": {}})
    assert known["protocolVersion"] == "2025-03-26"
    assert known["serverInfo"]["name"] == "opencode-tool-server"
    assert "tools" in known["capabilities"]
    unknown = server.request("initialize", {"protocolVersion": "1999-01-01"})
    assert unknown["protocolVersion"] == "2025-11-25"


def test_every_tool_has_a_schema(server: ToolServer) -> None:
    tools = server.request("tools/list")["tools"]
    assert {tool["name"] for tool in tools} == TOOLS
    for tool in tools:
        schema = tool["inputSchema"]
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) <= set(schema["properties"])
        assert tool["description"].endswith(".")


def test_every_argument_in_a_schema_is_taken_and_no_other(server: ToolServer) -> None:
    for tool in server.request("tools/list")["tools"]:
        with pytest.raises(RpcError) as caught:
            server.call(tool["name"], **sample(tool), surprise=1)
        message = str(caught.value)
        assert "unknown argument `surprise`" in message, message
        taken = set(message.split("it takes ")[1].split(", "))
        assert taken - {"root", "documents"} == set(tool["inputSchema"]["properties"]) - {
            "root",
            "documents",
        }


def sample(tool: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "pattern": "load",
        "patterns": ["load"],
        "rewrite": "x",
        "replacement": "x",
        "path": "main.py",
    }
    if tool["name"] in ("diff", "edits"):
        return {"before": "a", "after": "b", "path": "p"}
    return {name: values[name] for name in tool["inputSchema"]["required"]}


def test_the_text_repeats_the_result_only_for_clients_that_need_it(server: ToolServer) -> None:
    arguments = {"pattern": "load", "globs": ["*.py"]}
    plain = server.request("tools/call", {"name": "grep", "arguments": arguments})
    assert json.loads(plain["content"][0]["text"]) == plain["structuredContent"]
    ours = server.submit("grep", **arguments)[1].result(DEADLINE_S)
    assert ours["structuredContent"] == plain["structuredContent"]
    assert ours["content"] == [{"type": "text", "text": "1 matches in 1 files"}] or len(
        ours["content"][0]["text"]
    ) < len(plain["content"][0]["text"])


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("nothing", {}, "unknown tool"),
        ("grep", {}, "`pattern` is missing"),
        ("grep", {"pattern": 3}, "`pattern` must be a string, not 3"),
        ("grep", {"pattern": "x", "limit": 0}, "`limit` must be a whole number from 1"),
        ("grep", {"pattern": "x", "limit": 10**30}, "`limit` must be a whole number"),
        ("grep", {"pattern": "x", "contextBefore": -1}, "`contextBefore` must be a whole number"),
        ("grep", {"pattern": "x", "globs": "*.py"}, "`globs` must be a list of strings"),
        ("grep", {"pattern": "x", "globs": ["[a"]}, 'glob "[a" is not valid'),
        ("grep", {"pattern": "x", "types": ["klingon"]}, "klingon"),
        ("grep", {"pattern": "x", "root": "/no/such/folder"}, "not a folder that can be read"),
        ("grep", {"pattern": "x", "root": "relative"}, "not an absolute path"),
        ("grep", {"pattern": "x", "paths": ["../outside"]}, "outside the root"),
        ("grep", {"pattern": "x", "paths": ["/etc/passwd"]}, "outside the root"),
        ("grep", {"pattern": "x", "paths": ["missing.py"]}, "missing.py cannot be read"),
        ("grep", {"pattern": "x", "documents": [{"text": "no path"}]}, "`documents` must be"),
        ("read", {"path": "main.py", "startLine": 900}, "lies after the last line"),
        ("read", {"path": "main.py", "startLine": 3, "endLine": 2}, "before startLine"),
        ("read", {"path": "binary.bin"}, "binary"),
        ("ast_search", {"pattern": "f(", "language": "python"}, "does not parse as python"),
        ("ast_search", {"pattern": "x", "language": "cobol"}, "the languages are bash, c, cpp"),
        ("ast_rewrite", {"pattern": "f($A)", "rewrite": "g($B)", "language": "py"}, "uses $B"),
        ("replace", {"pattern": "x", "replacement": "$2"}, "no such group"),
    ],
)  # fmt: skip
def test_bad_calls_are_rejected_with_what_and_where(
    server: ToolServer, name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(RpcError) as caught:
        server.call(name, **arguments)
    assert caught.value.code == -32602
    assert message in str(caught.value)


def test_a_mistake_in_a_regular_expression_is_pointed_at(server: ToolServer) -> None:
    with pytest.raises(RpcError) as caught:
        server.call("replace", pattern="é(a|b", replacement="")
    assert caught.value.data == {"offset": 2, "pattern": "é(a|b"}
    assert "\n    é(a|b\n     ^" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "code", "id_"),
    [
        (b"{nonsense\n", -32700, None),
        (b"\xff\xfe\n", -32700, None),
        (b"[]\n", -32600, None),
        (b'{"id": 77, "method": 3}\n', -32600, 77),
        (b'{"id": {}, "method": "ping"}\n', -32600, None),
        (b'{"id": "s", "method": "no/such"}\n', -32601, "s"),
    ],
)
def test_bad_messages_are_answered_and_survived(
    server: ToolServer, line: bytes, code: int, id_: object
) -> None:
    server.write(line)
    answer = orphan(server)
    assert (answer["error"]["code"], answer["id"]) == (code, id_)
    assert server.request("ping") == {}


def test_an_oversized_request_fails_alone(tree: Path) -> None:
    with ToolServer(tree, "--max-request-mib", "1") as server:
        with pytest.raises(RpcError, match="more than 1048576 bytes was refused"):
            server.call("grep", pattern="x" * (2 << 20))
        server.write(b"x" * (3 << 20) + b"\n")
        assert orphan(server)["id"] is None
        assert server.request("ping") == {}


def test_cancel_stops_the_work(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    for number in range(400):
        (root / f"{number}.py").write_text("def f(a):\n    return [a, (a), {a: a}]\n" * 4000)
    with ToolServer(root) as server:
        number, future = server.submit("syntax")
        eventually(lambda: busy_s(server.process.pid) > 0.1)
        server.notify("notifications/cancelled", {"requestId": number})
        with pytest.raises(RpcError) as caught:
            future.result(DEADLINE_S)
        assert caught.value.code == -32800
        assert server.request("ping") == {}
        settled = idle_after(server.process.pid)
        assert settled, "the work went on after the cancel"


def busy_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_after(pid: int) -> bool:
    """Whether the process comes to rest: two looks in a row without a tick between them."""
    end = time.monotonic() + DEADLINE_S
    before = busy_s(pid)
    while time.monotonic() < end:
        time.sleep(0.2)
        now = busy_s(pid)
        if now == before:
            return True
        before = now
    return False


def test_a_call_cancelled_before_it_runs_is_answered_as_cancelled(server: ToolServer) -> None:
    calls = [server.submit("file_stats") for _ in range(40)]
    for number, _ in calls:
        server.notify("notifications/cancelled", {"requestId": number})
    for _, future in calls:
        error = future.exception(DEADLINE_S)
        if error is None:
            assert future.result()["structuredContent"]["files"] > 0
        else:
            assert isinstance(error, RpcError)
            assert error.code == -32800


def test_64_calls_at_once_on_a_cold_server(tree: Path) -> None:
    with ToolServer(tree) as server:
        names = ["grep", "glob", "ast_search", "file_stats"]
        arguments: dict[str, dict[str, Any]] = {
            "grep": {"pattern": "load"},
            "glob": {},
            "ast_search": {"pattern": "load($A)"},
            "file_stats": {},
        }
        futures = [
            (name, server.submit(name, **arguments[name])[1]) for name in names for _ in range(16)
        ]
        results: dict[str, list[Any]] = {}
        for name, future in futures:
            results.setdefault(name, []).append(future.result(DEADLINE_S)["structuredContent"])
    for answers in results.values():
        assert all(answer == answers[0] for answer in answers)


def test_the_end_of_stdin_ends_the_process(tree: Path) -> None:
    server = ToolServer(tree)
    assert server.request("ping") == {}
    assert server.close() == 0


def test_the_process_ends_with_its_parent(tree: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import subprocess, sys, time\n"
                "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
                "print(child.pid, flush=True)\n"
                "time.sleep(600)"
            ),
            binary(),
            "--root",
            str(tree),
        ],
        stdout=subprocess.PIPE,
    )
    assert parent.stdout
    child = int(parent.stdout.readline())
    eventually(lambda: Path(f"/proc/{child}/status").exists())
    parent.send_signal(signal.SIGKILL)
    parent.wait(DEADLINE_S)
    parent.stdout.close()
    eventually(lambda: not alive(child))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_process_outlives_the_thread_that_started_it(tree: Path) -> None:
    started: list[ToolServer] = []
    thread = threading.Thread(target=lambda: started.append(ToolServer(tree)))
    thread.start()
    thread.join(DEADLINE_S)
    with started[0] as server:
        # Twice: the kernel's signal for the thread's death may come late.
        for _ in range(2):
            assert server.request("ping") == {}
            assert server.call("glob")["paths"]


def test_the_version_is_told() -> None:
    done = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("opencode-tool-server ")
    wrong = subprocess.run([binary(), "--nonsense"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "usage:" in wrong.stderr


def test_a_reader_that_goes_away_ends_the_process(tree: Path) -> None:
    process = subprocess.Popen(
        [binary(), "--root", str(tree)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    process.stdout.close()
    process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    process.stdin.flush()
    assert process.wait(DEADLINE_S) == 0
    process.stdin.close()


def test_the_status_tells_what_is_held_on_purpose(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"load\n" * 1_000_000)
    with ToolServer(tmp_path.resolve()) as server:
        before = server.request("orchestrator/status")["heldBytes"]
        assert server.call("grep", pattern="load", limit=1)["total"] == 1
        with_text = server.request("orchestrator/status")["heldBytes"]
        assert 5_000_000 <= with_text - before < 10_000_000
        server.notify("overlay/set", {"path": "b.txt", "text": "x" * 3_000_000})
        with_buffer = server.request("orchestrator/status")["heldBytes"]
        assert with_buffer - with_text >= 3_000_000


def test_what_a_first_search_passed_over_is_kept_after_it(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.txt").write_bytes(b"pass\n" * 10_000)
    text_bytes = 200 * 50_000

    def held() -> int:
        return server.request("orchestrator/status")["heldBytes"]

    with ToolServer(tmp_path.resolve()) as server:
        before = held()
        assert server.call("grep", pattern="pass", countOnly=True)["total"] == 2_000_000
        deadline = time.monotonic() + DEADLINE_S
        while held() - before < text_bytes and time.monotonic() < deadline:
            time.sleep(0.01)
        assert text_bytes <= held() - before < 2 * text_bytes
        (tmp_path / "7.txt").write_bytes(b"changed\n")
        assert server.call("grep", pattern="changed")["total"] == 1
        assert server.call("grep", pattern="pass", countOnly=True)["total"] == 1_990_000


def test_texts_are_kept_within_the_bound(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.txt").write_bytes(b"room\n" * 10_000)
    with ToolServer(tmp_path.resolve(), "--memory-mib", "4") as server:
        for _ in range(3):
            assert server.call("grep", pattern="room", countOnly=True)["total"] == 2_000_000
        held = server.request("orchestrator/status")["heldBytes"]
        assert held < 5 << 20
