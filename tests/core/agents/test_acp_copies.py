"""How what agents did in their copies meets what others did meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from acp_agent import say, write
from core.agents.acp_tasks import (
    BEFORE,
    GREET,
    WORK,
    run,
    working,
)
from orchestrator_core.records import MissionStatus, Mode, TaskState
from orchestrator_core.safety import BudgetLimits

if TYPE_CHECKING:
    from pathlib import Path

    from core.agents.conftest import OpenWithAgent


async def test_what_is_no_text_is_left_out_and_told(
    with_agent: OpenWithAgent, project: Path
) -> None:
    steps = [write("bin.dat", "a\0b"), *WORK]
    async with with_agent(*working(steps), review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert not (project / "bin.dat").exists()
    assert any("bin.dat is binary" in note for note in report.tasks[0].notes)


@pytest.mark.parametrize(
    ("theirs", "after", "tries"),
    [
        ("# Theirs.\n" + BEFORE, "# Theirs.\n" + GREET, 1),
        (BEFORE + "\n\ntheirs = 1\n", GREET + "\n\ntheirs = 1\n", 2),
    ],
    ids=["elsewhere", "in the same place"],
)
async def test_what_others_change_meanwhile_is_merged_or_has_the_task_done_anew(
    with_agent: OpenWithAgent, project: Path, theirs: str, after: str, tries: int
) -> None:
    wait = [{"pause": "edited"}, write("app.py", GREET), say("done")]
    again = [write("app.py", GREET + "\n\ntheirs = 1\n"), say("done")]
    async with with_agent(*working(wait, again), review=False) as (engine, script):
        running = asyncio.create_task(run(engine))
        await asyncio.to_thread(script.wait_for, "pause")
        (project / "app.py").write_text(theirs)
        script.release("edited")
        report = await running
        prompts = [p for p in script.prompts if p["what"] == "prompt"]
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == after
    assert len(prompts) == tries


async def test_a_task_fails_where_no_copy_can_be_made(
    with_agent: OpenWithAgent, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orchestrator_core.agents.acp_worktree.WorkTree.fill", full)
    async with with_agent(*working(WORK), review=False) as (engine, script):
        report = await run(engine)
        assert not any(p["what"] == "prompt" for p in script.prompts)
    assert report.status is MissionStatus.FAILED
    assert "works nowhere else: [Errno 28] No space left on device" in report.reason
    assert (project / "app.py").read_text() == BEFORE


async def test_a_race_gives_each_runner_a_copy_and_keeps_one(
    with_agent: OpenWithAgent, project: Path
) -> None:
    rules = working([{"pause": "never"}], WORK, [{"pause": "never"}])
    async with with_agent(*rules, review=False) as (engine, script):
        report = await run(engine, Mode.RACE)
        folders = {p["cwd"] for p in script.prompts if "You are a Worker" in p["text"]}
    assert report.status is MissionStatus.DONE, report.reason
    assert report.tasks[0].status is TaskState.DONE
    assert len(folders) >= 2
    assert (project / "app.py").read_text() == GREET


async def test_a_race_is_run_one_by_one_where_one_agent_may_work(with_agent: OpenWithAgent) -> None:
    rules = working([say("CANNOT: not today")], WORK)
    one = BudgetLimits(agents=1)
    async with with_agent(*rules, review=False, budget=one) as (engine, script):
        report = await run(engine, Mode.RACE)
        asked = [p for p in script.prompts if "You are a Worker" in p["text"]]
    assert report.status is MissionStatus.DONE, report.reason
    assert len(asked) >= 2
    spent = report.stats["spent"]
    assert isinstance(spent, dict)
    assert spent["peakAgents"] == 1
