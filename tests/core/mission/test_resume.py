"""A mission that a crash cut short goes on as if nothing had happened."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from orchestrator_core.errors import RequestError
from orchestrator_core.events import (
    EditsApplied,
    EditsIntended,
    MissionAccepted,
    MissionFinished,
    MissionPlanned,
    TaskFinished,
    TaskStarted,
)
from orchestrator_core.mission.journal import Journal
from orchestrator_core.records import MissionStatus, Task, TaskState
from scripted_backend import Recorder, orchestrator, request_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.agent import TaskContext

TASKS = (
    Task(id="T1", title="first"),
    Task(id="T2", title="second", depends=("T1",)),
    Task(id="T3", title="third", depends=("T2",)),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.txt").write_text("begin\n")
    return folder


async def act(context: TaskContext) -> None:
    """Add the task's id."""
    text = context.draft.read("a.txt").text
    context.draft.write("a.txt", f"{text}{context.task.id}\n")


async def whole_run(root: Path) -> list[AnyEvent]:
    recorder = Recorder()
    async with orchestrator(root, act, listener=recorder) as engine:
        mission = await engine.start(request_for(*TASKS))
        assert (await mission.wait()).status is MissionStatus.DONE
    return recorder.events


def crashed_after(root: Path, events: Sequence[AnyEvent]) -> None:
    """Leave what a crash leaves: a journal that ends early."""
    for file in (root / ".opencode").glob("state.db*"):
        file.unlink()
    with Journal(root / ".opencode") as journal:
        for event in events:
            journal.append(event)
        journal.flush()


async def resumed(root: Path) -> tuple[MissionStatus, list[AnyEvent]]:
    recorder = Recorder()
    async with orchestrator(root, act, listener=recorder) as engine:
        mission = await engine.resume()
        async with asyncio.timeout(60):
            report = await mission.wait()
    return report.status, recorder.events


async def test_it_goes_on_from_any_event(root: Path) -> None:
    events = await whole_run(root)
    contents = {0: "begin\n", 1: "begin\nT1\n", 2: "begin\nT1\nT2\n", 3: "begin\nT1\nT2\nT3\n"}
    for length in range(2, len(events)):
        before = events[:length]
        reached = sum(isinstance(event, EditsApplied) for event in before)
        if isinstance(before[-1], EditsIntended) and length % 2:
            reached += 1  # killed between the last rename and the event that tells of it
        (root / "a.txt").write_text(contents[reached])
        crashed_after(root, before)

        status, told = await resumed(root)

        assert status is MissionStatus.DONE, (length, before[-1])
        assert (root / "a.txt").read_text() == contents[3], (length, before[-1])
        again = {e.task_id for e in told if isinstance(e, TaskStarted)}
        done = {e.task_id for e in before if isinstance(e, TaskFinished)}
        assert not again & done


async def test_leftovers_of_a_killed_write_are_removed(root: Path) -> None:
    events = await whole_run(root)
    intended = next(place for place, e in enumerate(events) if isinstance(e, EditsIntended))
    (root / "a.txt").write_text("begin\n")
    crashed_after(root, events[: intended + 1])
    names = {path.name for path in root.iterdir()}
    await resumed(root)
    assert {path.name for path in root.iterdir()} == names


async def test_a_failing_mission_is_taken_back_to_its_end(root: Path) -> None:
    events = await whole_run(root)
    first_end = next(place for place, e in enumerate(events) if isinstance(e, TaskFinished))
    started = next(e for e in events[first_end:] if isinstance(e, TaskStarted))
    failed = TaskFinished(
        mission_id=started.mission_id,
        sequence=started.sequence + 1,
        at=started.at,
        task_id=started.task_id,
        state=TaskState.FAILED,
        reason="it broke",
    )
    (root / "a.txt").write_text("begin\nT1\n")
    crashed_after(root, [*events[: started.sequence], failed])

    status, told = await resumed(root)

    assert status is MissionStatus.FAILED
    assert (root / "a.txt").read_text() == "begin\n"
    assert isinstance(told[-1], MissionFinished)
    assert "it broke" in told[-1].reason


async def test_a_mission_without_a_plan_ends_as_cancelled(root: Path) -> None:
    accepted = MissionAccepted(mission_id="m", text="x", backend="script")
    crashed_after(root, [accepted])
    status, _ = await resumed(root)
    assert status is MissionStatus.CANCELLED


async def test_what_has_ended_is_not_resumed(root: Path) -> None:
    events = await whole_run(root)
    async with orchestrator(root, act) as engine:
        assert await engine.interrupted() == []
        with pytest.raises(RequestError, match="no mission was cut short"):
            await engine.resume()
    planned = [event for event in events if isinstance(event, MissionPlanned)]
    assert len(planned) == 1
    assert msgspec.json.encode(events[-1])
