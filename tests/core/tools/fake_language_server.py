"""A language server that does what it is told, faults included."""

import json
import os
import sys
import time
from typing import Any

initialize_params: dict[str, Any] = {}
waiting: dict[object, object] = {}
cancelled = 0
log_path = ""
seen: list[str] = []
asked: dict[object, str] = {}
replies: dict[str, Any] = {}
ask_id: object = None

QUESTIONS: dict[str, object] = {
    "workspace/configuration": {"items": [{"section": "fake"}, {"section": "other"}]},
    "client/registerCapability": {"registrations": []},
    "window/workDoneProgress/create": {"token": 1},
    "workspace/applyEdit": {"edit": {}},
    "workspace/workspaceFolders": None,
    "made/up": {},
}


def send(message: dict[str, object]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\nX: y\r\n\r\n" % len(body) + body)
    sys.stdout.buffer.flush()


def read() -> dict[str, Any] | None:
    length = 0
    while line := sys.stdin.buffer.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return json.loads(sys.stdin.buffer.read(length)) if length else None


def handle(message: dict[str, Any]) -> None:
    global initialize_params, cancelled, log_path, ask_id  # noqa: PLW0603 - a script's state
    method, call_id = message.get("method"), message.get("id")
    params: dict[str, Any] = message.get("params") or {}
    if method is None:
        replies[asked.pop(call_id)] = message
        if not asked:
            send({"id": ask_id, "result": replies})
        return
    seen.append(method)
    result: object = None
    if method == "initialize":
        initialize_params = params
        result = {"capabilities": {"positionEncoding": "utf-8"}}
    elif method == "initialize_params":
        result = initialize_params
    elif method == "echo":
        result = params
    elif method == "cancelled":
        result = cancelled
    elif method == "release":
        send({"id": waiting.pop(params["key"]), "result": "released"})
    elif method == "wait_for":
        waiting[params["key"]] = call_id
        return
    elif method == "$/cancelRequest":
        cancelled += 1
    elif method == "ask_client":
        ask_id = call_id
        asked.update({f"q{n}": question for n, question in enumerate(QUESTIONS)})
        for question_id, question in list(asked.items()):
            send({"id": question_id, "method": question, "params": QUESTIONS[question]})
        return
    elif method == "crash":
        sys.exit("lost my way")
    elif method == "garbage":
        sys.stdout.buffer.write(b"Content-Length: 3\r\n\r\n{a}")
        sys.stdout.buffer.flush()
        return
    elif method == "log_to":
        log_path = params["path"]
        seen.clear()
    elif method == "ignore_everything":
        send({"id": call_id, "result": None})
        time.sleep(600)
    elif method == "exit":
        if log_path:
            with open(log_path, "w") as file:
                json.dump(seen, file)
        os._exit(0)
    elif method not in ("shutdown", "initialized"):
        send({"id": call_id, "error": {"code": -32601, "message": "no such method"}})
        return
    if call_id is not None:
        send({"id": call_id, "result": result})


while (received := read()) is not None:
    handle(received)
