"""A mission that is killed at any moment loses nothing and goes on to the same end."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator_core.mission.fold import replay
from orchestrator_core.mission.journal import Journal
from scripted_backend import orchestrator
from soak.mission_child import work

TESTS = Path(__file__).parents[1]
CHILD = TESTS / "soak" / "mission_child.py"
FILES, LINES = 5, 40


def start(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def make(root: Path) -> Path:
    root.mkdir(parents=True)
    for name in (f"{letter}{n}.txt" for letter in "ab" for n in range(FILES)):
        (root / name).write_text("".join(f"{name} line {n}\n" for n in range(LINES)))
        (root / name).chmod(0o600 if name.startswith("b") else 0o644)
    (root / "moved").mkdir()
    for n in range(-FILES, 0):
        (root / "moved" / f"{n}.sh").write_text(f"moved {n % FILES}\n")
        (root / "moved" / f"{n}.sh").chmod(0o755)
    return root


class File(NamedTuple):
    """A file's text and permission bits."""

    text: str
    mode: int


def tree(root: Path) -> dict[str, File]:
    return {
        path.relative_to(root).as_posix(): File(path.read_text(), path.stat().st_mode & 0o777)
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".opencode" not in path.parts
    }


def uninterrupted(root: Path) -> tuple[dict[str, File], float]:
    """The tree at the end, and how long it took from the mission's beginning."""
    with start(root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        began = time.monotonic()
        assert process.stdout.readline().startswith("done")
        took_s = time.monotonic() - began
    return tree(root), took_s


def check_whole(root: Path, expected: dict[str, File]) -> None:
    """No file is half-written: each has its old or its new content."""
    for name, (text, mode) in tree(root).items():
        path = Path(name)
        if path.name.startswith("."):
            continue  # a name that a killed write left, removed when the mission goes on
        match path.parent.name:
            case "made":
                assert text == f"by T{path.stem}\n", f"{name} is half-written"
            case "moved":
                moved = (f"moved {int(path.stem) % FILES}\n", 0o755)
                assert (text, mode) == moved, f"{name} is half-written"
            case _:  # each task adds one line to what was there, or nothing
                assert expected[name].text.startswith(text), f"{name} is half-written"
                assert text.endswith("\n"), f"{name} is half-written"
                assert text.count("\n") >= LINES, f"{name} is half-written"
                assert mode == expected[name].mode


def kill_and_go_on(root: Path, after_s: float, expected: dict[str, File]) -> None:
    before = tree(root)
    with start(root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(after_s)  # the moment itself is what is random here
        process.kill()
    with Journal(root / ".opencode") as journal:
        replay(journal.events())
    check_whole(root, expected)
    with start(root) as process:
        assert process.stdout is not None
        told = process.stdout.read()
    assert process.returncode == 0
    assert not told or told.splitlines()[-1].startswith("done"), told
    assert tree(root) == expected
    asyncio.run(undo(root))
    assert tree(root) == before


async def undo(root: Path) -> None:
    async with orchestrator(root, work) as engine:
        assert (await engine.undo()).unrestored == ()


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
