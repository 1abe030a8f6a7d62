"""Whatever ends a mission, at each of its moments: it does end, and so does every task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.events import AnyEvent, TaskFinished
from orchestrator_core.records import MissionStatus, Task, TaskState
from scripted_backend import Recorder, orchestrator, request_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.mission.mission import Mission


class Odd(BaseException):
    """What no library should raise."""


CHAIN = (Task("T1", "one"), Task("T2", "two", depends=("T1",)), Task("T3", "three"))
EVENTS = 13  # accepted, planned; each task started, reviewed, finished; its edits twice in T1


class StopsAt(Recorder):
    """Stops the mission as its n-th event is told, or right behind it."""

    def __init__(self, place: int, *, behind: bool) -> None:
        super().__init__()
        self.place = place
        self.behind = behind
        self.stop: Callable[[], object] = lambda: None

    def on_event(self, event: AnyEvent) -> None:
        super().on_event(event)
        if len(self.events) != self.place:
            return
        if self.behind:
            # Before whoever waits for what this event leads to has its turn.
            asyncio.get_running_loop().call_soon(self.stop)
        else:
            self.stop()


@pytest.mark.parametrize("behind", [False, True], ids=["at", "behind"])
@pytest.mark.parametrize("place", range(1, EVENTS + 1))
async def test_a_stop_at_any_event_ends_the_mission(
    tmp_path: Path, place: int, *, behind: bool
) -> None:
    root = tmp_path / "tree"
    root.mkdir()

    async def act(context: TaskContext) -> None:
        if context.task.id == "T1":
            context.draft.write("a.py", "value = 1\n")

    listener = StopsAt(place, behind=behind)
    mission: Mission
    async with orchestrator(root, act, listener=listener) as engine:
        listener.stop = lambda: mission.stop("enough")
        mission = await engine.start(request_for(*CHAIN))
        async with asyncio.timeout(20):
            report = await mission.wait()

    assert report.status in (MissionStatus.CANCELLED, MissionStatus.DONE)
    finished = [event.task_id for event in listener.events if isinstance(event, TaskFinished)]
    assert sorted(finished) == ["T1", "T2", "T3"]
    first = {task.id: task.status for task in report.tasks}["T1"]
    assert (root / "a.py").exists() == (first is TaskState.DONE)


async def test_a_worker_that_raises_what_is_no_exception_ends_its_mission(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()

    async def act(context: TaskContext) -> None:
        raise Odd("so odd")

    async with orchestrator(root, act) as engine:
        mission = await engine.start(request_for(*CHAIN))
        async with asyncio.timeout(20):
            report = await mission.wait()

    assert report.status is MissionStatus.FAILED
    assert "Odd: so odd" in report.reason
