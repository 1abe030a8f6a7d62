"""A server that does everything wrong that a server can do wrong, and pools of it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator_core.runtime.tool_pool import RustToolPool

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 20.0


class Bench:
    """A fake server's program, its start log, and pools that are closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "starts"
        self.binary = folder / "server"
        source = Path(__file__).with_name("fake_tool_server.py")
        # The shell logs the start: Python may take longer to begin than a server is given.
        run = f'echo $$ >>"$FAKE_LOG"\nexec "{sys.executable}" -S -E "{source}" "$@"\n'
        self.binary.write_text(f"#!/bin/sh\n{run}")
        self.binary.chmod(0o755)
        self.pools = contextlib.ExitStack()

    def pool(self, **options: Any) -> RustToolPool:
        return self.pools.enter_context(RustToolPool(self.binary, self.folder, **options))

    def starts(self) -> list[int]:
        return [int(pid) for pid in self.log.read_text().split()] if self.log.exists() else []


def pool_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("tool-", "server-"))]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
