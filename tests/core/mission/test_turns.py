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


async def test_of_those_with_the_same_files_one_is_told_at_a_time() -> None:
    turns = Turns()
    assert turns.take("a", ["x"]) is None
    waits = {name: turns.take(name, ["x"]) for name in ("b", "c", "d")}
    assert all(freed is not None and not freed.is_set() for freed in waits.values())

    def told() -> list[str]:
        return [name for name, freed in waits.items() if freed is not None and freed.is_set()]

    turns.give_back("a")
    assert told() == ["b"]
    assert turns.take("b", ["x"]) is None
    turns.give_back("c")  # gives up before its turn
    turns.give_back("b")
    assert told() == ["b", "d"]


async def test_who_is_told_and_gives_up_lets_the_next_go_on() -> None:
    turns = Turns()
    assert turns.take("a", ["x"]) is None
    turns.take("b", ["x"])
    after = turns.take("c", ["x"])
    turns.give_back("a")
    turns.give_back("b")
    assert after is not None
    assert after.is_set()


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
