"""What an agent asks for: decided by the rules or by a person, files served from its copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from acp_agent import say
from core.agents.acp_tasks import (
    BEFORE,
    GREET,
    WORK,
    run,
    working,
)
from orchestrator_core.agents.permission_gate import Answer
from orchestrator_core.records import MissionStatus
from orchestrator_core.safety import Effect, PermissionRule

if TYPE_CHECKING:
    from pathlib import Path

    from core.agents.conftest import OpenWithAgent
    from orchestrator_core.agents.permissions import Decision, ToolCall


class Person:
    """Answers questions, and keeps them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def ask(self, call: ToolCall, decision: Decision) -> Answer:
        """Answer."""
        del decision
        self.asked.append(call.summary)
        return self.answer


ASK = {"ask": "Run the tests", "kind": "execute", "command": "make test"}


@pytest.mark.parametrize("answer", [Answer.ONCE, Answer.NO])
async def test_the_person_is_asked_what_the_rules_do_not_settle(
    with_agent: OpenWithAgent, answer: Answer
) -> None:
    person = Person(answer)
    async with with_agent(*working([ASK, *WORK], WORK), asker=person) as (engine, script):
        await engine.trust()
        await run(engine)
        said = script.results("ask")
    assert person.asked[0] == "run make test"
    assert (said[0] == "yes") == (answer is Answer.ONCE)


async def test_nobody_to_ask_means_no_and_the_agent_does_without(
    with_agent: OpenWithAgent, project: Path
) -> None:
    async with with_agent(*working([ASK, *WORK]), review=False) as (engine, script):
        await engine.trust()
        report = await run(engine)
        said = script.results("ask")
    assert "reject_once" in said[0]
    assert report.status is MissionStatus.DONE, report.reason
    assert (project / "app.py").read_text() == BEFORE


async def test_no_command_is_allowed_where_nobody_trusts_the_workspace(
    with_agent: OpenWithAgent,
) -> None:
    allow = PermissionRule(Effect.ALLOW, tool="run", command="make *")
    rules = working([ASK, *WORK])
    async with with_agent(*rules, review=False, permissions=(allow,)) as (engine, script):
        report = await run(engine)
        said = script.results("ask")
    assert "reject_once" in said[0]
    assert any("nobody has trusted" in note for note in report.tasks[0].notes)


async def test_files_are_served_from_the_copy_and_under_the_rules(
    with_agent: OpenWithAgent, project: Path
) -> None:
    (project / ".env").write_text("TOKEN=x\n")
    steps = [
        {"fs_read": "app.py"},
        {"fs_read": ".env"},
        {"read": ".env"},
        {"fs_read": str(project / "app.py")},
        {"fs_write": "app.py", "text": GREET},
        {"fs_write": "auth.py", "text": "x"},
        {"fs_write": "../stray.py", "text": "x"},
        {"fs_write": ".git/config", "text": "x"},
        say("done"),
    ]
    async with with_agent(*working(steps), review=False) as (engine, script):
        report = await run(engine)
        read, wrote = script.results("fs_read"), script.results("fs_write")
        on_disk = script.results("read")
    assert read[0] == BEFORE
    assert ".env is not" in read[1] or "was not allowed" in read[1]
    assert on_disk[0].startswith("FileNotFoundError"), "what it may not read is not in its copy"
    assert "outside the copy" in read[2]
    assert wrote[0] == "written"
    assert "not allowed" in wrote[1]
    assert all("outside the copy" in result for result in wrote[2:])
    assert report.status is MissionStatus.DONE, report.reason
    assert report.files_changed == ("app.py",)
