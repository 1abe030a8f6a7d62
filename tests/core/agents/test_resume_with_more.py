"""A mission that its budget stopped goes on with more, as if it had never been stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from orchestrator_core.config import ModelSettings, Settings
from orchestrator_core.errors import RequestError
from orchestrator_core.events import BudgetSpent, MissionAccepted, MissionFinished, TaskStarted
from orchestrator_core.mission.fold import replay
from orchestrator_core.mission.journal import Journal
from orchestrator_core.records import MissionStatus, Mode, Spent, TaskState
from orchestrator_core.safety import BudgetLimits
from scripted_backend import Recorder, opened
from scripted_model import ModelProcess, call, rule, say

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_core.records import MissionReport

BEFORE = "def total(items):\n    return sum(items)\n"
PLAN = """# Mission: Two
### T1: One | depends: - | files: one.py
- [ ] change one
### T2: Two | depends: T1 | files: two.py
- [ ] change two
"""
PLANNER = ("You are the Planner",)
PASSES = rule(say("PASS"), match=("You are the Reviewer",), again=True)
FIRST = 6
"""Requests up to the end of T1: two for the plan, three to work, one to review."""


def work(name: str, task: str) -> dict[str, Any]:
    """A worker's turns, as often as they are asked for."""
    edit = call("edit", path=name, old="sum(items)", new="sum(items, 0)")
    return rule(
        *[call("read", path=name), edit, say("Changed.")] * 3,
        match=("You are a Worker", f"Task {task}:"),
    )


RULES = (
    rule(*[call("read", path="one.py"), say(PLAN)] * 2, match=PLANNER),
    work("one.py", "T1"),
    work("two.py", "T2"),
    PASSES,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("one.py", "two.py"):
        (folder / name).write_text(BEFORE)
    return folder


def on_model(
    root: Path, process: ModelProcess, budget: BudgetLimits, listener: Recorder | None = None
) -> AbstractAsyncContextManager[Orchestrator]:
    """The project's orchestrator, as each process has one of its own."""
    model = ModelSettings(name="openai:scripted", base_url=process.base_url, silent_s=20.0)
    return opened(root, Settings(backend="llm", model=model, budget=budget), listener)


async def begun(engine: Orchestrator, **choices: Any) -> MissionReport:
    """The mission, to where it is stopped."""
    mission = await engine.start(engine.plans.request("change both", **choices))
    return await asyncio.wait_for(mission.wait(), 40)


async def resumed(engine: Orchestrator, mission_id: str | None = None) -> MissionReport:
    """The mission, to its end."""
    mission = await engine.resume(mission_id)
    return await asyncio.wait_for(mission.wait(), 40)


def spent_of(report: MissionReport) -> Spent:
    """What its report says that a mission has spent."""
    return msgspec.convert(report.stats["spent"], Spent)


def changed(root: Path) -> set[str]:
    """The files that were worked on."""
    return {path.name for path in root.glob("*.py") if path.read_text() != BEFORE}


async def test_it_goes_on_with_more_where_it_stopped(tmp_path: Path, root: Path) -> None:
    with ModelProcess(tmp_path, *RULES) as process:
        async with on_model(root, process, BudgetLimits(requests=FIRST + 1)) as engine:
            stopped = await begun(engine)
        assert stopped.status is MissionStatus.CANCELLED
        assert f"/resume {stopped.mission}" in stopped.reason
        assert [task.status for task in stopped.tasks] == [TaskState.DONE, TaskState.CANCELLED]
        assert changed(root) == {"one.py"}

        listener = Recorder()
        async with on_model(root, process, BudgetLimits(requests=50), listener) as engine:
            report = await resumed(engine, stopped.mission)
            (known,) = await engine.records.status()
        asked = len(process.requests)
    assert report.status is known.status is MissionStatus.DONE, report.reason
    assert report.mission == stopped.mission
    assert [task.status for task in report.tasks] == [TaskState.DONE, TaskState.DONE]
    assert changed(root) == {"one.py", "two.py"}
    assert [e.task_id for e in listener.events if isinstance(e, TaskStarted)] == ["T2"]
    assert spent_of(report).requests == asked
    assert spent_of(report).tokens > spent_of(stopped).tokens
    assert spent_of(report).seconds >= spent_of(stopped).seconds


async def test_who_hears_of_the_end_may_resume_at_once(tmp_path: Path, root: Path) -> None:
    """The end is told before it lies on the disk."""
    listener = Recorder()
    with ModelProcess(tmp_path, *RULES) as process:
        budget = BudgetLimits(requests=FIRST + 1)
        async with on_model(root, process, budget, listener) as engine:
            mission = await engine.start(engine.plans.request("change both"))
            await listener.until(MissionFinished)
            assert engine.runs(mission.id), "it has still to be seen to the disk"
            engine.reconfigure(msgspec.structs.replace(engine.settings, budget=BudgetLimits()))
            report = await resumed(engine, mission.id)
    assert report.status is MissionStatus.DONE, report.reason


async def test_it_does_not_go_on_without_more(tmp_path: Path, root: Path) -> None:
    budget = BudgetLimits(requests=FIRST + 1)
    with ModelProcess(tmp_path, *RULES) as process:
        async with on_model(root, process, budget) as engine:
            stopped = await begun(engine)
            for _ in range(2):
                with pytest.raises(RequestError, match=r"not resumed.*7 requests.*Raise orch"):
                    await engine.resume()
            (known,) = await engine.records.status()
            assert known.status is MissionStatus.CANCELLED

            more = msgspec.structs.replace(budget, requests=FIRST + 2)
            engine.reconfigure(msgspec.structs.replace(engine.settings, budget=more))
            again = await resumed(engine)  # one request further
            assert again.status is MissionStatus.CANCELLED
            assert spent_of(again).requests == FIRST + 2 == len(process.requests)
            engine.reconfigure(msgspec.structs.replace(engine.settings, budget=BudgetLimits()))
            report = await resumed(engine)
    assert report.mission == stopped.mission
    assert report.status is MissionStatus.DONE, report.reason


async def test_more_is_as_much_as_the_next_call_may_take(tmp_path: Path, root: Path) -> None:
    with ModelProcess(tmp_path, *RULES) as process:
        async with on_model(root, process, BudgetLimits(tokens=9_000)) as engine:
            stopped = await begun(engine)
            used = spent_of(stopped).tokens
            assert stopped.status is MissionStatus.CANCELLED
            assert used < 9_000  # the reply's 8192 were the lack
            for limit in (9_001, used + 8_192):
                less = msgspec.structs.replace(engine.settings, budget=BudgetLimits(tokens=limit))
                engine.reconfigure(less)
                with pytest.raises(RequestError, match="tokens"):
                    await engine.resume()
            engine.reconfigure(msgspec.structs.replace(less, budget=BudgetLimits(tokens=90_000)))
            assert (await resumed(engine)).status is MissionStatus.DONE


async def test_planning_that_was_stopped_is_done_again(tmp_path: Path, root: Path) -> None:
    with ModelProcess(tmp_path, *RULES) as process:
        async with on_model(root, process, BudgetLimits(requests=1)) as engine:
            stopped = await begun(engine)
            assert stopped.status is MissionStatus.CANCELLED
            assert stopped.tasks == ()
        rules = (rule(say(PLAN), match=PLANNER), *RULES[1:])
        with ModelProcess(tmp_path, *rules) as other:
            async with on_model(root, other, BudgetLimits()) as engine:
                report = await resumed(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert spent_of(report).requests == 1 + 1 + 8
    assert changed(root) == {"one.py", "two.py"}


async def test_a_plan_file_is_ticked_to_its_end(tmp_path: Path, root: Path) -> None:
    (root / "plan.md").write_text(PLAN)
    with ModelProcess(tmp_path, *RULES) as process:
        async with on_model(root, process, BudgetLimits(requests=5)) as engine:
            request = await engine.plans.request_from_file("plan.md")
            stopped = await asyncio.wait_for((await engine.start(request)).wait(), 40)
            assert stopped.status is MissionStatus.CANCELLED
            assert "- [x] change one" in (root / "plan.md").read_text()
            assert "- [-] change two" in (root / "plan.md").read_text()
        async with on_model(root, process, BudgetLimits()) as engine:
            report = await resumed(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert "plan.md" not in report.reason  # nobody else has changed it
    assert (root / "plan.md").read_text() == PLAN.replace("[ ]", "[x]")


async def test_parts_of_a_task_are_kept(tmp_path: Path, root: Path) -> None:
    whole = "# Mission: Both\n### T1: Both\n- [ ] change one\n- [ ] change two\n"
    rules = (
        rule(say(PLAN), match=(*PLANNER, "One task of a plan may", "Task T1:")),
        rule(say(whole), match=PLANNER, again=True),
        rule(*work("one.py", "")["answers"][:3], match=("You are a Worker", "Task T1/T1:")),
        rule(*work("two.py", "")["answers"], match=("You are a Worker", "Task T1/T2:")),
        PASSES,
    )
    with ModelProcess(tmp_path, *rules) as process:
        async with on_model(root, process, BudgetLimits(requests=9)) as engine:
            stopped = await begun(engine, mode=Mode.FRACTAL)
            assert stopped.status is MissionStatus.CANCELLED, stopped.reason
            assert [t.id for t in stopped.tasks if t.status is TaskState.DONE] == ["T1/T1"]
        async with on_model(root, process, BudgetLimits()) as engine:
            report = await resumed(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert [task.id for task in report.tasks] == ["T1", "T1/T1", "T1/T2"]
    assert changed(root) == {"one.py", "two.py"}


async def test_what_a_crashed_mission_had_spent_counts(tmp_path: Path, root: Path) -> None:
    """Also where it crashed after it had gone on."""
    listener = Recorder()
    with ModelProcess(tmp_path, *RULES) as process:
        async with on_model(root, process, BudgetLimits(requests=FIRST + 1), listener) as engine:
            await begun(engine)
        again = Recorder()
        async with on_model(root, process, BudgetLimits(), again) as engine:
            await resumed(engine)
    events = [*listener.events, *again.events]
    assert [type(event) for event in events].count(MissionAccepted) == 2
    (whole,) = replay(events).values()
    assert whole.spent is not None
    cuts = [n for n, e in enumerate(events) if n > len(listener.events) and e.mission_id]
    for length in (len(listener.events) - 1, *cuts[::3]):
        for file in (root / ".opencode").glob("state.db*"):
            file.unlink()
        with Journal(root / ".opencode") as journal:
            for event in events[:length]:
                journal.append(event)
            journal.flush()
        told = [e for e in events[:length] if isinstance(e, BudgetSpent)]
        with ModelProcess(tmp_path, *RULES) as process:
            async with on_model(root, process, BudgetLimits()) as engine:
                (cut_short,) = await engine.interrupted()
                assert cut_short.status is MissionStatus.RUNNING
                report = await resumed(engine)
            asked = len(process.requests)
        assert report.status is not MissionStatus.FAILED, (length, report.reason)
        assert spent_of(report).requests == told[-1].spent.requests + asked, length


async def test_who_was_stopped_by_a_person_is_not_resumed(tmp_path: Path, root: Path) -> None:
    rules = (RULES[0], rule({"hang": True}, match=("You are a Worker",)))
    listener = Recorder()
    with ModelProcess(tmp_path, *rules) as process:
        async with on_model(root, process, BudgetLimits(), listener) as engine:
            mission = await engine.start(engine.plans.request("change both"))
            await listener.until(TaskStarted)
            mission.stop("enough")
            assert (await mission.wait()).status is MissionStatus.CANCELLED
            with pytest.raises(RequestError, match="stopped by its budget"):
                await engine.resume(mission.id)
    ends = [event for event in listener.events if isinstance(event, MissionFinished)]
    assert len(ends) == 1
