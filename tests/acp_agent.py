"""An agent of the tests' own: the Agent Client Protocol on stdio, its behaviour from a script.

Run as a program it is a real process: ``python acp_agent.py HOST:PORT``. What it does it asks of an
:class:`AgentScript` in the test's process, over loopback, so that a script goes on where an agent
has died. A script is a list of rules ``{"match": [TEXT…], "answers": [[STEP…]…], "again": …}``: a
prompt is answered by the first rule all of whose texts occur in it and that has answers left. The
handshake is the text ``initialize``, a new session ``session/new``, a look at whether the agent is
well ``session/list``. Steps, in their order:

    say TEXT                       a piece of the answer
    write PATH [text]              a file is written on disk, relative to the session's folder
    delete PATH, link PATH to      a file is deleted, a symbolic link made
    run COMMAND                    a shell line runs in the session's folder
    notice TITLE                   a word of its own, no part of the answer
    tool TITLE [kind, path]        it is told that a tool is used
    ask TITLE [kind, path, command]  permission is asked; what follows happens only if it is given
                                   (with "gives_up" its turn is cancelled, as Codex does it)
    fs_read PATH, fs_write PATH [text]  the client is asked to
    stderr BYTES, garbage LINES    noise
    cost USD, usage TOKENS         what it costs
    pause NAME                     waits until the test lets it go on, or the turn is cancelled
    deaf NAME                      the same, and a cancel is not heard
    die CODE                       the process ends
    stop REASON                    the turn ends for this reason
    error {code, message}          the turn ends with an error
    answer ANYTHING                the turn ends with this as its result
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

Step = dict[str, Any]


def rule(*answers: list[Step], match: tuple[str, ...] = (), again: bool = False) -> dict[str, Any]:
    """A rule of a script."""
    return {"match": list(match), "answers": list(answers), "again": again}


def say(text: str) -> Step:
    """A piece of the answer."""
    return {"say": text}


def write(path: str, text: str) -> Step:
    """A file is written."""
    return {"write": path, "text": text}


class AgentScript:
    """The script, served to agents; what they were asked, and what came of it. Thread-safe."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        self._rules = [{**rule, "answers": list(rule["answers"])} for rule in rules]
        self._lock = threading.Condition()
        self._released: set[str] = set()
        self.prompts: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Silent."""

            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                answer = script._asked(self.path, json.loads(self.rfile.read(size)))
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def command(self) -> str:
        """The command line of an agent that follows this script."""
        return f"{sys.executable} -S {Path(__file__)} 127.0.0.1:{self._server.server_port}"

    @property
    def pids(self) -> list[int]:
        """The processes that were started."""
        return [entry["pid"] for entry in self.log if entry["what"] == "start"]

    def results(self, what: str) -> list[Any]:
        """What came of the steps of a kind."""
        return [entry["result"] for entry in self.log if entry["what"] == what]

    def release(self, name: str) -> None:
        """Let what waits for a name go on."""
        with self._lock:
            self._released.add(name)

    def wait_for(self, what: str, count: int = 1, timeout_s: float = 40.0) -> None:
        """Wait until so many steps of a kind were begun. Blocks."""
        with self._lock:
            found = lambda: sum(e["what"] == what for e in self.log) >= count  # noqa: E731
            assert self._lock.wait_for(found, timeout_s), f"no {what} within {timeout_s} s"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _asked(self, path: str, body: dict[str, Any]) -> Any:
        with self._lock:
            if path == "/log":
                self.log.append(body)
                self._lock.notify_all()
                return None
            if path == "/released":
                return body["name"] in self._released
            self.prompts.append(body)
            for entry in self._rules:
                if entry["answers"] and all(text in body["text"] for text in entry["match"]):
                    last = len(entry["answers"]) == 1 and entry["again"]
                    return entry["answers"][0] if last else entry["answers"].pop(0)
            return None


class Agent:
    """The agent's side."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._out = threading.Lock()
        self._answers: dict[int, Any] = {}
        self._answered = threading.Condition()
        self._next = 0
        self._folders: dict[str, Path] = {}
        self._cancelled: dict[str, threading.Event] = {}

    def serve(self) -> None:
        """Until stdin ends."""
        self.tell("start", None)
        for line in sys.stdin:
            message = json.loads(line)
            if "method" not in message:
                with self._answered:
                    self._answers[message["id"]] = message
                    self._answered.notify_all()
            elif message["method"] == "session/cancel":
                self.tell("cancel", message["params"]["sessionId"])
                self._cancelled[message["params"]["sessionId"]].set()
            else:
                threading.Thread(target=self.handle, args=(message,), daemon=True).start()

    def handle(self, message: dict[str, Any]) -> None:
        """One request."""
        method, params = message["method"], message["params"]
        session = params.get("sessionId", "")
        answer: dict[str, Any]
        if method == "session/prompt":
            self._cancelled[session] = threading.Event()
            text = "".join(block.get("text", "") for block in params["prompt"])
            answer = self.play(session, self.post("prompt", session, text))
        elif method in ("initialize", "session/new", "session/list"):
            steps = self.post(method, "", method)
            answer = self.play("", steps) if steps else {}
            if "error" not in answer and "result" not in answer:
                answer = {"result": self.usual(method, params)}
        else:
            self.tell(method, params)
            answer = {"result": {}}
        self.send({"id": message["id"], **answer})

    def usual(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """What is answered where the script says nothing."""
        if method == "initialize":
            self.tell("hello", params)
            return self.hello()
        return self.begin(params) if method == "session/new" else {"sessions": []}

    def hello(self) -> dict[str, Any]:
        """The handshake."""
        sessions: dict[str, Any] = {"close": {}, "list": {}}
        return {
            "protocolVersion": 1,
            "agentCapabilities": {"sessionCapabilities": sessions},
            "agentInfo": {"name": "scripted", "version": "1"},
        }

    def begin(self, params: dict[str, Any]) -> dict[str, Any]:
        """A new session."""
        name = f"s{len(self._folders) + 1}"
        self._folders[name] = Path(params["cwd"])
        return {"sessionId": name}

    def play(self, session: str, steps: list[Step] | None) -> dict[str, Any]:
        """Carry out the steps of an answer."""
        if steps is None:
            return {"error": {"code": -32602, "message": "the script has no answer"}}
        tokens = None
        for step in steps:
            what = next(iter(step))
            if what in ("stop", "error", "answer"):
                return _ending(what, step[what])
            if what == "usage":
                tokens = step[what]
                continue
            if what in ("pause", "deaf", "die"):
                self.tell(what, step[what])
            try:
                result = getattr(self, f"do_{what}")(session, step)
            except OSError as error:
                result = f"{type(error).__name__}: {error}"
            if what not in ("pause", "deaf", "die", "say"):
                self.tell(what, result)
            if what == "ask" and result != "yes" and step.get("gives_up"):
                return {"result": {"stopReason": "cancelled"}}
            if what == "ask" and result != "yes":
                self.do_say(session, say("I was not allowed to."))
                break
            if what == "pause" and self._cancelled[session].is_set():
                return {"result": {"stopReason": "cancelled"}}
        usage = {"totalTokens": tokens, "inputTokens": tokens, "outputTokens": 0} if tokens else {}
        return {"result": {"stopReason": "end_turn", **({"usage": usage} if usage else {})}}

    def do_say(self, session: str, step: Step) -> None:
        content = {"type": "text", "text": step["say"]}
        self.update(session, {"sessionUpdate": "agent_message_chunk", "content": content})

    def do_write(self, session: str, step: Step) -> str:
        file = self.file(session, step["write"])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(step["text"].encode())
        if mode := step.get("mode"):
            file.chmod(mode)
        return "written"

    def do_delete(self, session: str, step: Step) -> str:
        self.file(session, step["delete"]).unlink()
        return "deleted"

    def do_link(self, session: str, step: Step) -> str:
        file = self.file(session, step["link"])
        file.unlink(missing_ok=True)
        file.symlink_to(step["to"])
        return "linked"

    def do_read(self, session: str, step: Step) -> str:
        return self.file(session, step["read"]).read_text()

    def do_run(self, session: str, step: Step) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", step["run"]],
            cwd=self._folders[session],
            capture_output=True,
            text=True,
            check=False,
        )
        return f"{done.returncode} {done.stdout}{done.stderr}"

    def do_notice(self, session: str, step: Step) -> None:
        told = {"severity": "warning", "title": step["notice"]}
        self.update(session, {"sessionUpdate": "notice", **told})

    def do_tool(self, session: str, step: Step) -> None:
        self.update(session, {"sessionUpdate": "tool_call", **self.call(session, step, "tool")})

    def do_ask(self, session: str, step: Step) -> str:
        options = [
            {"optionId": kind, "name": kind, "kind": kind}
            for kind in ("allow_always", "allow_once", "reject_once")
        ]
        asked = {"toolCall": self.call(session, step, "ask"), "options": options}
        answer = self.request("session/request_permission", {"sessionId": session, **asked})
        outcome = answer["result"]["outcome"]
        return "yes" if outcome.get("optionId") == "allow_once" else str(outcome)

    def do_fs_read(self, session: str, step: Step) -> str:
        path = str(self.file(session, step["fs_read"]))
        answer = self.request("fs/read_text_file", {"sessionId": session, "path": path})
        return answer["result"]["content"] if "result" in answer else str(answer["error"])

    def do_fs_write(self, session: str, step: Step) -> str:
        path = str(self.file(session, step["fs_write"]))
        params = {"sessionId": session, "path": path, "content": step["text"]}
        answer = self.request("fs/write_text_file", params)
        return "written" if "result" in answer else str(answer["error"])

    def do_stderr(self, session: str, step: Step) -> None:
        left = step["stderr"]
        while left > 0:
            left -= os.write(2, b"x" * 1023 + b"\n")

    def do_garbage(self, session: str, step: Step) -> None:
        with self._out:
            sys.stdout.write("Not a message at all.\n" * step["garbage"])
            sys.stdout.flush()

    def do_cost(self, session: str, step: Step) -> None:
        cost = {"amount": step["cost"], "currency": "USD"}
        self.update(session, {"sessionUpdate": "usage_update", "used": 1, "size": 10, "cost": cost})

    def do_pause(self, session: str, step: Step) -> None:
        while not self._cancelled[session].wait(0.01):
            if self.ask("/released", {"name": step["pause"]}):
                return

    def do_deaf(self, session: str, step: Step) -> None:
        while not self.ask("/released", {"name": step["deaf"]}):
            threading.Event().wait(0.01)

    def do_die(self, session: str, step: Step) -> None:
        sys.stderr.flush()
        os._exit(step["die"])

    def call(self, session: str, step: Step, what: str) -> dict[str, Any]:
        """What is told of a tool call."""
        self._next += 1
        call: dict[str, Any] = {"toolCallId": f"c{self._next}", "title": step[what]}
        call["kind"] = step.get("kind", "other")
        if "path" in step:
            call["locations"] = [{"path": str(self.file(session, step["path"]))}]
        if "command" in step:
            call["rawInput"] = {"command": step["command"]}
        return call

    def file(self, session: str, path: str) -> Path:
        return self._folders[session] / path

    def update(self, session: str, update: dict[str, Any]) -> None:
        params = {"sessionId": session, "update": update}
        self.send({"method": "session/update", "params": params})

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        with self._answered:
            self._next += 1
            number = self._next
        self.send({"id": number, "method": method, "params": params})
        with self._answered:
            self._answered.wait_for(lambda: number in self._answers)
            return self._answers.pop(number)

    def send(self, message: dict[str, Any]) -> None:
        with self._out:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            sys.stdout.flush()

    def post(self, what: str, session: str, text: str) -> list[Step] | None:
        folder = str(self._folders.get(session, ""))
        told = {"what": what, "session": session, "text": text, "cwd": folder, "pid": os.getpid()}
        return self.ask("/prompt", told)

    def tell(self, what: str, result: object) -> None:
        self.ask("/log", {"what": what, "result": result, "pid": os.getpid()})

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        connection = http.client.HTTPConnection(self._place, timeout=60)
        try:
            connection.request("POST", path, json.dumps(body))
            return json.load(connection.getresponse())
        finally:
            connection.close()


def _ending(what: str, value: Any) -> dict[str, Any]:
    if what == "stop":
        return {"result": {"stopReason": value}}
    return {"error": value} if what == "error" else {"result": value}


if __name__ == "__main__":
    Agent(sys.argv[1]).serve()
