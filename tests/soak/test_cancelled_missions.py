"""A mission is cancelled at any moment, in each of the three ways that an editor has.

The small form runs each way once; the long one has 200 rounds.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from server.real_server import RealServer, trust

if TYPE_CHECKING:
    from pathlib import Path

FILES = 12
ACKNOWLEDGED_S = 0.5
GONE_S = 2.0
LATEST_S = 0.6
WAYS = ("progress", "request", "stop")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))  # taken back afterwards
    return tmp_path


def make(root: Path) -> Path:
    (root / "src").mkdir(parents=True)
    for number in range(FILES):
        (root / "src" / f"m{number}.txt").write_text(f"{number} one\n" * 500)
    return root


TASK = "\n".join(
    [
        *(f"{n + 1}. replace one -> two in src/m{n}.txt" for n in range(FILES)),
        f"{FILES + 1}. run sleep 600 & sleep 600",
    ]
)


def tree(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((root / "src").iterdir())}


def sleeps(server: RealServer) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in server.family():
        try:
            if process.name() in {"sleep", "sh"} and "sleep 600" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def cancel(server: Cancelling, way: str, after_s: float) -> None:
    root_uri = server.root
    before = tree(root_uri)
    token = f"bar-{way}-{after_s}"
    params = {"command": "/task", "arguments": [TASK, {"wait": True}], "workDoneToken": token}
    request = server.ask("workspace/executeCommand", params)
    mission = server.event("planned")["missionId"]
    time.sleep(after_s)  # the moment itself is what is random here
    began = time.monotonic()
    if way == "progress":
        server.notify("window/workDoneProgress/cancel", {"token": token})
    elif way == "request":
        server.notify("$/cancelRequest", {"id": request})
    else:
        assert server.command("/stop") == {"stopped": [mission]}
        assert time.monotonic() - began < ACKNOWLEDGED_S
    running = sleeps(server)
    answer = server.answer(request)
    acknowledged = time.monotonic() - began
    server.event("done")
    left = psutil.wait_procs(running, timeout=max(0.0, began + GONE_S - time.monotonic()))[1]

    where = f"{way} after {after_s:.3f} s"
    assert not left, f"{where}: {left}"
    assert not sleeps(server), where
    if way == "request":
        assert answer["error"]["code"] == -32800
        assert acknowledged < ACKNOWLEDGED_S, f"{where}: acknowledged after {acknowledged:.2f} s"
    else:
        assert answer["result"]["status"] == "cancelled"
        assert acknowledged < GONE_S, f"{where}: over after {acknowledged:.2f} s"
    (status,) = [m for m in server.command("/status") if m["mission"] == mission]
    done = {path for task in status["tasks"] if task["status"] == "done" for path in task["files"]}
    after = tree(root_uri)
    for name, text in before.items():
        expected = text.replace("one", "two") if f"src/{name}" in done else text
        assert after[name] == expected, f"{where}: {name}"
    if done:
        server.command("/undo", mission)
    assert tree(root_uri) == before, where
    server.messages.clear()


class Cancelling(RealServer):
    """A server with one trusted folder."""

    def __init__(self, home: Path) -> None:
        self.root = make(home / "work")
        trust(home, self.root)
        super().__init__(home, self.root)


def test_a_mission_is_cancelled_in_each_way(home: Path) -> None:
    with Cancelling(home) as server:
        for way in WAYS:
            cancel(server, way, 0.1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_missions_are_cancelled_at_random_moments(home: Path) -> None:
    dice = random.Random(6)
    with Cancelling(home) as server:
        for number in range(200):
            cancel(server, WAYS[number % 3], dice.uniform(0.0, LATEST_S))
