"""A tool server that does what it is told, faults included: the peer of the pool's tests.

``FAKE_START`` makes the start itself go wrong: ``crash``, ``hang`` or ``garbage``.
"""

import json
import os
import signal
import sys
import threading
import time
from typing import Any

write_lock = threading.Lock()
cancelled: dict[object, threading.Event] = {}
overlays: dict[str, str] = {}
ballast: list[bytearray] = []
held: list[int] = []
statuses: list[int] = []


def send(message: dict[str, object]) -> None:
    data = json.dumps(message).encode() + b"\n"
    with write_lock:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def answer(call_id: object, value: dict[str, object]) -> None:
    text = [{"type": "text", "text": "a summary"}]
    send({"jsonrpc": "2.0", "id": call_id, "result": {"content": text, "structuredContent": value}})


def fail(call_id: object, code: int, message: str, data: object = None) -> None:
    send(
        {"jsonrpc": "2.0", "id": call_id, "error": {"code": code, "message": message, "data": data}}
    )


def run(call_id: object, name: str, arguments: dict[str, Any], event: threading.Event) -> None:
    if name == "echo":
        answer(
            call_id,
            {"value": arguments.get("value"), "pid": os.getpid(), "root": sys.argv[2]},
        )
    elif name == "overlays":
        answer(call_id, dict(overlays))
    elif name == "wait":  # stops when it is cancelled, and says so
        if event.wait(arguments["seconds"]):
            fail(call_id, -32800, "cancelled")
        else:
            answer(call_id, {"pid": os.getpid()})
    elif name == "stubborn":
        time.sleep(arguments["seconds"])
        answer(call_id, {"pid": os.getpid()})
    elif name == "was_cancelled":
        answer(call_id, {"count": sum(e.is_set() for e in cancelled.values())})
    elif name == "crash":
        sys.stderr.write("about to fall\n")
        sys.stderr.flush()
        os.kill(os.getpid(), arguments.get("signal", signal.SIGKILL))
    elif name == "flood":
        for _ in range(arguments["mib"]):
            sys.stderr.write("e" * (1 << 20))
        answer(call_id, {"flooded": True})
    elif name == "garbage":
        with write_lock:
            sys.stdout.buffer.write(b"{this is not json}\n")
            sys.stdout.buffer.flush()
    elif name == "big":
        answer(call_id, {"text": "b" * arguments["bytes"]})
    elif name == "grow":
        ballast.append(bytearray(os.urandom(1)) * arguments["bytes"])
        answer(call_id, {"pid": os.getpid()})
    elif name == "hold":  # on purpose, as an index is
        ballast.append(bytearray(os.urandom(1)) * arguments["bytes"])
        held.append(arguments["bytes"])
        answer(call_id, {"pid": os.getpid()})
    elif name == "statuses":
        answer(call_id, {"asked": len(statuses)})
    elif name == "length":
        answer(call_id, {"length": len(arguments["text"])})
    elif name == "is_error":
        result = {"content": [{"type": "text", "text": "the pattern is wrong"}], "isError": True}
        send({"jsonrpc": "2.0", "id": call_id, "result": result})
    elif name == "odd":
        answer(call_id, {"files": "not a list"})
    else:
        fail(call_id, -32602, f"unknown tool {name!r}", {"tools": ["echo"]})


def main() -> None:
    start = os.environ.get("FAKE_START", "")
    if start == "crash":
        sys.exit("cannot find my grammar")
    if start == "garbage":
        print("Welcome!", flush=True)
    if start == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    for line in sys.stdin.buffer:
        message = json.loads(line)
        method, call_id = message["method"], message.get("id")
        params = message.get("params", {})
        if method == "initialize":
            send({"jsonrpc": "2.0", "id": call_id, "result": {"protocolVersion": "2025-06-18"}})
        elif method == "ping":
            send({"jsonrpc": "2.0", "id": call_id, "result": {}})
        elif method == "orchestrator/status":
            statuses.append(sum(held))
            send({"jsonrpc": "2.0", "id": call_id, "result": {"heldBytes": sum(held)}})
        elif method == "notifications/cancelled":
            cancelled[params["requestId"]].set()
        elif method == "overlay/set":
            overlays[params["path"]] = params["text"]
        elif method == "overlay/clear":
            del overlays[params["path"]]
        elif method == "tools/list":
            schema = {"type": "object", "properties": {"value": {}}}
            tool = {"name": "echo", "description": "says it", "inputSchema": schema}
            send({"jsonrpc": "2.0", "id": call_id, "result": {"tools": [tool]}})
        elif method == "tools/call":
            if params["name"] == "hang":  # the reader itself: no ping is answered either
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
            cancelled[call_id] = threading.Event()
            arguments = (call_id, params["name"], params["arguments"], cancelled[call_id])
            threading.Thread(target=run, args=arguments, daemon=True).start()
    os._exit(0)


main()
