"""Starting, working and ending again and again leaves nothing that grows.

The small forms run a few cycles; the long ones 300 in one process and 100 server processes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from orchestrator_core.config import Settings
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import Places
from orchestrator_core.records import MissionStatus
from scripted_backend import Recorder
from server.real_server import RealServer
from server.wire_client import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP = 40
SLOPE_BYTES = 1_000_000
"""The most that memory may grow in 100 cycles."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))  # taken back afterwards
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    root = tmp_path / "work"
    root.mkdir()
    for number in range(8):
        (root / f"m{number}.py").write_text("def one(): ...\n" * 20)
    return tmp_path


async def cycle(home: Path, number: int) -> None:
    root = home / "work"
    names = ("one", "two") if number % 2 == 0 else ("two", "one")
    engine = await Orchestrator.open(
        root,
        Settings(),
        Recorder(),
        places=Places.of(root, state=home / "state", cache=home / "cache"),
    )
    try:
        mission = await engine.start(engine.plans.request(f"replace {names[0]} -> {names[1]}"))
        assert (await mission.wait()).status is MissionStatus.DONE
    finally:
        await engine.close()


class Usage:
    """What this process holds. Memory is what is left after a full collection."""

    def __init__(self, home: Path) -> None:
        gc.collect()
        process = psutil.Process()
        self.counts = {
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
            "children": len(process.children(recursive=True)),
            "temporary files": len(list((home / "temporary").rglob("*"))),
        }
        self.rss_bytes = process.memory_info().rss


def settled(home: Path, before: Usage) -> Usage:
    """The usage once what is ending in the background has ended, as far as it does."""
    deadline = time.monotonic() + 5
    while True:
        now = Usage(home)
        grown = any(now.counts[name] > before.counts[name] for name in now.counts)
        if not grown or time.monotonic() > deadline:
            return now
        time.sleep(0.05)


def run_cycles(home: Path, count: int) -> tuple[Usage, Usage, float]:
    """Usage before and after, and by how many bytes memory grew in 100 cycles.

    Memory goes up and down by some MB with the stacks and heaps of threads, and with engines that
    wait for the garbage collector: what is held in the long run is the slope of a line through
    many readings, each after a full collection.
    """
    for number in range(min(WARM_UP, count)):
        asyncio.run(cycle(home, number))
    before = Usage(home)
    readings: list[int] = []
    for number in range(count):
        asyncio.run(cycle(home, number + WARM_UP))
        readings.append(Usage(home).rss_bytes)
    slope = statistics.linear_regression(range(count), readings).slope * 100
    return before, settled(home, before), slope


def test_cycles_of_the_engine_leave_nothing(home: Path) -> None:
    before, after, _ = run_cycles(home, 4)
    assert after.counts == before.counts


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_three_hundred_cycles_of_the_engine_leave_nothing(home: Path) -> None:
    # In a process of its own, and with one heap for all threads: with many, what they keep free
    # for later goes up and down by some MB, and hides what is held.
    path = os.pathsep.join(str(ROOT / part) for part in ("core", "server", "tests"))
    ran = subprocess.run(
        [sys.executable, __file__, str(home), "300"],
        env={**os.environ, "PYTHONPATH": path, "MALLOC_ARENA_MAX": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(ran.stdout)
    print(found)
    assert found["after"] == found["before"]
    assert found["slope_bytes"] < SLOPE_BYTES


def serve_once(home: Path, number: int) -> int:
    """One server process from start to end; its memory after the mission."""
    names = ("one", "two") if number % 2 == 0 else ("two", "one")
    with RealServer(home, home / "work") as server:
        report = server.run_to_end(f"replace {names[0]} -> {names[1]}")
        assert report["status"] == "done"
        rss_bytes = psutil.Process(server.process.pid).memory_info().rss
        family = server.family()
        server.call("shutdown")
        server.notify("exit")
        assert server.wait_exit() == 0
    assert not psutil.wait_procs(family, timeout=30)[1]
    assert list((home / "temporary").rglob("*")) == []
    return rss_bytes


def stale_files(home: Path) -> Callable[[], int]:
    folders = [home / name for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "work")]
    return lambda: sum(1 for folder in folders for _ in folder.rglob("*"))


def test_a_server_leaves_no_process_and_no_temporary_file(home: Path) -> None:
    serve_once(home, 0)
    serve_once(home, 1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_servers_leave_nothing_and_grow_no_heavier(home: Path) -> None:
    for number in range(4):
        serve_once(home, number)
    files = stale_files(home)
    before = files()
    used = [serve_once(home, number) for number in range(100)]
    print(f"memory of the first and last ten: {sum(used[:10]) / 10} {sum(used[-10:]) / 10}")
    assert (sum(used[-10:]) - sum(used[:10])) / 10 < SLOPE_BYTES
    assert files() <= before + 20  # rotated logs and the journal's own files


if __name__ == "__main__":
    counts_before, counts_after, slope = run_cycles(Path(sys.argv[1]), int(sys.argv[2]))
    found = {"before": counts_before.counts, "after": counts_after.counts, "slope_bytes": slope}
    print(json.dumps(found))
