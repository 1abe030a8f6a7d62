"""What goes wrong on an agent's side: got over, or failed with a reason; nothing half changed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from acp_agent import rule, say, write
from core.agents.acp_tasks import (
    BEFORE,
    GREET,
    WORK,
    WORKER,
    run,
    some_in_soak,
    working,
)
from orchestrator_core.records import MissionStatus

if TYPE_CHECKING:
    from pathlib import Path

    from core.agents.conftest import OpenWithAgent

pytestmark = pytest.mark.usefixtures("short_pauses")


PASSING: dict[str, list[dict[str, Any]]] = {
    "dies": [write("app.py", "half"), {"die": 3}],
    "writes garbage": [write("app.py", "half"), {"garbage": 1000}, {"pause": "never"}],
    "answers nonsense": [{"answer": {"stopReason": "because"}}],
    "dies at once": [{"die": 0}],
    "answers what is no object": [{"answer": 7}],
    "fails in passing": [{"error": {"code": -32603, "message": "overloaded"}}],
}


@pytest.mark.parametrize("fault", some_in_soak(PASSING, 3))
async def test_an_agent_that_fails_in_passing_is_asked_again(
    with_agent: OpenWithAgent, project: Path, fault: str
) -> None:
    async with with_agent(*working(PASSING[fault], WORK), review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET


async def test_an_agent_that_falls_silent_is_given_up_and_asked_again(
    with_agent: OpenWithAgent, project: Path
) -> None:
    rules = working([write("app.py", "half"), {"pause": "never"}], WORK)
    async with with_agent(*rules, review=False, silent_s=1.5) as (engine, script):
        report = await run(engine)
        assert len(script.pids) == 1
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET


async def test_an_agent_that_hangs_for_good_is_replaced(
    with_agent: OpenWithAgent, project: Path
) -> None:
    rules = working([{"deaf": "never"}], WORK)
    async with with_agent(*rules, review=False, silent_s=1.5) as (engine, script):
        report = await run(engine)
        assert len(script.pids) == 2
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET


async def test_a_flood_on_stderr_blocks_nothing_and_takes_no_memory(
    with_agent: OpenWithAgent,
) -> None:
    flood = [{"stderr": 20_000_000}, *WORK]
    before = psutil.Process().memory_info().rss
    async with with_agent(*working(flood), review=False) as (engine, _):
        report = await run(engine)
        grown = psutil.Process().memory_info().rss - before
    assert report.status is MissionStatus.DONE, report.reason
    assert grown < 300_000_000  # the SDK is imported; 20 MB more would not show, 2 GB would


async def test_an_agent_that_always_dies_fails_the_task_with_its_last_words(
    with_agent: OpenWithAgent, project: Path
) -> None:
    dying = rule([{"stderr": 2000}, {"die": 9}], match=WORKER, again=True)
    async with with_agent(dying) as (engine, script):
        report = await run(engine)
        assert len(script.pids) >= 3
    assert report.status is MissionStatus.FAILED
    assert "ended with exit code 9" in report.reason
    assert "tried 3 times" in report.reason
    assert (project / "app.py").read_text() == BEFORE


async def test_an_agent_that_does_not_shake_hands_fails_the_mission(
    with_agent: OpenWithAgent,
) -> None:
    dying = rule([{"die": 1}], match=("initialize",), again=True)
    async with with_agent(dying) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.FAILED
    assert "ended with exit code 1" in report.reason


async def test_an_agent_of_another_version_is_told_apart(with_agent: OpenWithAgent) -> None:
    other = rule([{"answer": {"protocolVersion": 9}}], match=("initialize",), again=True)
    async with with_agent(other) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.FAILED
    assert "speaks version 9" in report.reason


async def test_an_agent_that_wants_a_login_says_so(with_agent: OpenWithAgent) -> None:
    wants = {"error": {"code": -32000, "message": "Authentication required"}}
    async with with_agent(rule([wants], match=("session/new",), again=True)) as (engine, script):
        report = await run(engine)
        assert len(script.pids) == 1
    assert report.status is MissionStatus.FAILED
    assert "log in first" in report.reason


FINAL: dict[str, tuple[list[dict[str, Any]], str]] = {
    "refuses": ([say("I will not."), {"stop": "refusal"}], "refused the task: I will not."),
    "cannot": ([write("app.py", "half"), say("CANNOT: no such app")], "no such app"),
    "gives up": ([{"stop": "cancelled"}], "of its own accord"),
    "rejects": ([{"error": {"code": -32602, "message": "bad"}}], "failed (the turn): bad"),
}


@pytest.mark.parametrize("fault", some_in_soak(FINAL, 2))
async def test_what_will_not_go_well_fails_at_once(
    with_agent: OpenWithAgent, project: Path, fault: str
) -> None:
    steps, reason = FINAL[fault]
    async with with_agent(*working(steps), review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.FAILED
    assert reason in report.reason
    assert (project / "app.py").read_text() == BEFORE


async def test_an_agent_that_does_and_says_nothing_is_asked_again(
    with_agent: OpenWithAgent,
) -> None:
    rules = (rule(WORK, match=("did and said nothing",)), *working([]))
    async with with_agent(*rules, review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason


async def test_an_agent_that_stopped_at_a_limit_goes_on(
    with_agent: OpenWithAgent, project: Path
) -> None:
    rules = (rule(WORK, match=("Go on where you stopped",)), *working([{"stop": "max_tokens"}]))
    async with with_agent(*rules, review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET


async def test_an_agent_that_dies_takes_what_it_started_with_it(with_agent: OpenWithAgent) -> None:
    leaves = [{"run": "sleep 1000 >/dev/null 2>&1 & echo $!"}, {"die": 1}]
    async with with_agent(*working(leaves, WORK), review=False) as (engine, script):
        report = await run(engine)
        child = int(script.results("run")[0].split()[1])
    assert report.status is MissionStatus.DONE, report.reason
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(child).status() == psutil.STATUS_ZOMBIE
