"""How a server ends: by whichever way, once, in order, with the right code."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from operator import gt
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator_server.lifecycle import Session
from orchestrator_server.server import HardenedServer
from orchestrator_server.transport import Wire
from server.wire_client import OURS, WireClient, frame, request

EDITORS = Path(__file__).parents[2] / "fixtures" / "editors"


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marks"


@pytest.fixture
def client(marker):
    with WireClient(OURS, marker=marker) as client:
        client.initialize()
        yield client


def program(body: str) -> list[str]:
    """A server of ten lines with something special in it."""
    setup = """
        import asyncio, logging, os, sys, threading, time
        from orchestrator_server.lifecycle import leave, run
        from orchestrator_server.server import HardenedServer
        server = HardenedServer("special", "1")
        async def on_shutdown(reason): ...
    """
    return [sys.executable, "-c", textwrap.dedent(setup) + textwrap.dedent(body)]


def test_exit_after_shutdown_is_0_and_everything_was_released_before_the_answer(
    client, marker
) -> None:
    assert client.call("shutdown")["result"] is None
    assert marker.read_text() == "released\n"
    client.notify("exit")
    assert client.wait_exit() == 0
    assert marker.read_text() == "released\n"


def test_the_end_of_the_input_after_shutdown_is_0(client) -> None:
    client.call("shutdown")
    client.close_input()
    assert client.wait_exit() == 0


def test_sigint_ends_as_sigterm_does_and_a_second_signal_changes_nothing(client, marker) -> None:
    client.process.send_signal(signal.SIGINT)
    client.process.send_signal(signal.SIGTERM)
    assert client.wait_exit() == 0
    assert marker.read_text() == "released\n"


def test_a_broken_output_ends_the_server(marker) -> None:
    with WireClient(OURS, marker=marker, reads=False) as client:
        client.output.close()
        client.ask("initialize", {"capabilities": {}})
        assert client.wait_exit() == 1
    assert marker.read_text() == "released\n"


def test_exit_before_initialize_ends_the_server(marker) -> None:
    with WireClient(OURS, marker=marker) as client:
        client.notify("exit")
        assert client.wait_exit() == 1
    assert marker.read_text() == "released\n"


def test_standard_output_belongs_to_the_protocol(client) -> None:
    """The probe server prints in its shutdown callback; `WireClient` refuses a bad frame."""
    client.call("shutdown")
    client.notify("exit")
    assert client.wait_exit() == 0
    client._reader.join(10)
    assert client.messages == []


def test_what_children_and_c_code_print_is_not_on_the_wire() -> None:
    body = """
        @server.command("/print")
        def noise():
            print("from Python")
            os.write(1, b"from C")
            os.system("echo from a child; cat")
        leave(run(server, on_shutdown=on_shutdown))
    """
    with WireClient(program(body)) as client:
        client.initialize()
        assert client.command("/print") is None
        assert client.messages == []


def test_a_shutdown_callback_that_raises_makes_the_exit_code_1() -> None:
    body = """
        async def on_shutdown(reason): raise ValueError(reason)
        leave(run(server, on_shutdown=on_shutdown))
    """
    with WireClient(program(body)) as client:
        client.initialize()
        assert client.call("shutdown")["result"] is None
        client.notify("exit")
        assert client.wait_exit() == 1


def test_shutdown_is_answered_before_a_slow_callback_is_done_and_exit_waits_for_it(
    marker, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    body = f"""
        async def on_shutdown(reason):
            while not os.path.exists({str(gate)!r}): await asyncio.sleep(0.01)
            open({str(marker)!r}, "w").write(reason)
        leave(run(server, on_shutdown=on_shutdown))
    """
    with WireClient(program(body)) as client:
        client.initialize()
        assert client.call("shutdown")["result"] is None
        client.notify("exit")
        assert not marker.exists()
        gate.touch()
        assert client.wait_exit() == 0
        assert marker.read_text() == "shutdown"


@pytest.mark.parametrize("end", ["input", "signal", "exit"])
@pytest.mark.parametrize("hang", ["await asyncio.Event().wait()", "time.sleep(60)"])
def test_a_callback_that_hangs_is_ended_by_force(marker, hang, end) -> None:
    body = f"""
        async def on_shutdown(reason): {hang}
        last = lambda: open({str(marker)!r}, "w").write("killed")
        leave(run(server, on_shutdown=on_shutdown, hard_exit_s=0.3, last_resort=last))
    """
    with WireClient(program(body)) as client:
        client.initialize()
        if end == "input":
            client.close_input()
        elif end == "signal":
            client.process.send_signal(signal.SIGTERM)
        else:
            client.notify("exit")
        assert client.wait_exit() == 1
        assert marker.read_text() == "killed"


def test_a_loop_blocked_by_a_handler_ends_with_the_input() -> None:
    body = """
        @server.command("/block")
        def block(): time.sleep(60)
        leave(run(server, on_shutdown=on_shutdown, hard_exit_s=0.3))
    """
    with WireClient(program(body)) as client:
        client.initialize()
        client.ask_command("/block")
        client.close_input()
        assert client.wait_exit() == 1


def test_a_cancelled_command_that_takes_its_time_is_answered_soon() -> None:
    body = """
        release = asyncio.Event()
        @server.command("/slow")
        async def slow():
            try: await asyncio.Event().wait()
            finally: await release.wait()
        @server.command("/release")
        def let_go(): release.set()
        leave(run(server, on_shutdown=on_shutdown))
    """
    with WireClient(program(body)) as client:
        client.initialize()
        slow = client.ask_command("/slow")
        client.notify("$/cancelRequest", {"id": slow})
        assert client.answer(slow)["error"]["code"] == -32800
        client.command("/release")
        client.call("shutdown")
        assert [m for m in client.messages if m.get("id") == slow] == []


def test_the_work_done_token_reaches_the_command() -> None:
    body = """
        @server.command("/token")
        async def token():
            await asyncio.sleep(0)
            return server.current_work_done_token()
        leave(run(server, on_shutdown=on_shutdown))
    """
    with WireClient(program(body)) as client:
        client.initialize()
        params = {"command": "/token", "workDoneToken": "the token"}
        first = client.ask("workspace/executeCommand", params)
        second = client.ask("workspace/executeCommand", {"command": "/token"})
        assert client.answer(first)["result"] == "the token"
        assert client.answer(second)["result"] is None


@pytest.mark.parametrize("editor", sorted(EDITORS.glob("*.json")), ids=lambda path: path.stem)
def test_every_editor_is_understood(editor: Path) -> None:
    asyncio.run(converse_as(editor))


async def converse_as(editor: Path) -> None:
    params = json.loads(editor.read_text())
    answers = await converse([request(1, "initialize", params), request(2, "shutdown")])
    assert answers[0]["result"]["serverInfo"] == {"name": "inside", "version": "1"}
    encodings = params["capabilities"].get("general", {}).get("positionEncodings", ["utf-16"])
    assert answers[0]["result"]["capabilities"]["positionEncoding"] == encodings[0]


def test_an_enumerator_of_a_later_lsp_costs_no_editor_its_initialize() -> None:
    kinds = {"valueSet": [1, 2, 99]}
    capabilities = {"textDocument": {"documentSymbol": {"symbolKind": kinds}}}
    message = request(1, "initialize", {"capabilities": capabilities, "processId": None})
    assert "result" in asyncio.run(converse([message]))[0]


async def converse(messages: list[Any], server: HardenedServer | None = None) -> list[Any]:
    """Serve within this process: send messages, then the end; return what was answered."""
    input_fd, client_out = os.pipe()
    client_in, output_fd = os.pipe()

    async def on_shutdown(reason: str) -> None:
        assert reason

    session = Session(
        server or HardenedServer("inside", "1"), Wire(input_fd, output_fd), on_shutdown
    )
    reading = asyncio.create_task(asyncio.to_thread(read_all, client_in))
    await asyncio.to_thread(os.write, client_out, b"".join(map(frame, messages)))
    os.close(client_out)
    await session.serve()
    return await reading


def read_all(fd: int) -> list[Any]:
    with os.fdopen(fd, "rb") as file:
        bodies = file.read().split(b"Content-Length: ")[1:]
    return [json.loads(body.partition(b"\r\n\r\n")[2]) for body in bodies]


def test_the_collector_passes_the_types_of_the_lsp_over_while_the_rest_is_imported() -> None:
    body = """
        import gc, os, sys
        from orchestrator_server import cli

        class Watch:
            def find_spec(self, name, path=None, target=None):
                if name == "orchestrator_server.app":
                    os.write(1, b"%d %d" % (gc.get_freeze_count(), gc.isenabled()))
                    os._exit(0)

        sys.meta_path.insert(0, Watch())
        cli.main(["serve"])
    """
    told = subprocess.check_output([sys.executable, "-c", textwrap.dedent(body)], text=True)
    frozen, enabled = map(int, told.split())
    assert frozen > 20_000
    assert enabled


def test_a_server_that_has_ended_is_forgotten() -> None:
    server = HardenedServer("inside", "1")

    @server.command("/echo")
    def echo(ls: HardenedServer, value: int = 1) -> int:
        return value + len(ls.name)

    command = request(2, "workspace/executeCommand", {"command": "/echo", "arguments": []})
    messages = [request(1, "initialize", {"capabilities": {}}), command]
    answers = asyncio.run(converse(messages, server))
    assert answers[1]["result"] == 7
    forgotten = weakref.ref(server)
    del server, echo
    gc.collect()
    assert forgotten() is None


@pytest.mark.soak
def test_a_hundred_servers_in_one_process_leave_nothing() -> None:
    message = request(1, "initialize", {"capabilities": {}, "processId": os.getpid()})
    process = psutil.Process()

    def counts() -> tuple[int, int, int]:
        return process.num_fds(), process.num_threads(), len(process.children())

    asyncio.run(converse([message]))
    before = counts()
    for _ in range(100):
        asyncio.run(converse([message]))
    deadline = time.monotonic() + 5
    while any(map(gt, counts(), before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(gt, counts(), before)), (counts(), before)
