"""Each fault of the model's side at each turn of a mission: done, or failed with nothing changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from orchestrator_core.config import ModelSettings, Settings
from orchestrator_core.mission import progress
from orchestrator_core.records import MissionStatus, Mode, TaskState
from orchestrator_core.safety import BudgetLimits
from scripted_backend import Recorder, opened
from scripted_model import OVERFLOW, ModelProcess, call, rule, say

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestrator_core.records import MissionReport

BEFORE = "def total(items):\n    return sum(items)\n" + "# A long file.\n" * 50
PLAN = """# Mission: Two
### T1: One | depends: - | files: one.py
- [ ] change one
### T2: Two | depends: T1 | files: two.py
- [ ] change two
"""
SILENT_S = 3.0
"""Where a model falls silent; everywhere else an answer may take as long as a busy machine needs."""

WHOLE = "# Mission: Whole\n### T1: all\n- [ ] all\n"
CUT = say("a long answer " * 20)
PASSING: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "headers": {"retry-after": "0"}},
    "429 without a time": {"status": 429},
    "500": {"status": 500},
    "503": {"status": 503, "headers": {"retry-after": "0"}},
    "529": {"status": 529},
    "408": {"status": 408},
    "dropped": {**CUT, "cut": 0},
    "cut stream": {**CUT, "cut": 3},
    "cut call": {**call("read", path="one.py"), "cut": 2},
    "silence": {"hang": True},
    "no stream": {"status": 200, "body": "<html>Please log in</html>"},
    "empty": say(""),
    "cut off": say("half of", finish="length"),
    "cut off call": {**call("read", path="one.py"), "finish": "length"},
    "malformed call": {"calls": [{"name": "read", "arguments": '{"path'}]},
    "wrong arguments": {"calls": [{"name": "read", "arguments": '["one.py"]'}]},
    "unknown tool": call("launch", target="moon"),
}
FINAL: dict[str, dict[str, Any]] = {
    "400": {"status": 400},
    "401": {"status": 401},
    "404": {"status": 404},
    "refusal": {"refusal": "No."},
    "filtered": say("I", finish="content_filter"),
    "long wait": {"status": 429, "headers": {"retry-after": "9000"}},
}


def work(name: str) -> list[dict[str, Any]]:
    """A worker's turns."""
    edit = call("edit", path=name, old="sum(items)", new="sum(items, 0)")
    return [call("read", path=name), edit, say("Changed.")]


MEND = call("edit", path="one.py", old="sum(items, 0)", new="sum(items, 0.0)")
SCRIPTS: dict[str, tuple[list[dict[str, Any]], tuple[str, ...]]] = {
    "divide": ([say(WHOLE)], ("You are the Planner", "One task of a plan may", "Task T1:")),
    "planner": ([call("read", path="one.py"), say(PLAN)], ("You are the Planner", "The request:")),
    "review 1": ([say("FAIL\n- be exact"), say("PASS")], ("You are the Reviewer", "Task T1:")),
    "review 2": ([call("read", path="two.py"), say("PASS")], ("You are the Reviewer", "Task T2:")),
    "mend": (
        [call("read", path="one.py"), MEND, say("Mended.")],
        ("the review failed", "Task T1:"),
    ),
    "T1": (work("one.py"), ("You are a Worker", "Task T1:")),
    "T2": (work("two.py"), ("You are a Worker", "Task T2:")),
}
TURNS = [(name, n) for name, (answers, _) in SCRIPTS.items() for n in range(len(answers))]
WORKING = [turn for turn in TURNS if not turn[0].startswith("review")]
READ_BEFORE = [turn for turn in TURNS if turn[1] and turn[0] != "review 1"]
"""Turns before which something long was read, so that it can be left out."""

pytestmark = pytest.mark.usefixtures("short_pauses")

Turn = tuple[str, int]


def rules(turn: Turn, *faults: dict[str, Any]) -> list[dict[str, Any]]:
    """The mission's script with faults before one of its turns."""
    made: list[dict[str, Any]] = []
    for name, (answers, match) in SCRIPTS.items():
        at = turn[1] if name == turn[0] else len(answers)
        inserted = faults if name == turn[0] else ()
        made.append(rule(*answers[:at], *inserted, *answers[at:], match=match))
    return [*made, rule(say(WHOLE), match=("You are the Planner", "One task of"), again=True)]


async def run(
    folder: Path,
    script: list[dict[str, Any]],
    listener: Recorder | None = None,
    budget: BudgetLimits | None = None,
    mode: Mode = Mode.NORMAL,
) -> tuple[MissionReport, dict[str, str], dict[str, Any]]:
    """A mission on a fresh project; its report, the files afterwards, and the model's log."""
    root = folder / "project"
    root.mkdir(parents=True)
    for name in ("one.py", "two.py"):
        (root / name).write_text(BEFORE)
    with ModelProcess(folder, *script) as process:
        hangs = any(answer.get("hang") for entry in script for answer in entry["answers"])
        silent_s = SILENT_S if hangs else 40.0
        model = ModelSettings(name="openai:scripted", base_url=process.base_url, silent_s=silent_s)
        settings = Settings(backend="llm", model=model, budget=budget or BudgetLimits())
        async with opened(root, settings, listener) as engine:
            mission = await engine.start(engine.plans.request("change both", mode=mode))
            report = await asyncio.wait_for(mission.wait(), 50)
        log = process.log()
    assert {path.name for path in root.iterdir()} == {".opencode", "one.py", "two.py"}
    return report, {path.name: path.read_text() for path in root.glob("*.py")}, log


async def run_each(
    folder: Path, scripts: Mapping[Turn, list[dict[str, Any]]]
) -> list[tuple[Turn, MissionReport, set[str]]]:
    """A mission for each turn; none leaves a request or a process behind."""
    gate = asyncio.Semaphore(4)

    async def one(number: int, turn: Turn) -> tuple[Turn, MissionReport, set[str]]:
        mode = Mode.FRACTAL if turn[0] == "divide" else Mode.NORMAL
        async with gate:
            report, files, log = await run(folder / str(number), scripts[turn], mode=mode)
        assert log["active"] == 0, turn
        return turn, report, set(files.values())

    ended = await asyncio.gather(*(one(number, turn) for number, turn in enumerate(scripts)))
    assert not psutil.Process().children(recursive=True)
    return ended


def some(turns: list[Turn], number: int) -> list[Turn]:
    """An eighth of the turns, others for each fault."""
    return [turn for place, turn in enumerate(turns) if (place + number) % 8 == 0]


async def gets_over(folder: Path, turns: list[Turn], *faults: dict[str, Any]) -> None:
    """A mission with these faults at a turn comes to the same result."""
    for turn, report, files in await run_each(folder, {t: rules(t, *faults) for t in turns}):
        assert report.status is MissionStatus.DONE, (turn, report.reason)
        assert all("sum(items, 0" in text for text in files), turn


async def fails(folder: Path, turns: list[Turn], fault: dict[str, Any], why: str) -> None:
    """A mission with this fault at a turn fails with its reason, and nothing is changed."""
    for turn, report, files in await run_each(folder, {t: rules(t, fault) for t in turns}):
        assert report.status is MissionStatus.FAILED, turn
        assert why in report.reason, turn
        assert files == {BEFORE}, turn


@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_that_passes_is_got_over(tmp_path: Path, fault: str) -> None:
    turns = some(TURNS, [*PASSING].index(fault))
    await gets_over(tmp_path, turns, PASSING[fault])


@pytest.mark.parametrize("fault", FINAL)
async def test_a_fault_that_stays_leaves_nothing_changed(tmp_path: Path, fault: str) -> None:
    turns = some(WORKING, [*FINAL].index(fault))
    await fails(tmp_path, turns, FINAL[fault], "openai:scripted")


async def test_what_is_too_long_is_made_shorter_where_something_can_be_left_out(
    tmp_path: Path,
) -> None:
    await gets_over(tmp_path / "passes", some(READ_BEFORE, 0), OVERFLOW)
    firsts = [turn for turn in WORKING if turn[1] == 0]
    await fails(tmp_path / "fails", some(firsts, 0), OVERFLOW, "longer context")


@pytest.mark.soak
@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_that_passes_is_got_over_at_every_turn(tmp_path: Path, fault: str) -> None:
    await gets_over(tmp_path / "once", TURNS, PASSING[fault])
    await gets_over(tmp_path / "twice", TURNS, PASSING[fault], PASSING["500"])


@pytest.mark.soak
@pytest.mark.parametrize("fault", FINAL)
async def test_a_fault_that_stays_leaves_nothing_changed_at_any_turn(
    tmp_path: Path, fault: str
) -> None:
    await fails(tmp_path, WORKING, FINAL[fault], "openai:scripted")


@pytest.mark.soak
async def test_what_is_too_long_is_made_shorter_at_every_turn(tmp_path: Path) -> None:
    await gets_over(tmp_path / "passes", READ_BEFORE, OVERFLOW)
    await fails(
        tmp_path / "fails", [turn for turn in WORKING if turn[1] == 0], OVERFLOW, "longer context"
    )


async def test_a_reviewer_that_fails_leaves_the_checks_to_decide(tmp_path: Path) -> None:
    report, _, _ = await run(tmp_path, rules(("review 2", 1), FINAL["refusal"]))
    assert report.status is MissionStatus.DONE, report.reason
    receipt = report.tasks[1].receipt
    assert receipt is not None
    assert receipt.checks[-1].status == "unverified"


async def test_a_mission_ends_cleanly_when_its_budget_is_spent(tmp_path: Path) -> None:
    script = rules(("none", 0))
    report, files, log = await run(tmp_path, script, budget=BudgetLimits(requests=12))
    assert report.status is MissionStatus.CANCELLED
    assert "budget of 12 requests" in report.reason
    assert [task.status for task in report.tasks] == [TaskState.DONE, TaskState.CANCELLED]
    assert "sum(items, 0.0)" in files["one.py"]
    assert files["two.py"] == BEFORE
    assert len(log["requests"]) == 12
    spent = report.stats["spent"]
    assert isinstance(spent, dict)
    assert spent["requests"] == 12


async def test_people_see_what_an_agent_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)  # nothing is too short to be told
    listener = Recorder()
    await run(tmp_path, rules(("none", 0)), listener)
    assert any("T1: " in message for message in listener.progress)
