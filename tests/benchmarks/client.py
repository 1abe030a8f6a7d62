"""What the benchmarks of the server share: a client that costs next to nothing."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from benchmarks.harness import ROOT
from orchestrator_server.frames import FrameDecoder, Message, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

REAL = [sys.executable, "-m", "orchestrator_server.cli", "serve", "--stdio"]
EDITOR = json.loads((ROOT / "fixtures/editors/vscode-1.139.1.json").read_text("utf-8"))


class Client:
    """A client without threads, which answers what the server asks while it waits.

    Attributes:
        notified: the latest notifications that came.
    """

    def __init__(self, argv: Sequence[str], home: Path) -> None:
        path = os.pathsep.join(str(ROOT / part) for part in ("core", "server"))
        state = {name: str(home / name) for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME")}
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **state, "PYTHONPATH": path},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input = self.process.stdin.fileno()
        self._output = self.process.stdout.fileno()
        self._decoder = FrameDecoder()
        self.notified: deque[dict[str, Any]] = deque(maxlen=1000)
        self._answers: dict[int, dict[str, Any]] = {}
        self._last_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def send(self, message: dict[str, Any]) -> None:
        data = encode_frame(json.dumps({"jsonrpc": "2.0", **message}).encode())
        while data:
            data = data[os.write(self._input, data) :]

    def ask(self, method: str, params: object = None) -> int:
        self._last_id += 1
        self.send({"id": self._last_id, "method": method, "params": params})
        return self._last_id

    def answered(self, message_id: int) -> bool:
        return message_id in self._answers

    def answer(self, message_id: int) -> Any:
        while message_id not in self._answers:
            self._read()
        answer = self._answers.pop(message_id)
        if "error" in answer:
            raise RuntimeError(f"the server refused: {answer['error']}")
        return answer["result"]

    def call(self, method: str, params: object = None) -> Any:
        return self.answer(self.ask(method, params))

    def command(self, name: str, *values: object) -> Any:
        return self.call("workspace/executeCommand", {"command": name, "arguments": values})

    def initialize(self, root: Path, **options: object) -> dict[str, Any]:
        params = {
            **EDITOR,
            "capabilities": {**EDITOR["capabilities"], "workspace": {}},  # edits go to the disk
            "processId": None,
            "rootPath": str(root),
            "rootUri": root.as_uri(),
            "workspaceFolders": [{"uri": root.as_uri(), "name": root.name}],
            "initializationOptions": options,
        }
        return self.call("initialize", params)["capabilities"]

    def notification(self, method: str, wanted: Callable[[Any], bool]) -> Any:
        """The params of the next notification of a method that is wanted."""
        while True:
            while self.notified:
                message = self.notified.popleft()
                if message["method"] == method and wanted(message["params"]):
                    return message["params"]
            self._read()

    def _read(self) -> None:
        data = os.read(self._output, 65536)
        if not data:
            raise RuntimeError("the server has ended")
        for frame in self._decoder.feed(data):
            assert isinstance(frame, Message)
            message: Any = frame.value
            if "method" not in message:
                self._answers[message["id"]] = message
            elif "id" in message:
                self.send({"id": message["id"], "result": None})
            else:
                self.notified.append(message)
