"""A person who types while a task works loses nothing, and the task neither if it can be helped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.errors import ToolCrashed
from orchestrator_core.events import TaskReviewed, TaskStarted
from orchestrator_core.records import MissionStatus, Task
from scripted_backend import Recorder, orchestrator, request_for

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.records import MissionReport
    from scripted_backend import Act

TASK = Task(id="T1", title="shout")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.txt").write_text("one\ntwo\nthree\nfour\nfive\n")
    return folder


async def run(root: Path, act: Act, recorder: Recorder) -> MissionReport:
    async with orchestrator(root, act, listener=recorder) as engine:
        mission = await engine.start(request_for(TASK))
        async with asyncio.timeout(60):
            return await mission.wait()


def edit(context: TaskContext, old: str, new: str) -> None:
    text = context.draft.read("a.txt").text
    context.draft.write("a.txt", text.replace(old, new))


async def test_a_change_elsewhere_is_merged_and_reviewed_again(root: Path) -> None:
    recorder = Recorder()

    async def act(context: TaskContext) -> None:
        edit(context, "one", "ONE")
        (root / "a.txt").write_text("one\ntwo\nthree\nfour\nfive, a person's\n")

    report = await run(root, act, recorder)

    assert report.status is MissionStatus.DONE, report.reason
    assert (root / "a.txt").read_text() == "ONE\ntwo\nthree\nfour\nfive, a person's\n"
    assert sum(isinstance(event, TaskStarted) for event in recorder.events) == 1
    reviews = [event for event in recorder.events if isinstance(event, TaskReviewed)]
    assert len({event.receipt.tree for event in reviews}) == 2


async def test_a_change_in_the_same_place_is_worked_on_again(root: Path) -> None:
    recorder = Recorder()
    typed = iter(["one, a person's"])

    async def act(context: TaskContext) -> None:
        edit(context, "one", "ONE")
        for text in typed:
            (root / "a.txt").write_text(f"{text}\ntwo\n")
            return

    report = await run(root, act, recorder)

    assert report.status is MissionStatus.DONE, report.reason
    assert (root / "a.txt").read_text() == "ONE, a person's\ntwo\n"
    attempts = [event.attempt for event in recorder.events if isinstance(event, TaskStarted)]
    assert attempts == [1, 2]


async def test_a_file_that_keeps_changing_fails_with_both_texts(root: Path) -> None:
    recorder, number = Recorder(), 0

    async def act(context: TaskContext) -> None:
        nonlocal number
        number += 1
        context.draft.write("a.txt", "the task's\n")
        (root / "a.txt").write_text(f"a person's {number}\n")

    report = await run(root, act, recorder)

    assert report.status is MissionStatus.FAILED
    assert number == 3
    assert "a.txt" in report.reason
    assert "a person's 3" in report.reason
    assert "the task's" in report.reason
    assert (root / "a.txt").read_text() == "a person's 3\n"


async def test_a_tool_that_crashed_is_tried_again(root: Path) -> None:
    recorder, crashes = Recorder(), iter([True])

    async def act(context: TaskContext) -> None:
        for _ in crashes:
            raise ToolCrashed("the tool died")
        edit(context, "one", "ONE")

    report = await run(root, act, recorder)

    assert report.status is MissionStatus.DONE, report.reason
    assert (root / "a.txt").read_text().startswith("ONE")
