"""A mission that is killed at any moment loses nothing and goes on to the same end."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.state import replay

TESTS = Path(__file__).parents[1]
CHILD = TESTS / "soak" / "mission_child.py"
FILES, LINES = 5, 40


def start(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(root)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    )


def make(root: Path) -> Path:
    root.mkdir(parents=True)
    for name in (f"{letter}{n}.txt" for letter in "ab" for n in range(FILES)):
        (root / name).write_text("".join(f"{name} line {n}\n" for n in range(LINES)))
    return root


def tree(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".opencode" not in path.parts
    }


def uninterrupted(root: Path) -> tuple[dict[str, str], float]:
    """The tree at the end, and how long it took from the mission's beginning."""
    with start(root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        began = time.monotonic()
        assert process.stdout.readline().startswith("done")
        took_s = time.monotonic() - began
    return tree(root), took_s


def kill_and_go_on(root: Path, after_s: float, expected: dict[str, str]) -> None:
    with start(root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(after_s)  # the moment itself is what is random here
        process.kill()
    with Journal(root / ".opencode") as journal:
        replay(journal.events())
    for name, text in tree(root).items():
        if Path(name).name.startswith("."):
            continue  # a name that a killed write left, removed when the mission goes on
        whole = expected.get(name, f"by T{Path(name).stem}\n")
        assert whole.startswith(text), f"{name} is half-written"
        assert text.endswith("\n"), f"{name} is half-written"
        if "/" not in name:  # each task adds one line to what was there, or nothing
            assert text.count("\n") >= LINES, f"{name} is half-written"
    with start(root) as process:
        assert process.stdout is not None
        told = process.stdout.read()
    assert process.returncode == 0
    assert not told or told.splitlines()[-1].startswith("done"), told
    assert tree(root) == expected


def killed(folder: Path, times: int, seed: int) -> None:
    rng = random.Random(seed)
    expected, took_s = uninterrupted(make(folder / "whole"))
    for number in range(times):
        kill_and_go_on(make(folder / str(number)), rng.uniform(0, took_s), expected)


@pytest.mark.timeout(120)
def test_killed_at_some_moments_it_goes_on_to_the_same_end(tmp_path: Path) -> None:
    killed(tmp_path, 3, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_at_200_moments_it_goes_on_to_the_same_end(tmp_path: Path) -> None:
    killed(tmp_path, 200, seed=2)
