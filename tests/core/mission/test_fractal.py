"""Mode fractal: a task may be divided into parts, and is done when they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.config import Limits, Settings
from orchestrator_core.errors import RequestError
from orchestrator_core.events import TaskDivided, TaskFinished, TaskStarted
from orchestrator_core.mission.fold import replay
from orchestrator_core.mission.journal import Journal
from orchestrator_core.records import MissionStatus, Mode, Task, TaskState
from scripted_backend import Recorder, ScriptedBackend, orchestrator, request_for

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.records import MissionReport


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


async def note_it(context: TaskContext) -> None:
    context.draft.write(f"{context.task.id.replace('/', '_')}.txt", "done\n")


def in_two(task: Task) -> tuple[Task, ...]:
    return (Task("a", "first"), Task("b", "second", depends=("a",)))


async def run(
    root: Path,
    backend: ScriptedBackend,
    *tasks: Task,
    limits: Limits | None = None,
    recorder: Recorder | None = None,
    mode: Mode = Mode.FRACTAL,
) -> MissionReport:
    settings = Settings(limits=limits or Limits())
    async with orchestrator(root, backend, settings, recorder) as engine:
        mission = await engine.start(request_for(*tasks, mode=mode))
        async with asyncio.timeout(60):
            return await mission.wait()


async def test_parts_are_done_before_the_task_and_the_task_before_what_depends_on_it(
    root: Path,
) -> None:
    recorder = Recorder()
    backend = ScriptedBackend(note_it, lambda task: in_two(task) if task.id == "T1" else ())
    tasks = Task("T1", "big"), Task("T2", "after", depends=("T1",))
    report = await run(root, backend, *tasks, recorder=recorder)

    assert report.status is MissionStatus.DONE, report.reason
    ended = [e.task_id for e in recorder.events if isinstance(e, TaskFinished)]
    assert ended == ["T1/a", "T1/b", "T1", "T2"]
    assert [task.id for task in report.tasks] == ["T1", "T1/a", "T1/b", "T2"]
    assert sorted(path.name for path in root.glob("*.txt")) == ["T1_a.txt", "T1_b.txt", "T2.txt"]
    whole = report.tasks[0].receipt
    assert whole is not None
    assert whole.passed
    parts = [task.receipt for task in report.tasks[1:3]]
    assert whole.checks == tuple(check for part in parts if part for check in part.checks)


async def test_the_journal_replays_to_what_the_mission_was(root: Path) -> None:
    report = await run(root, ScriptedBackend(note_it, in_two), Task("T1", "big"))
    with Journal(root / ".opencode", read_only=True) as journal:
        (state,) = replay(journal.events()).values()
    assert report.status is MissionStatus.DONE, report.reason
    assert state.status is MissionStatus.DONE
    assert state.plan is not None
    assert [task.id for task in state.plan.tasks] == [task.id for task in report.tasks]


async def test_division_ends_at_the_depth_that_is_set(root: Path) -> None:
    asked: list[int] = []

    def divide(task: Task) -> tuple[Task, ...]:
        asked.append(task.depth)
        return (Task("x", "again"),)

    report = await run(root, ScriptedBackend(note_it, divide), Task("T1", "endless"))
    assert report.status is MissionStatus.DONE, report.reason
    assert asked == [0, 1, 2]
    assert [task.id for task in report.tasks] == ["T1", "T1/x", "T1/x/x", "T1/x/x/x"]
    assert [path.name for path in root.glob("*.txt")] == ["T1_x_x_x.txt"]


async def test_in_mode_normal_nothing_is_divided(root: Path) -> None:
    backend = ScriptedBackend(note_it, in_two)
    report = await run(root, backend, Task("T1", "big"), mode=Mode.NORMAL)
    assert [task.id for task in report.tasks] == ["T1"]


async def test_more_tasks_than_allowed_fail_the_mission_with_the_reason(root: Path) -> None:
    backend = ScriptedBackend(note_it, in_two)
    report = await run(root, backend, Task("T1", "big"), limits=Limits(tasks=2))
    assert report.status is MissionStatus.FAILED
    assert "orchestrator.limits.tasks (2)" in report.reason


async def test_parts_that_wait_for_each_other_fail_the_mission(root: Path) -> None:
    ring = (Task("a", "", depends=("b",)), Task("b", "", depends=("a",)))
    report = await run(root, ScriptedBackend(note_it, lambda _: ring), Task("T1", "big"))
    assert report.status is MissionStatus.FAILED
    assert "tasks wait for each other: a -> b -> a" in report.reason


async def test_a_part_that_fails_fails_the_mission_and_its_edits_are_taken_back(root: Path) -> None:
    async def act(context: TaskContext) -> None:
        text = "def broken(:\n" if context.task.id == "T1/b" else "value = 1\n"
        context.draft.write(f"{context.task.id[-1]}.py", text)

    backend = ScriptedBackend(act, lambda task: in_two(task) if task.depth == 0 else ())
    report = await run(root, backend, Task("T1", "big"))
    assert report.status is MissionStatus.FAILED
    assert [task.status for task in report.tasks] == [
        TaskState.CANCELLED,
        TaskState.DONE,
        TaskState.FAILED,
    ]
    assert list(root.glob("*.py")) == []


async def test_undoing_a_divided_task_undoes_its_parts_and_theirs(root: Path) -> None:
    names = ["T0", "T1/a", "T1/b/a", "T1/b/b", "T2"]
    shared = root / "shared.txt"
    shared.write_text("".join(f"{name} open\n---\n---\n" for name in names))

    def done() -> list[str]:
        return [line.split()[0] for line in shared.read_text().splitlines() if "done" in line]

    async def act(context: TaskContext) -> None:
        text, name = context.draft.read("shared.txt").text, context.task.id
        context.draft.write("shared.txt", text.replace(f"{name} open", f"{name} done"))
        await note_it(context)

    def divide(task: Task) -> tuple[Task, ...]:
        return in_two(task) if task.id in {"T1", "T1/b"} else ()

    tasks = Task("T0", ""), Task("T1", "", depends=("T0",)), Task("T2", "", depends=("T1",))
    async with orchestrator(root, ScriptedBackend(act, divide)) as engine:
        mission = await engine.start(request_for(*tasks, mode=Mode.FRACTAL))
        assert (await mission.wait()).status is MissionStatus.DONE
        assert done() == names

        undone = await engine.undo(mission.id, "T1/b")
        assert sorted(undone.files_restored) == ["T1_b_a.txt", "T1_b_b.txt", "shared.txt"]
        assert done() == ["T0", "T1/a", "T2"]
        await engine.undo(mission.id, "T1")
        assert done() == ["T0", "T2"]
        assert sorted(path.name for path in root.glob("T*.txt")) == ["T0.txt", "T2.txt"]

        with pytest.raises(RequestError, match="left nothing to undo"):
            await engine.undo(mission.id, "T1")
        await engine.undo(mission.id)
    assert done() == []


async def test_a_resumed_mission_keeps_its_parts(root: Path) -> None:
    recorder = Recorder()
    reached = asyncio.Event()

    async def act(context: TaskContext) -> None:
        await note_it(context)
        if context.task.id == "T1/b" and not reached.is_set():
            reached.set()
            await asyncio.Event().wait()

    def divide(task: Task) -> tuple[Task, ...]:
        return in_two(task) if task.depth == 0 else ()

    async with orchestrator(root, ScriptedBackend(act, divide), listener=recorder) as engine:
        mission = await engine.start(request_for(Task("T1", "big"), mode=Mode.FRACTAL))
        async with asyncio.timeout(60):
            await reached.wait()
        events = list(recorder.events)
        mission.stop("cut")
        await mission.wait()

    again = root.parent / "again"
    again.mkdir()
    (again / "T1_a.txt").write_text("done\n")
    with Journal(again / ".opencode") as journal:
        for event in events:
            journal.append(event)
        journal.flush()
    recorder = Recorder()
    async with orchestrator(again, ScriptedBackend(act, divide), listener=recorder) as engine:
        mission = await engine.resume()
        async with asyncio.timeout(60):
            report = await mission.wait()

    assert report.status is MissionStatus.DONE, report.reason
    assert not [event for event in recorder.events if isinstance(event, TaskDivided)]
    started = [event.task_id for event in recorder.events if isinstance(event, TaskStarted)]
    assert started == ["T1/b", "T1"]
