"""Missions that an agent plans, carries out and reviews, over the Agent Client Protocol."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acp_agent import rule, say, write
from core.agents.acp_tasks import (
    GREET,
    PASSES,
    PLAN,
    PLANNER,
    REVIEWER,
    TWO,
    WORKER,
    planned,
    run_planned,
)
from orchestrator_core.records import MissionStatus
from scripted_backend import Recorder

if TYPE_CHECKING:
    from core.agents.conftest import OpenWithAgent

AUTH = 'def check(user):\n    return user == "root"\n'


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
    with_agent: OpenWithAgent, project: Path
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
        running = asyncio.create_task(run_planned(engine))
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
    with_agent: OpenWithAgent, repository: Path
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
        report = await run_planned(engine)
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


async def test_a_plan_with_mistakes_goes_back_to_the_agent(with_agent: OpenWithAgent) -> None:
    wrong = [say("# Mission: x\n### T1: a | depends: T9\n- [ ] do\n")]
    rules = (
        rule([say(PLAN)], match=("The plan cannot be read", "T9")),
        rule(wrong, match=PLANNER),
        rule([write("app.py", GREET), say("done")], match=WORKER),
        PASSES,
    )
    async with with_agent(*rules) as (engine, script):
        report = await run_planned(engine)
        talks = [p for p in script.prompts if "plan:2:" in p["text"]]
    assert report.status is MissionStatus.DONE, report.reason
    assert len(talks) == 1


async def test_three_plans_that_cannot_be_read_end_the_mission(with_agent: OpenWithAgent) -> None:
    again = rule([say("no plan")], match=("plan",), again=True)
    async with with_agent(again) as (engine, script):
        report = await run_planned(engine)
        asked = [p for p in script.prompts if p["what"] == "prompt"]
    assert report.status is MissionStatus.FAILED
    assert "3 plans that cannot be read" in report.reason
    assert len(asked) == 3


async def test_a_failed_review_is_mended_on_the_second_try(
    with_agent: OpenWithAgent, project: Path
) -> None:
    mend = [{"read": "app.py"}, write("app.py", GREET.replace("name\n", "f'Hello, {name}!'\n"))]
    rules = (
        rule([say(PLAN)], match=PLANNER),
        rule([*mend, say("Mended.")], match=(*WORKER, "the review failed", "must be polite")),
        rule([write("app.py", GREET), say("done")], match=WORKER),
        rule([say("FAIL\n- greet must be polite")], [say("PASS")], match=REVIEWER),
    )
    async with with_agent(*rules) as (engine, script):
        report = await run_planned(engine)
        seen = script.results("read")
    assert report.status is MissionStatus.DONE, report.reason
    assert "Hello, {name}!" in (project / "app.py").read_text()
    assert seen == [GREET], "it went on from what it had done"


async def test_an_agent_is_told_the_conventions_that_hold_for_its_files(
    with_agent: OpenWithAgent, project: Path
) -> None:
    (project / "src").mkdir()
    (project / "other").mkdir()
    for folder in (".", "src", "other"):
        (project / folder / "AGENTS.md").write_text(f"The rule of {folder} is to greet.\n")
    plan = PLAN.replace("files: app.py", "files: src/app.py")
    work = [write("src/app.py", GREET), say("It greets.")]
    async with with_agent(*planned(work, plan=plan)) as (engine, script):
        report = await run_planned(engine)
        told = [p["text"] for p in script.prompts if "You are a Worker" in p["text"]]
    assert report.status is MissionStatus.DONE, report.reason
    assert "The rule of . is" in told[0]
    assert "The rule of src is" in told[0]
    assert "The rule of other is" not in told[0]


async def test_sessions_are_used_again_for_the_next_task(with_agent: OpenWithAgent) -> None:
    chain = TWO.replace("T2: Two | depends: -", "T2: Two | depends: T1")
    rules = (
        rule([say(chain)], match=PLANNER),
        rule([write("app.py", GREET), say("one")], match=(*WORKER, "Task T1")),
        rule([{"read": "app.py"}, write("auth.py", AUTH), say("two")], match=(*WORKER, "Task T2")),
    )
    async with with_agent(*rules, review=False) as (engine, script):
        report = await run_planned(engine)
        workers = [p for p in script.prompts if "You are a Worker" in p["text"]]
        seen = script.results("read")
    assert report.status is MissionStatus.DONE, report.reason
    assert workers[0]["session"] == workers[1]["session"]
    assert "This is a new task" in workers[1]["text"]
    assert seen == [GREET], "its copy shows the workspace as it is now"


async def test_people_see_what_the_agent_does_and_what_it_costs(with_agent: OpenWithAgent) -> None:
    listener = Recorder()
    tool = [{"tool": "Edit app.py"}, {"pause": "seen"}]
    work = [*tool, write("app.py", GREET), {"cost": 0.25}, {"usage": 1200}, say("done")]
    async with with_agent(*planned(work), listener=listener) as (engine, script):
        running = asyncio.create_task(run_planned(engine))
        await listener.until_progress("Edit app.py")
        script.release("seen")
        report = await running
    assert report.status is MissionStatus.DONE, report.reason
    spent = report.stats["spent"]
    assert isinstance(spent, dict)
    assert (spent["requests"], spent["moneyUsd"]) == (3, 0.25)
    assert 1200 < spent["tokens"] < 3000  # those of turns that do not count them are reckoned
    assert spent["peakAgents"] == 1
