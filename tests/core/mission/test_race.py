"""Mode race: several do a task side by side, and only what passed first is ever seen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator_core.config import Limits, Settings
from orchestrator_core.errors import AgentError
from orchestrator_core.events import EditsApplied, TaskReviewed, TaskStarted
from orchestrator_core.records import MissionStatus, Mode, Task
from scripted_backend import Recorder, orchestrator, request_for

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.records import MissionReport
    from scripted_backend import Act

RUNNERS = 3
BROKEN = "def broken(:\n"


async def race(
    root: Path, act: Act, recorder: Recorder | None = None, *, dry_run: bool = False
) -> MissionReport:
    settings = Settings(limits=Limits(racers=RUNNERS))
    async with orchestrator(root, act, settings, recorder) as engine:
        request = request_for(Task("T1", "race"), mode=Mode.RACE, dry_run=dry_run)
        mission = await engine.start(request)
        async with asyncio.timeout(60):
            return await mission.wait()


async def test_the_first_that_passes_wins_and_the_others_are_cancelled(root: Path) -> None:
    all_there = asyncio.Barrier(RUNNERS)
    cancelled: list[int] = []

    async def act(context: TaskContext) -> None:
        await all_there.wait()
        context.draft.write("a.py", f"value = {context.runner}\n")
        context.draft.write(f"of_{context.runner}.py", "")
        if context.runner != 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(context.runner)
                raise

    recorder = Recorder()
    report = await race(root, act, recorder)

    assert report.status is MissionStatus.DONE, report.reason
    assert sorted(cancelled) == [0, 2]
    assert (root / "a.py").read_text() == "value = 1\n"
    assert sorted(path.name for path in root.glob("*.py")) == ["a.py", "of_1.py"]
    assert report.tasks[0].notes == ("run 2 of 3 was the first to pass",)
    kinds = [type(event) for event in recorder.events]
    assert [kinds.count(kind) for kind in (TaskStarted, TaskReviewed, EditsApplied)] == [1, 1, 1]


async def test_who_does_not_pass_the_gate_does_not_win_by_being_first(root: Path) -> None:
    others_lost = asyncio.Event()
    lost = 0

    async def act(context: TaskContext) -> None:
        nonlocal lost
        if context.runner == 2:
            await others_lost.wait()
            context.draft.write("a.py", "value = 2\n")
            return
        lost += 1
        if lost == 2:
            others_lost.set()
        if context.runner == 0:
            raise AgentError("no idea")
        context.draft.write("a.py", BROKEN)

    report = await race(root, act)

    assert report.status is MissionStatus.DONE, report.reason
    assert (root / "a.py").read_text() == "value = 2\n"
    assert report.tasks[0].receipt is not None
    assert report.tasks[0].receipt.passed


async def test_when_none_passes_the_task_fails_with_every_reason(root: Path) -> None:
    async def act(context: TaskContext) -> None:
        if context.runner == 0:
            raise AgentError("no idea")
        context.draft.write("a.py", BROKEN)

    report = await race(root, act)

    assert report.status is MissionStatus.FAILED
    assert "none of 3 runs passed" in report.reason
    assert "run 1: no idea" in report.reason
    assert "does not parse any more" in report.reason
    assert (root / "a.py").read_text() == "value = 0\n"


async def test_a_race_of_errors_fails_with_the_error(root: Path) -> None:
    async def act(context: TaskContext) -> None:
        raise AgentError("no idea")

    report = await race(root, act)
    assert report.status is MissionStatus.FAILED
    assert "no idea" in report.reason


async def test_a_rehearsed_race_shows_the_winners_changes_alone(root: Path) -> None:
    async def act(context: TaskContext) -> None:
        if context.runner:
            await asyncio.Event().wait()
        context.draft.write("a.py", "value = 7\n")

    report = await race(root, act, dry_run=True)
    assert report.status is MissionStatus.DONE, report.reason
    assert "+value = 7" in report.diff
    assert (root / "a.py").read_text() == "value = 0\n"


async def test_stopping_a_race_stops_every_runner(root: Path) -> None:
    cancelled: list[int] = []
    all_there = asyncio.Barrier(RUNNERS + 1)

    async def act(context: TaskContext) -> None:
        await all_there.wait()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(context.runner)

    async with orchestrator(root, act, Settings(limits=Limits(racers=RUNNERS))) as engine:
        mission = await engine.start(request_for(Task("T1", "race"), mode=Mode.RACE))
        async with asyncio.timeout(60):
            await all_there.wait()
            mission.stop("enough")
            report = await mission.wait()
    assert report.status is MissionStatus.CANCELLED
    assert sorted(cancelled) == [0, 1, 2]
