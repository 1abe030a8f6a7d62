"""A small JSON-RPC client over the real binary's stdio."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

REPOSITORY = Path(__file__).resolve().parents[3]
DEADLINE_S = 30.0


def binary() -> str:
    """The tool server beside the interpreter, or the one that cargo built here."""
    built = REPOSITORY / "core" / "tool-server" / "target" / "release" / "opencode-tool-server"
    installed = Path(sys.executable).parent / "opencode-tool-server"
    candidates = [os.environ.get("OPENCODE_TOOL_SERVER"), str(built), str(installed)]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            return candidate
    found = shutil.which("opencode-tool-server")
    assert found, "opencode-tool-server is not built: run cargo build --release in core/tool-server"
    return found


class RpcError(Exception):
    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.data: Any = error.get("data")


class ToolServer:
    """Owns one process; a context manager. Calls may be made from any thread."""

    def __init__(self, root: Path | str, *arguments: str, **popen: Any) -> None:
        self.process = subprocess.Popen(
            [binary(), "--root", str(root), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **popen,
        )
        self._ids = itertools.count(1)
        self._pending: dict[int | str, Future[Any]] = {}
        self._lock = threading.Lock()
        self.orphans: list[dict[str, Any]] = []
        self.orphaned = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        self.process.stdout.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            message = json.loads(line)
            with self._lock:
                future = self._pending.pop(message.get("id"), None)
            if future is None:
                with self.orphaned:
                    self.orphans.append(message)
                    self.orphaned.notify_all()
            elif "error" in message:
                future.set_exception(RpcError(message["error"]))
            else:
                future.set_result(message["result"])
        with self._lock:
            for future in self._pending.values():
                future.set_exception(EOFError("the tool server ended"))
            self._pending.clear()

    def write(self, line: bytes) -> None:
        assert self.process.stdin
        with self._lock:
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def send(self, method: str, params: Any) -> tuple[int, Future[Any]]:
        future: Future[Any] = Future()
        number = next(self._ids)
        with self._lock:
            self._pending[number] = future
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self.write(json.dumps(message).encode() + b"\n")
        return number, future

    def notify(self, method: str, params: Any) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self.write(json.dumps(message).encode() + b"\n")

    def request(self, method: str, params: Any = None) -> Any:
        return self.send(method, params)[1].result(DEADLINE_S)

    def submit(self, name: str, **arguments: Any) -> tuple[int, Future[Any]]:
        return self.send(
            "tools/call",
            {
                "name": name,
                "arguments": arguments,
                "_meta": {"orchestrator/structured": True},
            },
        )

    def call(self, name: str, **arguments: Any) -> Any:
        return self.submit(name, **arguments)[1].result(DEADLINE_S)["structuredContent"]
