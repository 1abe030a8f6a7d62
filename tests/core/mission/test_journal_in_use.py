"""A journal that is damaged, held by another, or too large, as the whole engine meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator_core.errors import JournalBusy, RequestError
from orchestrator_core.events import MissionAccepted, MissionFinished
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.lazy_journal import LIMIT_BYTES, LazyJournal
from orchestrator_core.records import MissionStatus, Task, TaskState
from scripted_backend import Recorder, orchestrator, request_for

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.mission.agent import TaskContext


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in ("T1.txt", "T2.txt"):
        (folder / name).write_text("old\n")
    return folder


async def act(context: TaskContext) -> None:
    context.draft.write(f"{context.task.id}.txt", "new\n")


async def test_a_damaged_journal_is_put_aside_and_told(root: Path) -> None:
    (root / ".opencode").mkdir()
    (root / ".opencode" / "state.db").write_bytes(b"no database at all" * 500)
    recorder = Recorder()
    async with orchestrator(root, act, listener=recorder) as engine:
        mission = await engine.start(request_for(Task(id="T1", title="")))
        assert (await mission.wait()).status is MissionStatus.DONE
        assert len(await engine.records.status()) == 1
    assert "damaged" in recorder.notices[0]
    assert list((root / ".opencode").glob("state.db.damaged-*"))


async def test_a_second_server_reads_but_does_not_write(root: Path) -> None:
    async with orchestrator(root, act) as first:
        mission = await first.start(request_for(Task(id="T1", title="")))
        await mission.wait()
        async with orchestrator(root, act) as second:
            assert [found.mission for found in await second.records.status()] == [mission.id]
            with pytest.raises(JournalBusy):
                await second.start(request_for(Task(id="T2", title="")))
            with pytest.raises(JournalBusy):
                await second.undo()
            assert await second.interrupted() == []
    assert (root / "T2.txt").read_text() == "old\n"


async def test_one_task_is_undone_and_the_others_stay(root: Path) -> None:
    async with orchestrator(root, act) as engine:
        mission = await engine.start(request_for(Task(id="T1", title=""), Task(id="T2", title="")))
        await mission.wait()
        with pytest.raises(RequestError, match="no task T9"):
            await engine.undo(mission.id, "T9")
        report = await engine.undo(mission.id, "T1")
        assert report.files_restored == ("T1.txt",)
        assert (root / "T1.txt").read_text() == "old\n"
        assert (root / "T2.txt").read_text() == "new\n"
        with pytest.raises(RequestError, match="left nothing to undo"):
            await engine.undo(mission.id, "T1")
        assert (await engine.undo()).files_restored == ("T2.txt",)
        assert (await engine.records.status())[0].status is MissionStatus.UNDONE


async def test_who_hears_of_the_end_may_undo_at_once(root: Path) -> None:
    """The end is told before it lies on the disk."""
    recorder = Recorder()
    async with orchestrator(root, act, listener=recorder) as engine:
        mission = await engine.start(request_for(Task(id="T1", title="")))
        await recorder.until(MissionFinished)
        assert engine.runs(mission.id), "it has still to be seen to the disk"
        assert (await engine.undo(mission.id)).files_restored == ("T1.txt",)
        assert (await engine.records.status())[0].status is MissionStatus.UNDONE
    assert (root / "T1.txt").read_text() == "old\n"


async def test_a_failed_missions_edits_are_not_what_undo_looks_for(root: Path) -> None:
    async def breaking(context: TaskContext) -> None:
        if context.task.id == "T2":
            raise RuntimeError("broken")
        await act(context)

    tasks = (Task(id="T3", title=""), Task(id="T2", title="", depends=("T3",)))
    async with orchestrator(root, breaking) as engine:
        good = await engine.start(request_for(Task(id="T1", title="")))
        await good.wait()
        bad = await engine.start(request_for(*tasks))
        report = await bad.wait()
        assert report.status is MissionStatus.FAILED
        assert report.tasks[1].status is TaskState.FAILED
        assert (await engine.undo()).mission == good.id
    assert (root / "T1.txt").read_text() == "old\n"
    assert not (root / "T3.txt").exists()


def test_the_oldest_missions_are_forgotten_when_it_grows_too_large(tmp_path: Path) -> None:
    folder = tmp_path / ".opencode"
    with Journal(folder) as journal:
        for number in range(40):
            name = f"m{number}"
            text = "".join(f"{number * 7919 + n:x} " for n in range(16_000))
            journal.append(MissionAccepted(mission_id=name, text=text))
            journal.append(MissionFinished(mission_id=name, status=MissionStatus.DONE))
        journal.flush()
        assert journal.size_bytes() > LIMIT_BYTES
    lazy = LazyJournal(folder)
    assert lazy.open() is None
    kept = {event.mission_id for event in lazy.events()}
    lazy.close()
    assert "m39" in kept
    assert "m0" not in kept
    with Journal(folder, read_only=True) as journal:
        assert journal.size_bytes() <= LIMIT_BYTES
