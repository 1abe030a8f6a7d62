"""However a server is ended in the middle of a mission, nothing of it is left.

Each round ends it at another moment, by another of the ways there are. The small form runs each
way once; the long one has 200 rounds.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from orchestrator_core.mission.fold import replay
from orchestrator_core.mission.journal import Journal
from server.real_server import RealServer, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = 24
GONE_S = 5.0
IDLE_GONE_S = 0.5
LATEST_S = 0.8
"""The latest moment after a mission began; it takes longer than that."""

WAYS = ("exit", "input", "SIGTERM", "SIGKILL", "editor")
MARK = "ORCHESTRATOR_SOAK"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))  # taken back afterwards
    monkeypatch.setenv(MARK, str(tmp_path))
    return tmp_path


def make(root: Path) -> Path:
    (root / "src").mkdir(parents=True)
    for number in range(FILES):
        lines = "".join(f"value_{line} = old_name({line})\n" for line in range(300))
        (root / "src" / f"module_{number}.py").write_text("def old_name(x): ...\n" + lines)
    return root


def plan(old: str, new: str) -> str:
    tasks = (f"{n}. replace {old} -> {new} in src/module_{n}.py" for n in range(FILES))
    return "\n".join(tasks)


def ours(home: Path) -> list[psutil.Process]:
    """Every process with this test's mark in its environment but the test's own."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def editor() -> subprocess.Popen[bytes]:
    """A process that stands for the editor, by its id alone: the pipes are the test's."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, env=environment)


def end(server: RealServer, way: str, its_editor: subprocess.Popen[bytes]) -> None:
    match way:
        case "exit":
            server.ask("shutdown")
            server.notify("exit")
        case "input":
            server.close_input()
        case "editor":  # the test holds the pipes open all the while
            its_editor.kill()
        case name:
            server.process.send_signal(getattr(signal, name))


def end_in_a_mission(home: Path, root: Path, way: str, after_s: float) -> None:
    its_editor = editor()
    try:
        with RealServer(home, root, processId=its_editor.pid) as server:
            one_way = b"old_name" in (root / "src" / "module_0.py").read_bytes()
            names = ("old_name", "new_name") if one_way else ("new_name", "old_name")
            server.ask_command("/task", plan(*names))
            server.event("planned")
            time.sleep(after_s)  # the moment itself is what is random here
            ended = time.monotonic()
            end(server, way, its_editor)
            while (left := ours(home)) and time.monotonic() < ended + GONE_S:
                time.sleep(0.02)
            assert not left, f"{way} after {after_s:.3f} s: {[p.cmdline() for p in left]}"
            server.process.wait(GONE_S)
    finally:
        its_editor.kill()
        its_editor.communicate()
    with Journal(root / ".opencode") as journal:
        replay(journal.events())
    for file in (root / "src").iterdir():
        text = file.read_text()
        assert text.endswith(")\n"), f"{file} is cut off"
        assert ("old_name" in text) != ("new_name" in text), f"{file} is half-changed"


def rounds(count: int, seed: int) -> Iterator[tuple[str, float]]:
    dice = random.Random(seed)
    for number in range(count):
        yield WAYS[number % len(WAYS)], dice.uniform(0.0, LATEST_S)


@pytest.mark.parametrize("way", WAYS)
def test_a_server_ended_in_a_mission_leaves_nothing(home: Path, way: str) -> None:
    end_in_a_mission(home, make(home / "work"), way, 0.2)


@pytest.mark.parametrize("way", WAYS)
def test_an_idle_server_that_is_ended_leaves_nothing(home: Path, way: str) -> None:
    root = make(home / "work")
    its_editor = editor()
    try:
        with RealServer(home, root, processId=its_editor.pid) as server:
            server.command("/status")
            end(server, way, its_editor)
            server.process.wait(GONE_S)
            wait_until(lambda: not ours(home), GONE_S)
    finally:
        its_editor.kill()
        its_editor.communicate()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_servers_ended_at_random_moments_leave_nothing(home: Path) -> None:
    root = make(home / "work")
    for way, after_s in rounds(200, seed=6):
        end_in_a_mission(home, root, way, after_s)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_idle_servers_are_gone_in_half_a_second(home: Path) -> None:
    root = make(home / "work")
    took: list[float] = []
    for _ in range(10):
        with RealServer(home, root) as server:
            server.command("/status")
            server.call("shutdown")
            ended = time.monotonic()
            server.notify("exit")
            server.process.wait(GONE_S)
            wait_until(lambda: not ours(home), GONE_S)
            took.append(time.monotonic() - ended)
    assert sorted(took)[len(took) // 2] < IDLE_GONE_S
