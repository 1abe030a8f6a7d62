"""Each fault of the model's side at each turn of a mission: done, or failed with nothing changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_core.agents.model_gate import ModelGate
from orchestrator_core.config import ModelSettings, Settings
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import Places
from orchestrator_core.primitives.backoff import Backoff
from orchestrator_core.records import MissionStatus, TaskState
from orchestrator_core.safety import BudgetLimits
from orchestrator_core.services import Services
from scripted_backend import Recorder
from scripted_model import OVERFLOW, ModelProcess, call, rule, say

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.engine import MissionProgress
    from orchestrator_core.records import MissionReport

BEFORE = "def total(items):\n    return sum(items)\n"
PLAN = """# Mission: Two
### T1: One | depends: - | files: one.py
- [ ] change one
### T2: Two | depends: T1 | files: two.py
- [ ] change two
"""
PASSING: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "headers": {"retry-after": "0"}},
    "500": {"status": 500},
    "cut stream": say("a long answer " * 20, cut=3),
    "silence": {"hang": True},
    "empty": say(""),
    "cut off": say("half of", finish="length"),
    "malformed call": {"calls": [{"name": "read", "arguments": '{"path'}]},
    "unknown tool": call("launch", target="moon"),
}
FINAL: dict[str, dict[str, Any]] = {
    "401": {"status": 401},
    "refusal": {"refusal": "No."},
    "overflow": OVERFLOW,
}
PLANNER = [call("read", path="one.py"), say(PLAN)]
REVIEWER = [call("read", path="two.py"), say("PASS")]


def work(name: str) -> list[dict[str, Any]]:
    """A worker's turns."""
    edit = call("edit", path=name, old="sum(items)", new="sum(items, 0)")
    return [call("read", path=name), edit, say("Changed.")]


TURNS = [("planner", 0), ("planner", 1), ("T1", 0), ("T1", 1), ("T1", 2), ("T2", 1), ("review", 1)]


def rules(turn: tuple[str, int], fault: dict[str, Any]) -> list[dict[str, Any]]:
    """The mission's script with a fault before one of its turns."""
    scripts = {
        "planner": (PLANNER, ("You are the Planner",)),
        "review": (REVIEWER, ("You are the Reviewer", "Task T2:")),
        "T1": (work("one.py"), ("You are a Worker", "Task T1:")),
        "T2": (work("two.py"), ("You are a Worker", "Task T2:")),
    }
    made: list[dict[str, Any]] = []
    for name, (answers, match) in scripts.items():
        at = turn[1] if name == turn[0] else len(answers)
        faults = [fault] if name == turn[0] else []
        made.append(rule(*answers[:at], *faults, *answers[at:], match=match))
    return [*made, rule(say("PASS"), match=("You are the Reviewer",), again=True)]


async def run(
    folder: Path,
    script: list[dict[str, Any]],
    listener: Recorder | None = None,
    budget: BudgetLimits | None = None,
) -> tuple[MissionReport, dict[str, str], dict[str, Any]]:
    """A mission on a fresh project; its report, the files afterwards, and the model's log."""
    root = folder / "project"
    root.mkdir(parents=True)
    for name in ("one.py", "two.py"):
        (root / name).write_text(BEFORE)
    with ModelProcess(folder, *script) as process:
        model = ModelSettings(name="openai:scripted", base_url=process.base_url, silent_s=1.0)
        settings = Settings(backend="llm", model=model, budget=budget or BudgetLimits())
        places = Places.of(root, state=folder / "state", cache=folder / "cache")
        services = await Services.open(root, settings, listener or Recorder(), places=places)
        engine = Orchestrator(services)
        try:
            mission = await engine.start(engine.request("change both"))
            report = await asyncio.wait_for(mission.wait(), 40)
        finally:
            await engine.close()
        log = process.log()
    return report, {path.name: path.read_text() for path in root.glob("*.py")}, log


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other quickly."""
    defaults = ModelGate.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "backoff", lambda: Backoff(0.01, 0.02))


@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_that_passes_is_got_over_at_every_turn(tmp_path: Path, fault: str) -> None:
    runs = [run(tmp_path / str(n), rules(turn, PASSING[fault])) for n, turn in enumerate(TURNS)]
    for turn, (report, files, log) in zip(TURNS, await asyncio.gather(*runs), strict=True):
        assert report.status is MissionStatus.DONE, (turn, report.reason)
        assert all("sum(items, 0)" in text for text in files.values()), turn
        assert log["active"] == 0


@pytest.mark.parametrize("fault", FINAL)
async def test_a_fault_that_stays_leaves_nothing_changed_at_any_turn(
    tmp_path: Path, fault: str
) -> None:
    turns = [turn for turn in TURNS if turn[0] != "review"]
    runs = [run(tmp_path / str(n), rules(turn, FINAL[fault])) for n, turn in enumerate(turns)]
    for turn, (report, files, log) in zip(turns, await asyncio.gather(*runs), strict=True):
        assert report.status is MissionStatus.FAILED, turn
        assert "openai:scripted" in report.reason, turn
        assert set(files.values()) == {BEFORE}, turn
        assert log["active"] == 0


async def test_a_reviewer_that_fails_leaves_the_checks_to_decide(tmp_path: Path) -> None:
    report, _, _ = await run(tmp_path, rules(("review", 1), FINAL["refusal"]))
    assert report.status is MissionStatus.DONE, report.reason
    receipt = report.tasks[1].receipt
    assert receipt is not None
    assert receipt.checks[-1].status == "unverified"


async def test_a_mission_ends_cleanly_when_its_budget_is_spent(tmp_path: Path) -> None:
    script = rules(("T1", 9), {})
    report, files, log = await run(tmp_path, script, budget=BudgetLimits(requests=8))
    assert report.status is MissionStatus.CANCELLED
    assert "budget of 8 requests" in report.reason
    assert [task.status for task in report.tasks] == [TaskState.DONE, TaskState.CANCELLED]
    assert "sum(items, 0)" in files["one.py"]
    assert files["two.py"] == BEFORE
    assert len(log["requests"]) == 8
    spent = report.stats["spent"]
    assert isinstance(spent, dict)
    assert spent["requests"] == 8


async def test_people_see_what_an_agent_does(tmp_path: Path) -> None:
    class Listener(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.progress: list[str] = []

        def on_progress(self, progress: MissionProgress) -> None:
            self.progress.append(progress.message)

    listener = Listener()
    await run(tmp_path, rules(("T1", 9), {}), listener)
    assert any("T1: " in message for message in listener.progress)
