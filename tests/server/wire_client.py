"""A client that speaks in raw frames, so that it can speak badly."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from orchestrator_server.frames import BadFrame, FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OURS = HERE / "probe_server.py"
STOCK = HERE / "stock_probe_server.py"

Answer = dict[str, Any]


def frame(message: object) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def request(message_id: object, method: str, params: object = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message_id, "method": method, "params": params}


class WireClient:
    """A server process and the raw conversation with it.

    Args:
        server: the program to start.
        arguments: its arguments.
        marker: the file where the probes leave their marks.
        reads: whether to read what the server writes.
        timeout_s: how long to wait for anything.
    """

    def __init__(
        self,
        server: Path | Sequence[str],
        *arguments: str,
        marker: Path | None = None,
        reads: bool = True,
        timeout_s: float = 20.0,
    ) -> None:
        self.timeout_s = timeout_s
        self._ids = itertools.count(1)
        self._changed = threading.Condition()
        self.messages: list[Answer] = []
        argv = [sys.executable, str(server)] if isinstance(server, Path) else list(server)
        path = [str(ROOT / "core"), str(ROOT / "server"), str(HERE)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        if marker is not None:
            environment["PROBE_MARKER"] = str(marker)
        self.process = subprocess.Popen(
            [*argv, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input = self.process.stdin
        self.output = self.process.stdout
        self._reader = threading.Thread(target=self._read, daemon=True)
        if reads:
            self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self._reader.is_alive():
            self._reader.join(5)
        self.close_input()
        self.output.close()

    def close_input(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.input.close()

    def send_raw(self, data: bytes) -> None:
        self.input.write(data)
        self.input.flush()

    def send(self, message: object) -> None:
        self.send_raw(frame(message))

    def notify(self, method: str, params: object = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, params: object = None) -> int:
        """Send a request and return its id."""
        message_id = next(self._ids)
        self.send(request(message_id, method, params))
        return message_id

    def call(self, method: str, params: object = None) -> Answer:
        """Send a request and wait for its answer."""
        return self.answer(self.ask(method, params))

    def command(self, name: str, *arguments: object) -> Any:
        """Run a command and return its result."""
        answer = self.answer(self.ask_command(name, *arguments))
        assert "error" not in answer, answer
        return answer["result"]

    def ask_command(self, name: str, *arguments: object) -> int:
        params = {"command": name, "arguments": list(arguments)}
        return self.ask("workspace/executeCommand", params)

    def initialize(self, **params: object) -> Answer:
        answer = self.call(
            "initialize", {"capabilities": {}, "processId": None, "rootUri": None, **params}
        )
        self.notify("initialized", {})
        return answer

    def answer(self, message_id: object) -> Answer:
        return self.wait_for(lambda m: m.get("id", "") == message_id and "method" not in m)

    def sent(self, method: str) -> Answer:
        """The next request or notification of that method."""
        return self.wait_for(lambda m: m.get("method") == method)

    def wait_for(self, wanted: Callable[[Answer], bool]) -> Answer:
        """The first message that is wanted, taken out of those that have come.

        Raises:
            TimeoutError: it did not come in time.
        """
        deadline = time.monotonic() + self.timeout_s
        with self._changed:
            while True:
                for index, message in enumerate(self.messages):
                    if wanted(message):
                        return self.messages.pop(index)
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"it never came; what came: {str(self.messages)[:500]}")

    def wait_exit(self) -> int:
        return self.process.wait(self.timeout_s)

    def _read(self) -> None:
        decoder = FrameDecoder()
        while data := os.read(self.output.fileno(), 65536):
            for message in decoder.feed(data):
                assert not isinstance(message, BadFrame), message
                with self._changed:
                    self.messages.append(message.value)  # pyright: ignore[reportArgumentType]
                    self._changed.notify_all()
