"""Cleanups that are killed, and cleanups at the same time, in processes of their own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from generated_folder import Desk, lines
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.steps import CleanReport

TESTS = Path(__file__).parents[1]
CHILD = TESTS / "cleanup_child.py"


def fill(desk: Desk) -> dict[str, tuple[bytes, int]]:
    """A folder in which each kind of step has something to do; answers the person's files."""
    rng = random.Random(1)
    for number in range(12):
        desk.put(f"agents/{number}.md", None, lines(rng, 500))
        desk.put(f"sessions/mine-{number}", None, lines(rng, 500))
        desk.put(f"node_modules/p{number}/index.js", None, lines(rng, 500))
    users = {name: file for name, file in desk.tree().items() if "node_modules" not in name}
    with desk.manifest.writing():
        for number in range(60):
            desk.put(f"sessions/s{number}/state.json", Kind.SESSION, lines(rng, 500))
            desk.put(f"cache/{number}", Kind.CACHE, lines(rng, 500))
        for number in range(12):
            desk.put(f"logs/{number}.log.1", Kind.LOG, lines(rng, 4_000))
    desk.passes(8)
    desk.put("sessions/young/state.json", Kind.SESSION)
    return users


def start(desk: Desk) -> subprocess.Popen[str]:
    desk.manifest.close()
    process = subprocess.Popen(
        [sys.executable, str(CHILD), str(desk.root), str(desk.now_s)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def outcome(desk: Desk) -> dict[str, tuple[bytes, int]]:
    """The files but for those in the quarantine, whose names are new each time."""
    return {name: f for name, f in desk.tree().items() if not name.startswith("quarantine/")}


def contents(desk: Desk) -> list[bytes]:
    return sorted(path.read_bytes() for path in (desk.folder / "quarantine").iterdir())


def uninterrupted(folder: Path) -> tuple[Desk, float]:
    desk = Desk(folder)
    fill(desk)
    with start(desk) as process:
        began_s = time.monotonic()
        go(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        took_s = time.monotonic() - began_s
    return desk, took_s


def killed(folder: Path, times: int, seed: int) -> None:
    rng = random.Random(seed)
    whole, took_s = uninterrupted(folder / "whole")
    expected, quarantined = outcome(whole), contents(whole)
    for number in range(times):
        desk = Desk(folder / str(number))
        users = fill(desk)
        with start(desk) as process:
            go(process)
            time.sleep(rng.uniform(0, took_s))  # the moment itself is what is random here
            process.kill()
        tree = desk.tree()
        assert {name: tree.get(name) for name in users} == users
        desk.cleaner.run()
        desk.assert_agrees()
        assert outcome(desk) == expected
        assert contents(desk) == quarantined
        assert not desk.cleaner.run().steps
        desk.manifest.close()


def at_once(folder: Path, times: int) -> None:
    whole, _ = uninterrupted(folder / "whole")
    expected, quarantined = outcome(whole), contents(whole)
    for number in range(times):
        desk = Desk(folder / str(number))
        fill(desk)
        processes = [start(desk), start(desk)]
        for process in processes:
            go(process)
        reports: list[CleanReport] = []
        for process in processes:
            with process:
                assert process.stdout is not None
                reports.append(msgspec.json.decode(process.stdout.read(), type=CleanReport))
            assert process.returncode == 0
        assert sorted(bool(report.steps) for report in reports) == [False, True]
        assert outcome(desk) == expected
        assert contents(desk) == quarantined
        desk.assert_agrees()
        desk.manifest.close()


@pytest.mark.timeout(120)
def test_killed_at_some_moments_manifest_and_folder_agree(tmp_path: Path) -> None:
    killed(tmp_path, 4, seed=1)


@pytest.mark.timeout(120)
def test_two_processes_at_once_do_it_once(tmp_path: Path) -> None:
    at_once(tmp_path, 2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_at_100_moments_manifest_and_folder_agree(tmp_path: Path) -> None:
    killed(tmp_path, 100, seed=2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_processes_at_once_do_it_once_50_times(tmp_path: Path) -> None:
    at_once(tmp_path, 50)
