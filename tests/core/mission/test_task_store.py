"""A task takes legal steps only, and what ended long ago is archived without being lost."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.errors import IllegalTransition
from orchestrator_core.mission.task_store import (
    ARCHIVE_AFTER_S,
    TRANSITIONS,
    TaskStatus,
    TaskStore,
    move,
)
from orchestrator_core.records import CheckResult, MissionStatus, Receipt, Task, TaskState
from scripted_backend import orchestrator, request_for

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext


@pytest.mark.parametrize(("before", "after"), [*product(TaskState, TaskState)])
def test_a_step_is_legal_or_an_error_that_changes_nothing(
    before: TaskState, after: TaskState
) -> None:
    task = TaskStatus("T1", state=before, finished_at=7.0)
    if after in TRANSITIONS[before]:
        move(task, after, 9.0)
        assert task.state is after
        assert task.finished_at == (0.0 if after is TaskState.RUNNING else 9.0)
    else:
        with pytest.raises(IllegalTransition, match=f"T1 is {before}"):
            move(task, after, 9.0)
        assert task == TaskStatus("T1", state=before, finished_at=7.0)


def test_a_done_task_goes_on_once_its_edits_were_reverted() -> None:
    task = TaskStatus("T1", state=TaskState.DONE, reverted=True)
    move(task, TaskState.RUNNING, 1.0)
    assert task.state is TaskState.RUNNING


def store_with(*tasks: TaskStatus) -> TaskStore:
    store = TaskStore()
    for task in tasks:
        store[task.id] = task
        if task.finished_at:
            store.ended(task)
    return store


def test_what_ended_half_an_hour_ago_is_archived_and_found_all_the_same() -> None:
    receipt = Receipt("old", True, (CheckResult("lint", "passed"),))
    old = TaskStatus("old", state=TaskState.DONE, receipt=receipt, finished_at=10.0)
    young = TaskStatus("young", state=TaskState.FAILED, finished_at=11.0)
    live = TaskStatus("live", state=TaskState.RUNNING)
    store = store_with(old, young, live)
    gone: list[TaskStatus] = []

    store.archive(10.0 + ARCHIVE_AFTER_S - 0.1, gone.append)
    assert store.archived == ()
    store.archive(10.0 + ARCHIVE_AFTER_S, gone.append)
    assert store.archived == ("old",)
    assert gone == [old]
    assert "old" in store
    assert store.find("none") is None
    found = store["old"]
    assert found == old
    assert found is not old, "the record may be another task's by now"
    assert store.archived == ()

    store.archive(1e9, gone.append)
    assert sorted(task.id for task in store.values()) == ["live", "old", "young"]


def test_one_that_was_begun_again_is_not_archived() -> None:
    task = TaskStatus("T1", state=TaskState.FAILED, finished_at=1.0)
    store = store_with(task)
    move(task, TaskState.RUNNING, 2.0)
    store.archive(1e9, lambda _: None)
    assert store.archived == ()


async def test_a_long_mission_archives_and_reports_everything(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    now = 1_000.0
    archived: list[tuple[str, ...]] = []

    async def act(context: TaskContext) -> None:
        nonlocal now
        (mission,) = engine._missions.values()
        archived.append(mission.state.tasks.archived)
        context.draft.write(f"{context.task.id}.txt", "done\n")
        now += 1_000

    tasks = [Task(f"T{n}", "t", depends=(f"T{n - 1}",) if n else ()) for n in range(5)]
    async with orchestrator(root, act) as engine:
        engine._services.engine.now = lambda: now
        mission = await engine.start(request_for(*tasks))
        async with asyncio.timeout(60):
            report = await mission.wait()
        in_use = engine._services.pools.tasks.stats().in_use

    assert report.status is MissionStatus.DONE, report.reason
    assert archived == [(), (), (), ("T0",), ("T0", "T1")]
    assert [task.id for task in report.tasks] == [task.id for task in tasks]
    assert all(task.receipt and task.files for task in report.tasks)
    assert in_use == 0
