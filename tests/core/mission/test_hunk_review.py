"""What a mission changed is accepted and rejected by hunk, and undo knows of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.mission.reviewed_missions import (
    NEW,
    OLD,
    Work,
    by_before,
    laid_out_lines,
    mission,
    reopened,
    write,
)
from orchestrator_core.errors import JournalBusy, RequestError
from orchestrator_core.events import MissionFinished
from orchestrator_core.records import Task
from scripted_backend import Recorder, orchestrator, request_for

if TYPE_CHECKING:
    from orchestrator_core.mission.agent import TaskContext


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return laid_out_lines(tmp_path)


async def test_hunks_are_where_they_stand_now(root: Path) -> None:
    async with mission(root, {"T1": write("a.txt", NEW)}) as (engine, started):
        typed = NEW.replace("01\n02\n", "00\n01\n02\n").replace("new\n", "old\n")
        engine.workspace.opened("a.txt", typed, 1)
        found = await engine.review.pending(path="a.txt")
        assert [(hunk.before, hunk.after, hunk.line) for hunk in found] == [
            ("03\n", "three 𝒳\n", 4),
            ("08\n", "", 9),
        ]
        assert [hunk.title for hunk in found] == ["T1: task T1"] * 2
        assert {hunk.mission for hunk in found} == {started}
        assert typed[found[0].start : found[0].end] == "three 𝒳\n"
        assert await engine.review.pending(path="b.txt") == []


async def test_who_hears_of_the_end_finds_its_hunks_at_once(root: Path) -> None:
    """The end is told before it lies on the disk, and an editor asks while the mission runs."""
    recorder = Recorder()

    async def act(context: TaskContext) -> None:
        context.draft.write("a.txt", NEW)
        assert await engine.review.pending(path="a.txt") == []

    async with asyncio.timeout(60), orchestrator(root, act, listener=recorder) as engine:
        mission = await engine.start(request_for(Task("T1", "one")))
        await recorder.until(MissionFinished)
        assert engine.runs(mission.id), "it has still to be seen to the disk"
        assert (await engine.review.settle(accept=True, mission_id=mission.id)).hunks == 3
        await mission.wait()
        assert await engine.review.pending(path="a.txt") == []


async def test_one_hunk_is_rejected_and_the_others_stay(root: Path) -> None:
    async with mission(root, {"T1": write("a.txt", NEW)}) as (engine, started):
        hunk = (await by_before(engine))["08\n"]
        report = await engine.review.settle(
            accept=False, mission_id=started, path="a.txt", hunk=hunk.hunk
        )
        assert (report.hunks, report.left, report.unsettled) == (1, 2, ())
        assert (root / "a.txt").read_text("utf-8") == NEW.replace("07\n", "07\n08\n")
        assert set(await by_before(engine)) == {"03\n", ""}
        with pytest.raises(RequestError, match="not pending any more"):
            await engine.review.settle(
                accept=False, mission_id=started, path="a.txt", hunk=hunk.hunk
            )


async def test_what_was_settled_is_settled_after_a_restart(root: Path) -> None:
    async with mission(root, {"T1": write("a.txt", NEW)}) as (engine, started):
        hunks = await by_before(engine)
        await engine.review.settle(
            accept=True, mission_id=started, path="a.txt", hunk=hunks["03\n"].hunk
        )
        await engine.review.settle(
            accept=False, mission_id=started, path="a.txt", hunk=hunks[""].hunk
        )
    text = (root / "a.txt").read_text("utf-8")
    assert text == NEW.replace("new\n", "")
    (root / "a.txt").write_text("00\n" + text, "utf-8")
    async with reopened(root) as engine:
        assert set(await by_before(engine)) == {"08\n"}
        undone = await engine.undo(started)
        assert undone.unrestored == ()
        # The accepted hunk is undone as well: accepting says that it was seen, no more.
        assert (root / "a.txt").read_text("utf-8") == "00\n" + OLD
        assert await engine.review.pending() == []


async def test_undo_leaves_alone_what_a_person_made_of_a_rejected_hunk(root: Path) -> None:
    async with mission(root, {"T1": write("a.txt", NEW)}) as (engine, started):
        hunk = (await by_before(engine))["03\n"]
        await engine.review.settle(accept=False, mission_id=started, path="a.txt", hunk=hunk.hunk)
        text = (root / "a.txt").read_text("utf-8").replace("03\n", "drei\n")
        (root / "a.txt").write_text(text, "utf-8")
        undone = await engine.undo(started)
        assert undone.unrestored == ()
        assert (root / "a.txt").read_text("utf-8") == OLD.replace("03\n", "drei\n")


async def test_one_task_is_undone_around_a_rejected_hunk_of_two(root: Path) -> None:
    second = NEW.replace("three 𝒳\n04\n", "three\nfour\n").replace("15\n", "fifteen\n")
    work: Work = {"T1": write("a.txt", NEW), "T2": write("a.txt", second)}
    async with mission(root, work) as (engine, started):
        hunks = await by_before(engine)
        assert hunks["03\n04\n"].tasks == ("T1", "T2")
        assert hunks["03\n04\n"].title == "T1, T2"
        await engine.review.settle(
            accept=False, mission_id=started, path="a.txt", hunk=hunks["03\n04\n"].hunk
        )
        undone = await engine.undo(started, "T1")
        assert undone.unrestored == ()
        assert (root / "a.txt").read_text("utf-8") == OLD.replace("15\n", "fifteen\n")


async def test_the_journal_is_read_once_for_all_who_ask(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mission(root, {"T1": write("a.txt", NEW)}) as (engine, _):
        reads: list[str] = []

        def reading() -> object:
            reads.append("once")
            return type(engine.review)._read(engine.review)

        monkeypatch.setattr(engine.review, "_read", reading)
        for line in range(5):
            engine.workspace.opened("a.txt", f"{line}\n{NEW}", line)
            text, found = await engine.review.standing("a.txt")
            assert (text, len(found)) == (f"{line}\n{NEW}", 3)
        assert not engine.review.concerns("b.txt")
        await engine.review.settle(accept=True, path="a.txt")
        settling = len(reads)
        assert settling == 1
        assert await engine.review.pending(path="a.txt") == []
        assert len(reads) == settling


async def test_what_another_process_did_is_seen(root: Path) -> None:
    async with reopened(root) as here:
        assert await here.review.pending(path="a.txt") == []
        async with mission(root, {"T1": write("a.txt", NEW)}) as (there, _):
            assert len(await here.review.pending(path="a.txt")) == 3
            hunk = (await by_before(there))["03\n"]
            await there.review.settle(
                accept=True, mission_id=hunk.mission, path="a.txt", hunk=hunk.hunk
            )
            with pytest.raises(JournalBusy):
                await here.review.settle(accept=True)
        reads: list[str] = []
        read = here.review._read
        here.review._read = lambda: reads.append("once") or read()
        for _ in range(3):
            assert set(await by_before(here)) == {"08\n", ""}
        assert len(reads) <= 2
        report = await here.review.settle(accept=True)
        assert (report.hunks, report.left) == (2, 0)


async def test_what_is_in_the_journal_no_more_cannot_be_settled(root: Path) -> None:
    async with mission(root, {"T1": write("a.txt", NEW)}) as (engine, started):
        assert len(await engine.review.pending()) == 3
        await engine._services.engine.pool.submit(engine._services.journal.forget, [started])
        assert await engine.review.pending() == []
        with pytest.raises(RequestError):
            await engine.review.settle(accept=True, mission_id=started)
        assert await engine.records.status() == []


async def test_what_runs_is_not_reviewed(root: Path) -> None:
    at_work, go_on = asyncio.Event(), asyncio.Event()

    async def act(context: TaskContext) -> None:
        if context.task.id == "T1":
            context.draft.write("a.txt", NEW)
            return
        at_work.set()
        await go_on.wait()

    plan = [Task("T1", "one"), Task("T2", "two", depends=("T1",))]
    async with asyncio.timeout(60), orchestrator(root, act) as engine:
        started = await engine.start(request_for(*plan))
        await at_work.wait()
        assert await engine.review.pending() == []
        with pytest.raises(RequestError):
            await engine.review.settle(accept=False, mission_id=started.id)
        go_on.set()
        await started.wait()
        assert len(await engine.review.pending()) == 3
