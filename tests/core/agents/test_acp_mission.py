"""Missions that an agent plans, carries out and reviews, over the Agent Client Protocol."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from acp_agent import AgentScript, rule, say, write
from orchestrator_core.config import Settings
from orchestrator_core.events import TaskStarted
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import APP, Places
from orchestrator_core.records import MissionStatus
from orchestrator_core.safety import BudgetLimits
from orchestrator_core.services import Services
from scripted_backend import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from orchestrator_core.mission.engine import MissionProgress
    from orchestrator_core.records import MissionReport

    WithAgent = Callable[..., AbstractAsyncContextManager[tuple[Orchestrator, AgentScript]]]

PLANNER = ("You are the Planner",)
WORKER = ("You are a Worker",)
REVIEWER = ("You are the Reviewer",)
PLAN = """# Mission: Greet
### T1: Add greet | depends: - | files: app.py
- [ ] add a function greet
"""
TWO = """# Mission: Two
### T1: One | depends: - | files: app.py
- [ ] change app
### T2: Two | depends: - | files: auth.py, new/*.py
- [ ] change auth
"""
GREET = "def total(items):\n    return sum(items)\n\n\ndef greet(name):\n    return name\n"
AUTH = 'def check(user):\n    return user == "root"\n'
PASSES: dict[str, Any] = rule([say("PASS")], match=REVIEWER, again=True)


async def run(engine: Orchestrator, text: str = "teach the app to greet") -> MissionReport:
    """A mission, to its end."""
    mission = await engine.start(engine.plans.request(text))
    return await asyncio.wait_for(mission.wait(), 50)


def planned(*work: list[dict[str, Any]], plan: str = PLAN) -> tuple[dict[str, Any], ...]:
    """A script: this plan, this work, and a review that passes."""
    return (rule([say(plan)], match=PLANNER), rule(*work, match=WORKER), PASSES)


def git(folder: Path, *words: str) -> str:
    """What git says."""
    return subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture
def repository(project: Path) -> Path:
    """The project, under git, with a change that is not committed and a file that is not added."""
    (project / ".gitignore").write_text("ignored.txt\n")
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "First")
    (project / "auth.py").write_text('def check(user):\n    return user == "ada"\n')
    (project / "untracked.py").write_text("x = 1\n")
    (project / "ignored.txt").write_text("ignored\n")
    return project


async def test_an_agent_plans_two_tasks_and_does_them_side_by_side(
    with_agent: WithAgent, project: Path
) -> None:
    first = [say("On it."), {"tool": "Edit app.py"}, write("app.py", GREET)]
    second = [write("auth.py", AUTH), write("new/mod.py", "y = 2\n")]
    meet = {"pause": "both"}
    rules = (
        rule([say(f"Here is the plan:\n```\n{TWO}```")], match=PLANNER),
        rule([*first, meet, say("It greets.")], match=(*WORKER, "Task T1")),
        rule([*second, meet, say("Changed.")], match=(*WORKER, "Task T2")),
        PASSES,
    )
    async with with_agent(*rules) as (engine, script):
        running = asyncio.create_task(run(engine))
        await asyncio.to_thread(script.wait_for, "pause", 2)  # both are at work
        assert "greet" not in (project / "app.py").read_text()
        script.release("both")
        report = await running
        assert len(script.pids) == 1
        folders = {p["cwd"] for p in script.prompts if "You are a Worker" in p["text"]}
    assert report.status is MissionStatus.DONE, report.reason
    assert report.files_changed == ("app.py", "auth.py", "new/mod.py")
    assert (project / "app.py").read_text() == GREET
    assert (project / "auth.py").read_text() == AUTH
    assert (project / "new/mod.py").read_text() == "y = 2\n"
    assert report.tasks[0].notes[0] == "It greets."
    receipt = report.tasks[0].receipt
    assert receipt is not None
    assert receipt.checks[-1].name == "review"
    assert receipt.checks[-1].status == "passed"
    assert len(folders) == 2, "each has a copy of its own"


async def test_a_copy_is_a_snapshot_with_unsaved_and_untracked_files(
    with_agent: WithAgent, repository: Path
) -> None:
    looks = [
        {"read": "notes.md"},
        {"read": "auth.py"},
        {"read": "untracked.py"},
        {"read": "ignored.txt"},
        {
            "run": "git status --short; git log --format=%s; git symbolic-ref -q HEAD || echo detached"
        },
        write("app.py", GREET),
        {"run": "git add -A; git -c user.name=x -c user.email=x@y commit -qm Mine; git branch b"},
        say("done"),
    ]
    state = [git(repository, "for-each-ref"), git(repository, "status", "--short")]
    objects = sorted(path for path in (repository / ".git").rglob("*"))
    async with with_agent(*planned(looks)) as (engine, script):
        engine.workspace.opened("notes.md", "# unsaved\n", 7)
        report = await run(engine)
        read, said = script.results("read"), script.results("run")
    assert report.status is MissionStatus.DONE, report.reason
    assert report.files_changed == ("app.py",)
    assert read[:3] == ["# unsaved\n", 'def check(user):\n    return user == "ada"\n', "x = 1\n"]
    assert read[3].startswith("FileNotFoundError")
    assert said[0] == "0 Snapshot of the workspace\nFirst\ndetached\n"
    assert said[1].startswith("0 ")
    assert git(repository, "for-each-ref") == state[0]
    assert sorted(path for path in (repository / ".git").rglob("*")) == objects
    assert git(repository, "status", "--short").replace(" M app.py\n", "") == state[1]


async def test_a_plan_with_mistakes_goes_back_to_the_agent(with_agent: WithAgent) -> None:
    wrong = [say("# Mission: x\n### T1: a | depends: T9\n- [ ] do\n")]
    rules = (
        rule([say(PLAN)], match=("The plan cannot be read", "T9")),
        rule(wrong, match=PLANNER),
        rule([write("app.py", GREET), say("done")], match=WORKER),
        PASSES,
    )
    async with with_agent(*rules) as (engine, script):
        report = await run(engine)
        talks = [p for p in script.prompts if "plan:2:" in p["text"]]
    assert report.status is MissionStatus.DONE, report.reason
    assert len(talks) == 1


async def test_three_plans_that_cannot_be_read_end_the_mission(with_agent: WithAgent) -> None:
    again = rule([say("no plan")], match=("plan",), again=True)
    async with with_agent(again) as (engine, script):
        report = await run(engine)
        asked = [p for p in script.prompts if p["what"] == "prompt"]
    assert report.status is MissionStatus.FAILED
    assert "3 plans that cannot be read" in report.reason
    assert len(asked) == 3


async def test_a_failed_review_is_mended_on_the_second_try(
    with_agent: WithAgent, project: Path
) -> None:
    mend = [{"read": "app.py"}, write("app.py", GREET.replace("name\n", "f'Hello, {name}!'\n"))]
    rules = (
        rule([say(PLAN)], match=PLANNER),
        rule([*mend, say("Mended.")], match=(*WORKER, "the review failed", "must be polite")),
        rule([write("app.py", GREET), say("done")], match=WORKER),
        rule([say("FAIL\n- greet must be polite")], [say("PASS")], match=REVIEWER),
    )
    async with with_agent(*rules) as (engine, script):
        report = await run(engine)
        seen = script.results("read")
    assert report.status is MissionStatus.DONE, report.reason
    assert "Hello, {name}!" in (project / "app.py").read_text()
    assert seen == [GREET], "it went on from what it had done"


async def test_an_agent_is_told_the_conventions_that_hold_for_its_files(
    with_agent: WithAgent, project: Path
) -> None:
    (project / "src").mkdir()
    (project / "other").mkdir()
    for folder in (".", "src", "other"):
        (project / folder / "AGENTS.md").write_text(f"The rule of {folder} is to greet.\n")
    plan = PLAN.replace("files: app.py", "files: src/app.py")
    work = [write("src/app.py", GREET), say("It greets.")]
    async with with_agent(*planned(work, plan=plan)) as (engine, script):
        report = await run(engine)
        told = [p["text"] for p in script.prompts if "You are a Worker" in p["text"]]
    assert report.status is MissionStatus.DONE, report.reason
    assert "The rule of . is" in told[0]
    assert "The rule of src is" in told[0]
    assert "The rule of other is" not in told[0]


async def test_sessions_are_used_again_for_the_next_task(with_agent: WithAgent) -> None:
    chain = TWO.replace("T2: Two | depends: -", "T2: Two | depends: T1")
    rules = (
        rule([say(chain)], match=PLANNER),
        rule([write("app.py", GREET), say("one")], match=(*WORKER, "Task T1")),
        rule([{"read": "app.py"}, write("auth.py", AUTH), say("two")], match=(*WORKER, "Task T2")),
    )
    async with with_agent(*rules, review=False) as (engine, script):
        report = await run(engine)
        workers = [p for p in script.prompts if "You are a Worker" in p["text"]]
        seen = script.results("read")
    assert report.status is MissionStatus.DONE, report.reason
    assert workers[0]["session"] == workers[1]["session"]
    assert "This is a new task" in workers[1]["text"]
    assert seen == [GREET], "its copy shows the workspace as it is now"


async def test_people_see_what_the_agent_does_and_what_it_costs(with_agent: WithAgent) -> None:
    class Listener(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.progress: list[str] = []

        def on_progress(self, progress: MissionProgress) -> None:
            self.progress.append(progress.message)

    listener = Listener()
    work = [{"tool": "Edit app.py"}, write("app.py", GREET), {"cost": 0.25}, {"usage": 1200}]
    rules = planned([*work, say("done")])
    async with with_agent(*rules, listener=listener) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert any("Edit app.py" in message for message in listener.progress)
    spent = report.stats["spent"]
    assert isinstance(spent, dict)
    assert (spent["requests"], spent["tokens"], spent["moneyUsd"]) == (3, 1200, 0.25)
    assert spent["peakAgents"] == 1


async def test_a_mission_ends_cleanly_when_its_budget_is_spent(
    with_agent: WithAgent, project: Path
) -> None:
    before = (project / "app.py").read_text()
    rules = planned([write("app.py", GREET), say("done")])
    async with with_agent(*rules, budget=BudgetLimits(requests=1)) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.CANCELLED
    assert "budget of 1 requests" in report.reason
    assert (project / "app.py").read_text() == before


async def test_a_turn_ends_when_the_time_of_the_budget_is_over(with_agent: WithAgent) -> None:
    rules = planned([{"pause": "for ever"}])
    async with with_agent(*rules, budget=BudgetLimits(seconds=3.0)) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.CANCELLED
    assert "seconds" in report.reason


async def test_a_turn_ends_when_it_has_cost_too_much(with_agent: WithAgent, project: Path) -> None:
    before = (project / "app.py").read_text()
    rules = planned([write("app.py", GREET), {"cost": 5.0}, {"pause": "for ever"}])
    async with with_agent(*rules, budget=BudgetLimits(money_usd=1.0)) as (engine, script):
        report = await run(engine)
        assert script.results("cancel")
    assert report.status is MissionStatus.CANCELLED
    assert "budget of 1 moneyUsd" in report.reason
    assert (project / "app.py").read_text() == before


async def test_stopping_cancels_the_turn_and_keeps_the_agent(
    with_agent: WithAgent, project: Path
) -> None:
    before = (project / "app.py").read_text()
    listener = Recorder()
    rules = planned([write("app.py", GREET), {"pause": "for ever"}])
    async with with_agent(*rules, listener=listener) as (engine, script):
        mission = await engine.start(engine.plans.request("teach the app to greet"))
        await listener.until(TaskStarted)
        await asyncio.to_thread(script.wait_for, "pause")
        mission.stop("enough")
        report = await asyncio.wait_for(mission.wait(), 20)
        assert len(script.results("cancel")) == 1
        assert len(script.pids) == 1
    assert report.status is MissionStatus.CANCELLED
    assert (project / "app.py").read_text() == before


async def test_an_agent_that_hears_no_cancel_is_killed(with_agent: WithAgent) -> None:
    listener = Recorder()
    rules = planned([{"deaf": "for ever"}])
    async with with_agent(*rules, listener=listener) as (engine, script):
        mission = await engine.start(engine.plans.request("teach the app to greet"))
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
        task = ["task", "teach the app to greet", "--backend", "acp", "--workspace", project]
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
