"""Explored schedules: every program holds, and every seeded mistake makes one fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("schedules.py")
FRONTRUN = shutil.which("frontrun", path=str(Path(sys.executable).parent))

pytestmark = pytest.mark.skipif(FRONTRUN is None, reason="frontrun is not installed")

PROGRAMS = [
    "park and wake",
    "last entry",
    "claim and cancel",
    "run and cancel",
    "stop and push",
    "stop and take",
    "token releases",
]
MUTANTS = [
    ("park and wake", "no rescan before parking"),
    ("park and wake", "stale wake token"),
    ("last entry", "look, then take"),
    ("claim and cancel", "check-then-set claim"),
    ("run and cancel", "run unclaimed"),
    ("stop and push", "no drain at stop"),
    ("token releases", "token released twice"),
]


def explored(program: str, mutant: str = "", executions: int = 40) -> dict[str, Any]:
    done = subprocess.run(
        [str(FRONTRUN), sys.executable, str(SCRIPT), program, mutant, str(executions)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'core'}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_explored_schedule_breaks_the_program(program: str) -> None:
    found = explored(program)
    assert found["holds"] is True
    assert found["explored"] > 1


@pytest.mark.parametrize(("program", "mutant"), MUTANTS)
def test_exploration_finds_the_seeded_mistake(program: str, mutant: str) -> None:
    assert explored(program, mutant)["holds"] is not True


@pytest.mark.soak
@pytest.mark.parametrize("program", PROGRAMS)
def test_no_schedule_breaks_the_program_in_a_long_exploration(program: str) -> None:
    assert explored(program, executions=500)["holds"] is True


@pytest.mark.soak
def test_a_long_exploration_finds_a_worker_that_misses_the_stop() -> None:
    assert explored("stop and take", "deaf to stop", 400)["holds"] is not True
