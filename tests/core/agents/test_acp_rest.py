"""Copies that are left alone: what others change in them is seen, and does not count."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from acp_agent import AgentScript, rule, say, write
from core.agents.acp_tasks import (
    BEFORE,
    GREET,
    PLAN,
    PLANNER,
    TWO,
    WORK,
    WORKER,
    planned,
    run_planned,
    working,
)
from orchestrator_core.agents.acp_rest import Rest
from orchestrator_core.agents.acp_worktree import WorkTree
from orchestrator_core.agents.permission_gate import Answer
from orchestrator_core.records import MissionStatus
from orchestrator_core.safety import Effect, PermissionRule

if TYPE_CHECKING:
    from pathlib import Path

    from core.agents.conftest import OpenWithAgent
    from orchestrator_core.agents.permissions import Decision, ToolCall

pytestmark = pytest.mark.usefixtures("short_pauses")

BESIDE = (
    "for file in ../copy-*/notes.md; do [ $file -ef notes.md ] || echo stray >> $file; done; echo x"
)
"""From a copy into those of other sessions of the same process."""


def test_a_copy_is_disturbed_by_what_changes_its_files(project: Path, tmp_path: Path) -> None:
    tree = WorkTree(tmp_path / "copy")
    tree.fill(project, ["app.py", "auth.py", "notes.md"], {})
    (tree.path / "app.py").write_text("changed in a turn")
    rest = Rest(tree)
    assert rest.disturbed() == []
    (tree.path / "app.py").write_text("changed in a turn")  # as it was
    (tree.path / "auth.py").touch()
    (tree.path / "build.log").write_text("not a file that was copied")
    assert rest.disturbed() == []
    (tree.path / "app.py").write_text("changed after it")
    (tree.path / "auth.py").unlink()
    (tree.path / "notes.md").unlink()
    (tree.path / "notes.md").symlink_to(project / "notes.md")
    assert sorted(rest.disturbed()) == ["app.py", "auth.py", "notes.md"]


async def test_a_turn_that_changes_another_sessions_copy_does_not_count(
    with_agent: OpenWithAgent, project: Path
) -> None:
    strays = [{"run": BESIDE}, write("app.py", "half"), say("done")]
    async with with_agent(*planned(strays, WORK)) as (engine, script):
        report = await run_planned(engine)
        assert len([p for p in script.prompts if "You are a Worker" in p["text"]]) == 2
    assert report.status is MissionStatus.DONE, report.reason
    assert report.files_changed == ("app.py",)
    assert (project / "app.py").read_text() == GREET


async def test_who_always_changes_another_sessions_copy_fails_the_task(
    with_agent: OpenWithAgent, project: Path
) -> None:
    strays = [{"run": BESIDE}, *WORK]
    rules = (rule([say(PLAN)], match=PLANNER), *working(strays))
    async with with_agent(*rules) as (engine, _):
        report = await run_planned(engine)
    assert report.status is MissionStatus.FAILED
    assert "another session's copy changed: notes.md (tried 3 times)" in report.reason
    assert (project / "app.py").read_text() == BEFORE
    assert (project / "notes.md").read_text() == "# Notes\n"


class SlowPerson:
    """Allows everything, the first time after another session has strayed."""

    script: AgentScript
    asked = 0

    async def ask(self, call: ToolCall, decision: Decision) -> Answer:
        """Answer."""
        del call, decision
        self.asked += 1
        self.script.release("asked" if self.asked == 1 else "asked again")
        await asyncio.to_thread(self.script.wait_for, "run")
        return Answer.ONCE


async def test_what_others_changed_in_a_copy_is_not_brought_in(
    with_agent: OpenWithAgent, project: Path
) -> None:
    """The one that strays is still at work when the other's changes would be brought in."""
    person = SlowPerson()
    end = [write("auth.py", "x = 1\n"), say("two")]
    rules = (
        rule([say(TWO)], match=PLANNER),
        rule(WORK, match=(*WORKER, "Task T1"), again=True),
        rule(
            [{"pause": "asked"}, {"run": BESIDE}, {"pause": "asked again"}, *end],
            end,
            match=(*WORKER, "Task T2"),
            again=True,
        ),
    )
    asks = (PermissionRule(Effect.ASK, "write", "app.py"),)
    opening = with_agent(*rules, review=False, asker=person, permissions=asks)
    async with opening as (engine, script):
        person.script = script
        report = await run_planned(engine)
        first = [p for p in script.prompts if "Task T1:" in p["text"]]
    assert report.status is MissionStatus.DONE, report.reason
    assert len(first) >= 2, "it was done anew"
    assert (project / "app.py").read_text() == GREET
    assert (project / "notes.md").read_text() == "# Notes\n"
