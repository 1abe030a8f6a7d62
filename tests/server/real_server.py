"""The real server, spoken to in raw frames: folders, what it leaves, how it is ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil

from server.wire_client import ROOT, WireClient

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CLI = [sys.executable, "-m", "orchestrator_server.cli"]


class RealServer(WireClient):
    """A server with folders open; its state and cache folders are below ``home``."""

    def __init__(self, home: Path, *folders: Path, argv: Sequence[str] = (), **params: Any) -> None:
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
            os.environ[name] = str(home / name)
        super().__init__([*argv, *CLI, "serve", "--stdio"], timeout_s=60)
        self.initialize(
            capabilities={"workspace": {}, "window": {}, **params.pop("capabilities", {})},
            workspaceFolders=[folder_of(folder) for folder in folders],
            **params,
        )

    def run_to_end(self, text: str, **options: object) -> dict[str, Any]:
        """Carry out a task and answer its report."""
        return self.command("/task", text, {"wait": True, **options})

    def family(self) -> list[psutil.Process]:
        """The server and all that it has started."""
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def event(self, kind: str) -> dict[str, Any]:
        """The next mission event of a kind."""
        method = "$/orchestrator/missionEvent"
        found = self.wait_for(lambda m: m.get("method") == method and m["params"]["kind"] == kind)
        return found["params"]


def folder_of(path: Path) -> dict[str, str]:
    return {"uri": path.as_uri(), "name": path.name}


def trust(home: Path, root: Path) -> None:
    """Let commands run in a workspace."""
    own = {name: str(home / name) for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME")}
    path = os.pathsep.join([str(ROOT / "core"), str(ROOT / "server")])
    subprocess.run(
        [*CLI, "trust", "--workspace", str(root)],
        env={**os.environ, **own, "PYTHONPATH": path},
        check=True,
        capture_output=True,
    )


def wait_until(condition: Any, timeout_s: float = 30.0) -> Any:
    """Look until ``condition()`` is true, for what nobody tells."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return found
