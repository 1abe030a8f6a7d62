"""A model server of the tests' own: OpenAI's protocol on loopback, answers from a script.

Run as a program it is a real process: ``python scripted_model.py SCRIPT.json`` prints its port.
The script is ``{"rules": [{"match": [TEXT…], "answers": [ANSWER…]}…]}``. A request is answered by
the first rule all of whose texts occur in it and that has answers left; ``"again": true`` makes
the last answer of a rule serve for ever. What an answer may hold:

    text, calls [{name, arguments}]   what the model says; arguments as a string are sent as written
    delay_s, chunk_s                  before the first piece, and between pieces
    status, headers, body             an error instead
    cut                               after so many pieces the connection is dropped
    hang                              nothing is sent until the client goes away
    refusal                           the model refuses
    finish                            another reason to end than the usual one
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from model_dialects import frames

OVERFLOW = {
    "status": 400,
    "body": {
        "error": {
            "message": "This model's maximum context length is 1000 tokens.",
            "type": "invalid_request_error",
            "code": "context_length_exceeded",
        }
    },
}


class Script:
    """The rules, and what was asked so far. Thread-safe."""

    def __init__(self, rules: list[dict[str, Any]]) -> None:
        self._rules = [{**rule, "answers": list(rule["answers"])} for rule in rules]
        self._lock = threading.Lock()
        self.requests: list[dict[str, Any]] = []
        self.outside: list[str] = []
        self.active = 0
        self.most = 0

    def begin(self, body: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answer to a request, and the request's entry in the log."""
        with self._lock:
            self.active += 1
            self.most = max(self.most, self.active)
            entry = {"at": time.time(), "body": json.loads(body), "ended": "running"}
            self.requests.append(entry)
            told = json.dumps(entry["body"], ensure_ascii=False)
            for rule in self._rules:
                if rule["answers"] and all(_quoted(text) in told for text in rule.get("match", ())):
                    answers = rule["answers"]
                    last = len(answers) == 1 and rule.get("again")
                    return (answers[0] if last else answers.pop(0)), entry
        return {"status": 500, "body": {"error": {"message": "the script has no answer"}}}, entry

    def end(self, entry: dict[str, Any], how: str) -> None:
        """A request is over."""
        with self._lock:
            self.active -= 1
            entry["ended"], entry["ended_at"] = how, time.time()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    script: Script

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Silent."""

    def do_GET(self) -> None:
        """The list of models, or the log."""
        if self.path.endswith("/models"):
            self._json(200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]})
        else:
            script = self.script
            told = {"requests": script.requests, "most": script.most, "active": script.active}
            self._json(200, {**told, "outside": script.outside})

    def do_CONNECT(self) -> None:
        """Somebody for whom this is the proxy wants to talk to the world: noted, and refused."""
        self.script.outside.append(self.path)
        self.send_error(403)

    def do_POST(self) -> None:
        """A turn."""
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        answer, entry = self.script.begin(body)
        how = "gone"
        try:
            how = self._answer(answer, entry["body"])
        except OSError:
            self.close_connection = True
        finally:
            self.script.end(entry, how)

    def _answer(self, answer: dict[str, Any], request: dict[str, Any]) -> str:
        if "status" in answer:
            error = {"error": {"message": f"scripted {answer['status']}", "type": "scripted"}}
            self._json(answer["status"], answer.get("body", error), answer.get("headers", {}))
            return "error"
        if answer.get("hang"):
            self.connection.recv(1)  # nothing comes but the end
            self.close_connection = True
            return "gone"
        time.sleep(answer.get("delay_s", 0))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, frame in enumerate(frames(self.path)(answer, request)):
            if answer.get("cut") == number:
                self.close_connection = True
                return "cut"
            self._write(frame)
            time.sleep(answer.get("chunk_s", 0))
        self.wfile.write(b"0\r\n\r\n")
        return "told"

    def _write(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """Many connections at once."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error."""


class ModelProcess:
    """The server as a process of its own, with this script; ended at the end of the block."""

    def __init__(self, folder: Path, *rules: dict[str, Any]) -> None:
        self._file = folder / f"script-{time.monotonic_ns()}.json"
        self._file.write_text(json.dumps({"rules": rules}), "utf-8")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._file)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def log(self) -> dict[str, Any]:
        """What was asked, and how each request ended."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/log") as answer:
            return json.load(answer)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests, in the order of their coming."""
        return self.log()["requests"]


def say(text: str, **more: Any) -> dict[str, Any]:
    """An answer in words."""
    return {"text": text, **more}


def call(name: str, /, **arguments: Any) -> dict[str, Any]:
    """An answer that calls one tool."""
    return {"calls": [{"name": name, "arguments": arguments}]}


def rule(
    *answers: dict[str, Any], match: tuple[str, ...] = (), again: bool = False
) -> dict[str, Any]:
    """Answers to the requests in which all of ``match`` occurs."""
    return {"match": list(match), "answers": list(answers), "again": again}


def main() -> None:
    """Serve until killed."""
    Handler.script = Script(json.loads(Path(sys.argv[1]).read_text("utf-8"))["rules"])
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
