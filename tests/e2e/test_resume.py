"""A mission that a crash cut short is offered again when the server starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator_core.events import MissionAccepted, MissionPlanned, TaskStarted
from orchestrator_core.mission.journal import Journal
from orchestrator_core.records import Plan, Step, Task

if TYPE_CHECKING:
    from pathlib import Path

    from fake_editor import FakeEditor

LINE = "replace assertEquals with assertEqual in tests"


@pytest.fixture
def cut_short(shop: Path) -> str:
    """What a server leaves that is killed while its only task works."""
    task = Task(id="T1", title=LINE, steps=(Step(LINE),))
    with Journal(shop / ".opencode") as journal:
        journal.append(MissionAccepted(mission_id="m1", text=LINE))
        journal.append(MissionPlanned(mission_id="m1", plan=Plan(LINE, (task,))))
        journal.append(TaskStarted(mission_id="m1", task_id="T1"))
        journal.flush()
    return "m1"


async def test_the_server_asks_and_goes_on(cut_short: str, editor: FakeEditor) -> None:
    editor.choose = "Resume"  # set before the event loop can serve the question

    done = await editor.event("done", cut_short)

    assert done["status"] == "done"
    assert "cut short" in editor.questions[0].message
    assert "assertEquals" not in editor.text("tests/test_shop.py")


async def test_who_does_not_answer_has_lost_nothing(cut_short: str, editor: FakeEditor) -> None:
    await editor.until(lambda: editor.questions)
    (status,) = await editor.execute("/status")
    assert (status["mission"], status["status"]) == (cut_short, "running")
    assert "assertEquals" in editor.text("tests/test_shop.py")
