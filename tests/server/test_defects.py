"""One test for each defect of stock pygls that the protocol layer mends.

The numbers are those of the list in ``orchestrator_server.protocol``. The soak form runs each
on stock pygls, too, and expects it to fail there: where one passes, upstream has mended it,
and our override can go.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from server.wire_client import OURS, STOCK, WireClient, frame, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ON_STOCK = [pytest.mark.soak, pytest.mark.xfail(strict=True, reason="a defect of pygls")]


@pytest.fixture(params=["ours", pytest.param("stock", marks=ON_STOCK)])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marks"


@pytest.fixture
def fresh(kind: str, marker: Path) -> Iterator[WireClient]:
    """A client of a server that has not been initialized."""
    program, timeout_s = (OURS, 20.0) if kind == "ours" else (STOCK, 4.0)
    with WireClient(program, marker=marker, timeout_s=timeout_s) as client:
        yield client


@pytest.fixture
def client(fresh: WireClient) -> WireClient:
    fresh.initialize()
    return fresh


def marks(marker: Path) -> list[str]:
    return marker.read_text().split() if marker.exists() else []


def await_mark(marker: Path, mark: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while mark not in marks(marker):
        assert time.monotonic() < deadline, f"{mark!r} was never marked"
        time.sleep(0.005)


def await_gone(pid: int, timeout_s: float) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        deadline = time.monotonic() + timeout_s
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, f"process {pid} is still there"
            time.sleep(0.005)


@pytest.mark.soak
def test_00_stock_pygls_fails_at_the_defects_and_not_at_the_probes(marker) -> None:
    with WireClient(STOCK, marker=marker) as client:
        client.initialize()
        open_document(client, "text")
        assert client.command("/echo", 1) == [1]
        assert client.command("/lines", "file:///probe") == "text"
        client.command("/release")
        assert client.command("/thread") is True
        client.call("shutdown")
        client.notify("exit")
        client.close_input()
        assert client.wait_exit() == 0
        assert marks(marker) == ["released"]


def test_01_cancelling_a_command_reaches_its_handler(client) -> None:
    waiting = client.ask_command("/wait")
    assert client.command("/cancelled") == 0
    client.notify("$/cancelRequest", {"id": waiting})
    assert client.answer(waiting)["error"]["code"] == -32800
    assert client.command("/cancelled") == 1


def test_02_shutdown_while_commands_run_is_answered(client) -> None:
    waiting = [client.ask_command("/wait") for _ in range(3)]
    answer = client.call("shutdown")
    assert answer["result"] is None
    assert "error" not in answer
    for message_id in waiting:
        assert client.answer(message_id)["error"]["code"] == -32800


def test_03_the_exit_code_is_1_without_shutdown(client) -> None:
    client.notify("exit")
    client.close_input()
    assert client.wait_exit() == 1


def test_04_nothing_is_kept_of_what_is_done(client) -> None:
    open_document(client, "text")
    change = {"range": span(0, 0, 0, 0), "text": "x"}
    for version in range(1000):
        document = {"uri": "file:///probe", "version": version + 1}
        client.notify(
            "textDocument/didChange", {"textDocument": document, "contentChanges": [change]}
        )
    for message_id in [client.ask_command("/echo") for _ in range(200)]:
        client.answer(message_id)
    progress = client.ask_command("/progress", "token")
    create = client.sent("window/workDoneProgress/create")
    client.send({"jsonrpc": "2.0", "id": create["id"], "result": None})
    client.answer(progress)
    assert client.command("/kept") == 0


INVALID = [
    (request("a", "workspace/executeCommand", {"command": 5}), "a", -32602),
    (request("a", "workspace/executeCommand", []), "a", -32602),
    (request("a", "workspace/executeCommand", {"command": "/none"}), "a", -32602),
    (request("a", "textDocument/didOpen", {"textDocument": 1}), "a", -32602),
    (request("a", "none/such", {}), "a", -32601),
    (b'{"jsonrpc": "2.0", "id": 1,', None, -32700),
    (b"\xff\xfe", None, -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"x","params":NaN}', None, -32700),
    (b"[" * 100_000, None, -32700),
    ([request("a", "shutdown")], None, -32600),
    (7, None, -32600),
    ({"jsonrpc": "2.0", "id": "a"}, "a", -32600),
    ({"jsonrpc": "1.0", "id": "a", "method": "shutdown"}, "a", -32600),
    (request(1.5, "shutdown"), None, -32600),
    (request(True, "shutdown"), None, -32600),
    ({**request("a", "shutdown"), "method": 5}, "a", -32600),
]


def test_05_every_invalid_message_is_answered(client) -> None:
    for message, message_id, code in INVALID:
        client.send(message)
        assert (client.answer(message_id)["error"]["code"], message) == (code, message)
        assert client.command("/echo", "still there") == ["still there"]


def test_06_a_nested_key_jsonrpc_is_only_a_key(client) -> None:
    nested = {"jsonrpc": "2.0", "method": "x", "deeper": [{"jsonrpc": "2.0", "id": 1}]}
    assert client.command("/echo", nested) == [nested]


def test_07_untyped_params_are_plain_dicts(client) -> None:
    answer = client.call("probe/type", {"a": {"b": [1, {"class": 2, "type_name": "x y"}]}})
    assert answer["result"] == "dict"


def test_08_busy_threads_do_not_make_the_server_deaf(client) -> None:
    threads = min(32, (os.cpu_count() or 1) + 4)
    waiting = [client.ask_command("/thread") for _ in range(threads + 2)]
    client.command("/release")
    for message_id in waiting:
        assert client.answer(message_id)["result"] is True


def test_09_the_end_of_the_input_waits_for_no_thread(client) -> None:
    client.ask_command("/thread")
    client.command("/echo")
    client.close_input()
    assert client.wait_exit() == 1


def test_09_the_server_ends_with_its_editor_while_another_process_holds_the_pipe(
    fresh, marker
) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as editor:
        fresh.initialize(processId=editor.pid)
        fresh.command("/echo")
        editor.kill()
        editor.wait()
        assert fresh.wait_exit() == 1
    assert "released" in marks(marker)


def test_10_a_client_that_does_not_read_blocks_neither_the_loop_nor_the_end(kind, marker) -> None:
    program, timeout_s = (OURS, 20.0) if kind == "ours" else (STOCK, 4.0)
    with WireClient(program, marker=marker, reads=False, timeout_s=timeout_s) as client:
        client.ask("initialize", {"capabilities": {}, "processId": None, "rootUri": None})
        client.ask_command("/flood", 100)
        await_mark(marker, "flooded", timeout_s)
        assert psutil.Process(client.process.pid).memory_info().rss < 300_000_000
        client.close_input()
        assert client.wait_exit() == 1
        assert "released" in marks(marker)


def test_11_only_the_line_ends_of_the_lsp_end_a_line(client) -> None:
    text = "a\u2028b\x0cc\x85d\x1ee\nsecond\r\nthird\rfourth"
    open_document(client, text)
    document = {"uri": "file:///probe", "version": 2}
    changes = [
        {"range": span(1, 0, 1, 6), "text": "SECOND"},
        {"range": span(3, 0, 3, 6), "text": "FOURTH"},
    ]
    client.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})
    expected = "a\u2028b\x0cc\x85d\x1ee\nSECOND\r\nthird\rFOURTH"
    assert client.command("/lines", "file:///probe") == expected


def test_12_requests_before_initialize_are_refused(fresh) -> None:
    assert fresh.call("workspace/executeCommand", {"command": "/echo"})["error"]["code"] == -32002
    assert fresh.initialize()["result"]


def test_12_requests_after_shutdown_are_refused(client) -> None:
    assert "error" not in client.call("shutdown")
    for method in ("workspace/executeCommand", "initialize", "shutdown"):
        assert client.call(method, {"command": "/echo"})["error"]["code"] == -32600


def test_12_a_second_initialize_is_refused(client) -> None:
    assert client.call("initialize", {"capabilities": {}})["error"]["code"] == -32600
    assert client.command("/echo", 1) == [1]


def test_12_an_initialize_with_invalid_params_may_be_repeated(fresh) -> None:
    assert fresh.call("initialize", {"capabilities": 5})["error"]["code"] == -32602
    assert fresh.initialize()["result"]


def test_12_header_names_are_case_insensitive(client) -> None:
    body = frame(request("a", "workspace/executeCommand", {"command": "/echo"}))
    client.send_raw(body.replace(b"Content-Length", b"content-LENGTH"))
    assert client.answer("a")["result"] == []


def test_13_a_cancelled_request_to_the_client_is_cancelled_there(client) -> None:
    asking = client.ask_command("/ask")
    asked = client.sent("window/showMessageRequest")
    client.notify("$/cancelRequest", {"id": asking})
    assert client.answer(asking)["error"]["code"] == -32800
    cancelled = client.sent("$/cancelRequest")
    assert cancelled["params"] == {"id": asked["id"]}
    client.send({"jsonrpc": "2.0", "id": asked["id"], "result": None})
    assert client.command("/kept") == 0


def test_14_the_arguments_that_editors_append_are_accepted(kind) -> None:
    ours = [sys.executable, "-m", "orchestrator_server.cli", "serve"]
    program: Any = ours if kind == "ours" else STOCK
    with WireClient(program, "--stdio", "--clientProcessId=1", timeout_s=20) as client:
        assert client.initialize()["result"]["capabilities"]


def test_15_text_document_content_is_among_the_capabilities(fresh) -> None:
    able = {"workspace": {"textDocumentContent": {}}}
    workspace = fresh.initialize(capabilities=able)["result"]["capabilities"]["workspace"]
    assert workspace["textDocumentContent"] == {"schemes": ["probe"]}
    answer = fresh.call("workspace/textDocumentContent", {"uri": "probe:x"})
    assert answer["result"] == {"text": "probe:x"}


def test_16_a_system_exit_in_a_handler_ends_the_server_in_order(client, marker) -> None:
    leaving = client.ask_command("/exit", 5)
    assert client.answer(leaving)["error"]["code"] == -32603
    assert client.wait_exit() == 5
    assert "released" in marks(marker)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_17_a_signal_ends_the_server_in_order(client, marker, number) -> None:
    waiting = client.ask_command("/wait")
    client.command("/echo")
    client.process.send_signal(number)
    assert client.answer(waiting)["error"]["code"] == -32800
    assert client.wait_exit() == 0
    assert marks(marker) == ["cancelled", "released"]


def test_18_an_enormous_length_is_not_believed(client) -> None:
    for zeros in (8, 12, 20, 5000):
        client.send_raw(b"Content-Length: 1%b\r\n\r\n" % (b"0" * zeros))
        assert client.answer(None)["error"]["code"] == -32700
        assert client.command("/echo", zeros) == [zeros]


def test_19_after_a_length_that_is_none_the_next_request_is_answered(client) -> None:
    for length in (b"-1", b"abc", b"", b"1e3", b"0x10", b"\xff"):
        client.send_raw(b"Content-Length: %b\r\n\r\n{}" % length)
        assert client.command("/echo", 1) == [1]


@pytest.mark.parametrize("end", ["exit", "input", "kill"])
def test_20_a_child_ends_with_the_server(client, end) -> None:
    child = client.command("/child")
    try:
        if end == "exit":
            client.call("shutdown")
            client.notify("exit")
            client.close_input()
        elif end == "input":
            client.close_input()
        else:
            client.process.kill()
        client.wait_exit()
        await_gone(child, client.timeout_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def open_document(client: WireClient, text: str) -> None:
    item = {"uri": "file:///probe", "languageId": "text", "version": 1, "text": text}
    client.notify("textDocument/didOpen", {"textDocument": item})


def span(line: int, character: int, end_line: int, end_character: int) -> dict[str, Any]:
    return {
        "start": {"line": line, "character": character},
        "end": {"line": end_line, "character": end_character},
    }
