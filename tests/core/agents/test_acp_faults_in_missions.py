"""Each fault of an agent at each turn of a mission: done, or failed with nothing changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from acp_agent import AgentScript, rule, say, write
from orchestrator_core.config import AgentSettings, Settings
from orchestrator_core.records import MissionStatus, Mode
from scripted_backend import opened

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.records import MissionReport

    Steps = list[dict[str, Any]]

pytestmark = pytest.mark.usefixtures("short_pauses")

BEFORE = "def total(items):\n    return sum(items)\n"
DONE = BEFORE.replace("items)\n", "items, 0)\n")
MENDED = BEFORE.replace("items)\n", "items, 0.0)\n")
PLAN = """# Mission: Two
### T1: One | depends: - | files: one.py
- [ ] change one
### T2: Two | depends: T1 | files: two.py
- [ ] change two
"""
SILENT_S = 3.0
"""Where an agent falls silent; everywhere else a turn may take as long as a busy machine needs."""

WHOLE = "# Mission: Whole\n### T1: all\n- [ ] all\n"
SCRIPTS: dict[str, tuple[list[Steps], tuple[str, ...]]] = {
    "divide": ([[say(WHOLE)]], ("You are the Planner", "One task of a plan may")),
    "planner": ([[say("no plan")]], ("You are the Planner", "The request:")),
    "plan again": ([[say(PLAN)]], ("The plan cannot be read",)),
    "review 1": ([[say("FAIL\n- be exact")], [say("PASS")]], ("You are the Reviewer", "Task T1:")),
    "review 2": ([[say("PASS")]], ("You are the Reviewer", "Task T2:")),
    "mend": ([[write("one.py", MENDED), say("Mended.")]], ("the review failed", "Task T1:")),
    "T1": ([[write("one.py", DONE), say("Done.")]], ("You are a Worker", "Task T1:")),
    "T2": ([[write("two.py", DONE), say("Done.")]], ("You are a Worker", "Task T2:")),
}
TURNS = [(name, n) for name, (answers, _) in SCRIPTS.items() for n in range(len(answers))]
WORKING = [turn for turn in TURNS if not turn[0].startswith("review")]
HALF = [write("one.py", "half"), write("two.py", "half")]
PASSING: dict[str, Steps] = {
    "dies": [*HALF, {"die": 3}],
    "dies at once": [{"die": 0}],
    "falls silent": [*HALF, {"pause": "never"}],
    "hangs": [{"deaf": "never"}],
    "writes garbage": [*HALF, {"garbage": 1000}, {"pause": "never"}],
    "answers nonsense": [{"answer": {"stopReason": "because"}}],
    "answers what is no object": [{"answer": 7}],
    "fails in passing": [{"error": {"code": -32603, "message": "overloaded"}}],
}
UNFINISHED: dict[str, tuple[Steps, str]] = {
    "does nothing": ([{"stderr": 2_000_000}], "You did and said nothing"),
    "stops at a limit": ([{"stop": "max_tokens"}], "You stopped at a limit"),
}
"""Turns that are gone on with, and what is said then."""

FINAL: dict[str, tuple[Steps, str]] = {
    "refuses": ([*HALF, say("No."), {"stop": "refusal"}], "refused the task: No."),
    "gives up": ([*HALF, {"stop": "cancelled"}], "of its own accord"),
    "rejects": ([*HALF, {"error": {"code": -32602, "message": "bad"}}], "failed (the turn): bad"),
    "strays": ([*HALF, {"tool": "Edit", "kind": "edit", "path": "WORKSPACE"}, {"pause": "never"}],
               "outside its copy of the workspace"),
}  # fmt: skip

Turn = tuple[str, int]


def rules(turn: Turn, fault: Steps, told: str = "") -> list[dict[str, Any]]:
    """The mission's script with a fault before one of its turns, or at it where that is gone on."""
    name, at = turn
    made = [rule(SCRIPTS[name][0][at], match=(told,), again=True)] if told else []
    for other, (usual, match) in SCRIPTS.items():
        answers = [*usual]
        if other == name:
            answers[at : at + bool(told)] = [fault]
        made.append(rule(*answers, match=match, again=True))
    return made


async def run(
    folder: Path, turn: Turn, fault: Steps, told: str = ""
) -> tuple[MissionReport, list[str]]:
    """A mission on a fresh project with a fault at a turn; its report, and the files afterwards."""
    root = folder / "project"
    root.mkdir(parents=True)
    files = [root / "one.py", root / "two.py"]
    for file in files:
        file.write_text(BEFORE)
    fault = [{**s, "path": str(files[0])} if s.get("path") == "WORKSPACE" else s for s in fault]
    with AgentScript(*rules(turn, fault, told)) as script:
        silent_s = SILENT_S if fault in (PASSING["falls silent"], PASSING["hangs"]) else 40.0
        agent = AgentSettings(command=script.command, silent_s=silent_s)
        mode = Mode.FRACTAL if turn[0] == "divide" else Mode.NORMAL
        async with opened(root, Settings(backend="acp", agent=agent)) as engine:
            request = engine.plans.request("change both", mode=mode)
            mission = await engine.start(request)
            report = await asyncio.wait_for(mission.wait(), 120)
        assert not [pid for pid in script.pids if psutil.pid_exists(pid)], turn
    assert not list((folder / "project-state/cache").rglob("agents/*")), turn
    assert {path.name for path in root.iterdir()} == {".opencode", "one.py", "two.py"}
    return report, [file.read_text() for file in files]


async def gets_over(folder: Path, turn: Turn, fault: Steps, told: str = "") -> None:
    """A mission with this fault at a turn comes to the same result."""
    report, texts = await run(folder, turn, fault, told)
    assert report.status is MissionStatus.DONE, (turn, report.reason)
    assert texts == [MENDED, DONE], turn


async def fails(folder: Path, turn: Turn, fault: Steps, why: str) -> None:
    """A mission with this fault at a turn fails with its reason, and nothing is changed."""
    report, texts = await run(folder, turn, fault)
    assert report.status is MissionStatus.FAILED, turn
    assert why in report.reason, turn
    assert texts == [BEFORE, BEFORE], turn


async def test_a_fault_that_passes_is_got_over(tmp_path: Path) -> None:
    await gets_over(tmp_path, ("review 1", 1), PASSING["dies"])


async def test_a_fault_that_stays_leaves_nothing_changed(tmp_path: Path) -> None:
    await fails(tmp_path, ("T2", 0), *FINAL["refuses"])


@pytest.mark.soak
@pytest.mark.parametrize("fault", [*PASSING, *UNFINISHED])
async def test_a_fault_that_passes_is_got_over_at_every_turn(tmp_path: Path, fault: str) -> None:
    steps, told = UNFINISHED[fault] if fault in UNFINISHED else (PASSING[fault], "")
    for number, turn in enumerate(TURNS):
        await gets_over(tmp_path / str(number), turn, steps, told)


@pytest.mark.soak
@pytest.mark.parametrize("fault", FINAL)
async def test_a_fault_that_stays_leaves_nothing_changed_at_any_turn(
    tmp_path: Path, fault: str
) -> None:
    for number, turn in enumerate(WORKING):
        await fails(tmp_path / str(number), turn, *FINAL[fault])


@pytest.mark.soak
@pytest.mark.parametrize("fault", FINAL)
async def test_a_reviewer_that_fails_leaves_the_checks_to_decide(
    tmp_path: Path, fault: str
) -> None:
    report, texts = await run(tmp_path, ("review 2", 0), FINAL[fault][0])
    assert report.status is MissionStatus.DONE, report.reason
    assert texts == [MENDED, DONE]
    receipt = report.tasks[1].receipt
    assert receipt is not None
    assert receipt.checks[-1].status == "unverified"
