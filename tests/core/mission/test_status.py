"""What ``status`` tells while a mission runs is what its events tell of it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator_core.mission import history
from orchestrator_core.mission.fold import fold
from orchestrator_core.mission.lazy_journal import LazyJournal
from orchestrator_core.mission.state import MissionState
from orchestrator_core.mission.task_reports import TaskReports, task_reports
from orchestrator_core.records import MissionStatus, Task, TaskState
from scripted_backend import Recorder, orchestrator, request_for

if TYPE_CHECKING:
    from pathlib import Path
    from typing import NoReturn

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.mission.history import MissionOverview


async def test_status_between_tasks_agrees_with_the_events_so_far(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    seen: list[tuple[MissionOverview, MissionOverview]] = []

    async def act(context: TaskContext) -> None:
        (now,) = await engine.records.status()
        seen.append((now, history.overview(list(recorder.events))))
        context.draft.write(f"{context.task.id}.txt", "done\n")

    recorder = Recorder()
    tasks = [Task(f"T{n}", f"task {n}", depends=(f"T{n - 1}",) if n else ()) for n in range(4)]
    async with orchestrator(root, act, listener=recorder) as engine:
        report = await (await engine.start(request_for(*tasks))).wait()
        (after,) = await engine.records.status()

    assert report.status is MissionStatus.DONE, report.reason
    assert [now.tasks for now, _ in seen] == [told.tasks for _, told in seen]
    assert [len(now.files_changed) for now, _ in seen] == [0, 1, 2, 3]
    assert [task.status for task in seen[2][0].tasks] == [
        TaskState.DONE,
        TaskState.DONE,
        TaskState.RUNNING,
        TaskState.PENDING,
    ]
    assert after.tasks == report.tasks
    assert after.files_changed == report.files_changed


async def test_asking_at_every_event_and_asking_once_tell_the_same(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()

    async def act(context: TaskContext) -> None:
        context.draft.write("shared.txt", context.task.id)

    recorder = Recorder()
    async with orchestrator(root, act, listener=recorder) as engine:
        await (await engine.start(request_for(*(Task(f"T{n}", "t") for n in range(5))))).wait()

    state, reports = MissionState(recorder.events[0].mission_id), TaskReports()
    asked = ()
    for event in recorder.events:
        fold(state, event)
        reports.note(event)
        asked = reports.all(state)
    assert asked == task_reports(state, recorder.events)
    assert len(asked) == 5


async def test_status_reads_nothing_while_a_mission_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would wait for all that the mission writes meanwhile."""
    root = tmp_path / "tree"
    root.mkdir()
    seen: list[list[MissionStatus]] = []

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the journal was read")

    async def statuses() -> list[MissionStatus]:
        with monkeypatch.context() as patch:
            patch.setattr(LazyJournal, "missions", refuse)
            patch.setattr(LazyJournal, "events", refuse)
            return [mission.status for mission in await engine.records.status()]

    async def act(context: TaskContext) -> None:
        context.draft.write(f"{context.task.id}.txt", "done\n")
        if context.task.id == "later":
            seen.append(await statuses())
            await engine.undo(earlier.id)
            seen.append(await statuses())

    async with orchestrator(root, act) as engine:
        earlier = await engine.start(request_for(Task("earlier", "")))
        await earlier.wait()
    async with orchestrator(root, act) as engine:
        report = await (await engine.start(request_for(Task("later", "")))).wait()
        assert report.status is MissionStatus.DONE, report.reason
        seen.append(await statuses())

    assert engine._services.overviews.kept is None, "nothing is kept of an engine that is closed"
    running, done, undone = MissionStatus.RUNNING, MissionStatus.DONE, MissionStatus.UNDONE
    assert seen == [[running, done], [running, undone], [done, undone]]
