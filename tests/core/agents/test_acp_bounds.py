"""Where an agent works, and what it may change: its copy, and the files of its task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from acp_agent import rule, say, write
from core.agents.acp_tasks import (
    BEFORE,
    GREET,
    PLANNER,
    TWO,
    WORK,
    WORKER,
    run,
    run_planned,
    some_in_soak,
    working,
)
from orchestrator_core.records import MissionStatus

if TYPE_CHECKING:
    from pathlib import Path

    from core.agents.conftest import OpenWithAgent


async def test_no_agent_writes_outside_its_copy(
    with_agent: OpenWithAgent, project: Path, tmp_path: Path
) -> None:
    outside = [
        write(str(project / "app.py"), "broken"),
        write(str(tmp_path / "elsewhere"), "x"),
        {"run": f"rm -f {project / 'auth.py'}; ln {project / 'app.py'} here; echo x > ../../stray"},
    ]
    async with with_agent(*working([*outside, *WORK]), review=False) as (engine, script):
        await engine.trust()
        confined = "Landlock" in engine._services.engine.toolbox.shell.confinement.in_force()
        if not confined:
            pytest.skip("this system cannot confine an agent")
        report = await run(engine)
        writes = script.results("write")
    assert all("PermissionError" in result for result in writes[:2])
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET
    assert (project / "auth.py").exists()
    assert not (tmp_path / "elsewhere").exists()
    assert any("Landlock" in note for note in report.tasks[0].notes)


async def test_an_agent_that_works_on_the_workspace_itself_is_stopped(
    with_agent: OpenWithAgent, project: Path
) -> None:
    target = str(project / "app.py")
    strays = [{"tool": "Edit", "kind": "edit", "path": target}, {"pause": "never"}]
    async with with_agent(*working(strays), review=False) as (engine, script):
        report = await run(engine)
        assert script.results("cancel")
    assert report.status is MissionStatus.FAILED
    assert "outside its copy of the workspace" in report.reason
    assert (project / "app.py").read_text() == BEFORE


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "a file of another task": (write("auth.py", "x = 1\n"), "auth.py"),
    "rules of agents": (write(".claude/settings.json", "{}"), "rules the agents themselves"),
    "a link in place of a file": ({"link": "app.py", "to": "/etc/passwd"}, "no regular file"),
    "settings of the editor": (write(".vscode/settings.json", "{}"), ".vscode/settings.json"),
    "a file that is gone": ({"delete": "auth.py"}, "auth.py"),
}


@pytest.mark.parametrize("change", some_in_soak(CHANGES, 3))
async def test_what_the_task_must_not_change_fails_it(
    with_agent: OpenWithAgent, project: Path, change: str
) -> None:
    step, named = CHANGES[change]
    told = ("You changed what this task must not",)
    rules = (rule([say("I insist.")], match=told), *working([step, say("done")]))
    async with with_agent(*rules, review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.FAILED
    assert "changed what it must not" in report.reason
    assert named in report.reason
    assert not (project / ".claude").exists()
    assert (project / "app.py").read_text() == BEFORE
    assert (project / "auth.py").exists()


async def test_what_an_agent_leaves_in_our_own_folder_is_dropped(
    with_agent: OpenWithAgent, project: Path
) -> None:
    steps = [write(".opencode/agents/worker.md", "Obey."), *WORK]
    async with with_agent(*working(steps), review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert report.files_changed == ("app.py",)
    assert not (project / ".opencode/agents").exists()
    assert any("not kept: .opencode" in note for note in report.tasks[0].notes)


async def test_what_was_changed_too_much_can_be_taken_back(
    with_agent: OpenWithAgent, project: Path
) -> None:
    auth = (project / "auth.py").read_text()
    back = rule([write("auth.py", auth), say("done")], match=("Take that back", "auth.py"))
    rules = (back, *working([write("auth.py", "x = 1\n"), *WORK]))
    async with with_agent(*rules, review=False) as (engine, _):
        report = await run(engine)
    assert report.status is MissionStatus.DONE, report.reason
    assert report.files_changed == ("app.py",)


async def test_strict_mode_starts_no_agent_that_cannot_be_confined(
    with_agent: OpenWithAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator_core.runtime.confinement import Confinement, ConfinementStatus

    def nothing(_: Confinement) -> ConfinementStatus:
        return ConfinementStatus()

    monkeypatch.setattr(Confinement, "_ask", nothing)
    async with with_agent(*working(WORK), confinement="strict") as (engine, script):
        report = await run(engine)
        assert script.pids == []
    assert report.status is MissionStatus.FAILED
    assert "cannot keep commands from" in report.reason


STRAY = "for file in ../../../*/theirs/copy-*/notes.md; do echo stray >> $file; done; echo tried"
"""From one copy into all that there are, wherever an agent's process has its folder."""


async def test_strict_mode_keeps_sessions_out_of_each_others_copies(
    with_agent: OpenWithAgent, project: Path
) -> None:
    second = [{"pause": "begun"}, {"run": STRAY}, write("auth.py", "x = 1\n"), say("two")]
    rules = (
        rule([say(TWO)], [say(TWO)], match=PLANNER),
        rule([{"pause": "strayed"}, {"read": "notes.md"}, *WORK], match=(*WORKER, "Task T1")),
        rule(second, match=(*WORKER, "Task T2")),
        rule([say("Nothing is left to do.")], match=WORKER, again=True),
    )
    async with with_agent(*rules, review=False, confinement="strict") as (engine, script):
        await engine.trust()
        if not engine._services.engine.toolbox.shell.confinement.status().files:
            pytest.skip("this system cannot confine an agent")
        running = asyncio.create_task(run_planned(engine))
        await asyncio.to_thread(script.wait_for, "pause", 2)  # both are at work
        script.release("begun")
        await asyncio.to_thread(script.wait_for, "run")
        script.release("strayed")
        report = await running
        assert len(script.pids) == 2
        assert (await run_planned(engine)).status is MissionStatus.DONE
        assert len(script.pids) == 2, "processes are used again"
        strayed, seen = script.results("run"), script.results("read")
    assert "tried" in strayed[0]
    assert "denied" in strayed[0]
    assert seen == ["# Notes\n"]
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == GREET
    notes = report.tasks[0].notes
    assert any("each session at work in a process of its own" in note for note in notes)
