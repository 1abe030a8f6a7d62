"""Tasks that name the same files work one after the other; the others in parallel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator_core.events import TaskStarted
from orchestrator_core.mission.turns import Turns
from orchestrator_core.records import MissionStatus, Task
from scripted_backend import Recorder, orchestrator, request_for

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext


async def test_who_has_to_wait_is_told_when_to_ask_again() -> None:
    turns = Turns()
    assert turns.take("a", ["src/**"]) is None
    freed = turns.take("b", ["src/x.py"])
    assert freed is not None
    assert not freed.is_set()
    assert turns.take("c", ["doc/**"]) is None
    turns.give_back("a")
    assert freed.is_set()
    assert turns.take("b", ["src/x.py"]) is None


async def test_tasks_of_a_plan_never_clash_on_files_that_they_name(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "a.txt").write_text("")
    (root / "b.txt").write_text("")
    tasks = [Task(id=f"T{n}", title="", files=("a.txt",)) for n in range(6)]
    other = Task(id="B", title="", files=("b.txt",))
    at_work: set[str] = set()
    met_other = asyncio.Event()

    async def act(context: TaskContext) -> None:
        if context.task.id == "B":
            async with asyncio.timeout(20):
                await met_other.wait()  # only with a task on a.txt at the same time
            return
        assert not at_work
        at_work.add(context.task.id)
        text = context.draft.read("a.txt").text
        met_other.set()
        await asyncio.sleep(0)
        context.draft.write("a.txt", f"{text}{context.task.id}\n")
        at_work.clear()

    recorder = Recorder()
    async with orchestrator(root, act, listener=recorder) as engine:
        mission = await engine.start(request_for(other, *tasks))
        report = await mission.wait()

    assert report.status is MissionStatus.DONE, report.reason
    assert sorted((root / "a.txt").read_text().split()) == [task.id for task in tasks]
    attempts = [event.attempt for event in recorder.events if isinstance(event, TaskStarted)]
    assert attempts == [1] * 7
