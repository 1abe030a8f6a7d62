"""How an agent's work is ended before it is done: by the budget, a person, or the server's death."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from acp_agent import AgentScript, rule, say, write
from core.agents.acp_tasks import GREET, PASSES, PLANNER, TEXT, TWO, WORKER, planned, run_planned
from orchestrator_core.config import Settings
from orchestrator_core.events import TaskStarted
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import APP, Places
from orchestrator_core.records import MissionStatus
from orchestrator_core.safety import BudgetLimits
from orchestrator_core.services import Services
from scripted_backend import Recorder

if TYPE_CHECKING:
    from core.agents.conftest import OpenWithAgent


async def test_a_mission_ends_cleanly_when_its_budget_is_spent(
    with_agent: OpenWithAgent, project: Path
) -> None:
    before = (project / "app.py").read_text()
    rules = planned([write("app.py", GREET), say("done")])
    async with with_agent(*rules, budget=BudgetLimits(requests=1)) as (engine, _):
        report = await run_planned(engine)
    assert report.status is MissionStatus.CANCELLED
    assert "budget of 1 requests" in report.reason
    assert (project / "app.py").read_text() == before


async def test_a_turn_ends_when_the_time_of_the_budget_is_over(with_agent: OpenWithAgent) -> None:
    rules = planned([{"pause": "for ever"}])
    async with with_agent(*rules, budget=BudgetLimits(seconds=3.0)) as (engine, _):
        report = await run_planned(engine)
    assert report.status is MissionStatus.CANCELLED
    assert "seconds" in report.reason


async def test_a_turn_ends_when_it_has_cost_too_much(
    with_agent: OpenWithAgent, project: Path
) -> None:
    before = (project / "app.py").read_text()
    rules = planned([write("app.py", GREET), {"cost": 5.0}, {"pause": "for ever"}])
    async with with_agent(*rules, budget=BudgetLimits(money_usd=1.0)) as (engine, script):
        report = await run_planned(engine)
        assert script.results("cancel")
    assert report.status is MissionStatus.CANCELLED
    assert "budget of 1 moneyUsd" in report.reason
    assert (project / "app.py").read_text() == before


async def test_agents_beyond_the_budget_wait_for_their_turn(
    with_agent: OpenWithAgent, project: Path
) -> None:
    listener = Recorder()
    first = [write("app.py", GREET), {"pause": "first"}, say("one")]
    rules = (
        rule([say(TWO)], match=PLANNER),
        rule(first, match=(*WORKER, "Task T1")),
        rule([write("auth.py", "x = 1\n"), say("two")], match=(*WORKER, "Task T2")),
        PASSES,
    )
    one = BudgetLimits(agents=1)
    async with with_agent(*rules, listener=listener, budget=one) as (engine, script):
        running = asyncio.create_task(run_planned(engine))
        await asyncio.to_thread(script.wait_for, "pause")
        await listener.until_progress("waits until another agent has ended")
        assert sum("You are a Worker" in p["text"] for p in script.prompts) == 1
        script.release("first")
        report = await running
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET
    assert (project / "auth.py").read_text() == "x = 1\n"
    spent = report.stats["spent"]
    assert isinstance(spent, dict)
    assert (spent["agents"], spent["peakAgents"]) == (0, 1)


async def test_who_waits_for_a_turn_can_be_stopped(with_agent: OpenWithAgent) -> None:
    listener = Recorder()
    rules = (rule([say(TWO)], match=PLANNER), rule([{"pause": "for ever"}], match=WORKER))
    one = BudgetLimits(agents=1)
    async with with_agent(*rules, listener=listener, budget=one) as (engine, _):
        mission = await engine.start(engine.plans.request(TEXT))
        await listener.until_progress("waits until another agent has ended")
        mission.stop("enough")
        report = await asyncio.wait_for(mission.wait(), 20)
    assert report.status is MissionStatus.CANCELLED


async def test_stopping_cancels_the_turn_and_keeps_the_agent(
    with_agent: OpenWithAgent, project: Path
) -> None:
    before = (project / "app.py").read_text()
    listener = Recorder()
    rules = planned([write("app.py", GREET), {"pause": "for ever"}])
    async with with_agent(*rules, listener=listener) as (engine, script):
        mission = await engine.start(engine.plans.request(TEXT))
        await listener.until(TaskStarted)
        await asyncio.to_thread(script.wait_for, "pause")
        mission.stop("enough")
        report = await asyncio.wait_for(mission.wait(), 20)
        assert len(script.results("cancel")) == 1
        assert len(script.pids) == 1
    assert report.status is MissionStatus.CANCELLED
    assert (project / "app.py").read_text() == before


async def test_an_agent_that_hears_no_cancel_is_killed(with_agent: OpenWithAgent) -> None:
    listener = Recorder()
    rules = planned([{"deaf": "for ever"}])
    async with with_agent(*rules, listener=listener) as (engine, script):
        mission = await engine.start(engine.plans.request(TEXT))
        await listener.until(TaskStarted)
        await asyncio.to_thread(script.wait_for, "deaf")
        mission.stop("enough")
        report = await asyncio.wait_for(mission.wait(), 20)
        gone = [pid for pid in script.pids if not _runs(pid)]
        assert gone == script.pids
    assert report.status is MissionStatus.CANCELLED


async def test_an_agent_ends_with_a_server_that_is_killed(project: Path, tmp_path: Path) -> None:
    state, cache = tmp_path / "state", tmp_path / "cache"
    with AgentScript(*planned([write("app.py", GREET), {"pause": "for ever"}])) as script:
        environment = {
            **os.environ,
            "OPENCODE_ORCHESTRATOR_AGENT": script.command,
            "XDG_STATE_HOME": str(state),
            "XDG_CACHE_HOME": str(cache),
        }
        task = ["task", TEXT, "--backend", "acp", "--workspace", project]
        command = [Path(sys.executable).parent / "opencode-orchestrator", *task]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as server:
            await asyncio.to_thread(script.wait_for, "pause")
            server.kill()
        async with asyncio.timeout(30):
            while any(_runs(pid) for pid in script.pids):
                await asyncio.sleep(0.01)
    assert list(cache.rglob("copy-*")), "it had no time to delete them"
    places = Places.of(project, state=state / APP, cache=cache / APP)
    engine = Orchestrator(await Services.open(project, Settings(), Recorder(), places=places))
    await engine.close()
    assert not list(cache.rglob("agents/*")), "the next start did"


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid)
