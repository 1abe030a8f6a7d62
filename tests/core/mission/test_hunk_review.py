"""What a mission changed is accepted and rejected by hunk, and undo knows of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from core.mission.test_undo_missions import (
    Edit,
    Person,
    Remark,
    Tree,
    laid_out,
    make,
    remarks,
    tasks,
    tree,
    trees,
)
from orchestrator_core.errors import JournalBusy, OrchestratorError, RequestError
from orchestrator_core.records import MissionStatus, Task
from scripted_backend import orchestrator, request_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.mission.hunk_settlement import PendingHunk
    from orchestrator_core.orchestrator import Orchestrator
    from orchestrator_core.workspace.draft import Draft

few = partial(settings, phases=(Phase.explicit, Phase.generate))

OLD = "".join(f"{n:02}\n" for n in range(1, 16))
NEW = OLD.replace("03\n", "three 𝒳\n").replace("08\n", "").replace("12\n", "12\nnew\n")

Data = dict[str, bytes]
Work = dict[str, "Callable[[Draft], object]"]


@asynccontextmanager
async def mission(root: Path, work: Work) -> AsyncGenerator[tuple[Orchestrator, str]]:
    """A mission whose tasks do ``work``, one after the other, as it is when it has ended."""

    async def act(context: TaskContext) -> None:
        await context.pool.submit(work[context.task.id], context.draft)

    names = list(work)
    plan = [
        Task(name, f"task {name}", depends=tuple(names[n - 1 : n])) for n, name in enumerate(names)
    ]
    async with asyncio.timeout(60), orchestrator(root, act) as engine:
        report = await (await engine.start(request_for(*plan))).wait()
        assert report.status is MissionStatus.DONE, report.reason
        yield engine, report.mission


@asynccontextmanager
async def reopened(root: Path) -> AsyncGenerator[Orchestrator]:
    async def act(_: TaskContext) -> None:
        raise AssertionError

    async with asyncio.timeout(60), orchestrator(root, act) as engine:
        yield engine


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").write_text(OLD, "utf-8")
    (root / "b.txt").write_text("bee\n", "utf-8")
    return root


def write(path: str, text: str) -> Callable[[Draft], object]:
    return lambda draft: draft.write(path, text)


async def by_before(engine: Orchestrator, path: str = "a.txt") -> dict[str, PendingHunk]:
    return {hunk.before: hunk for hunk in await engine.review.pending(path=path)}


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


async def test_files_are_hunks_of_their_own(root: Path) -> None:
    before = tree(root)

    def change(draft: Draft) -> None:
        draft.write("made/new.txt", "new\n")
        draft.delete("b.txt")
        draft.rename("a.txt", "moved/a.txt")
        draft.write("moved/a.txt", NEW)

    async with mission(root, {"T1": change}) as (engine, started):
        after = tree(root)
        found = await engine.review.pending()
        assert sorted((hunk.path, hunk.kind) for hunk in found if hunk.kind != "change") == [
            ("b.txt", "delete"),
            ("made/new.txt", "create"),
            ("moved/a.txt", "rename"),
        ]
        for path, kind in [("made/new.txt", "create"), ("b.txt", "delete")]:
            report = await engine.review.settle(
                accept=False, mission_id=started, path=path, hunk=kind
            )
            assert report.hunks == 1
        assert tree(root).keys() == {"b.txt", "moved/a.txt"}
        await engine.review.settle(
            accept=False, mission_id=started, path="moved/a.txt", hunk="rename"
        )
        assert tree(root) == {"a.txt": after["moved/a.txt"], "b.txt": before["b.txt"]}
        assert len(await engine.review.pending(path="a.txt")) == 3
        report = await engine.review.settle(accept=False)
        assert (report.hunks, report.left) == (3, 0)
        assert tree(root) == before


async def test_a_file_that_a_person_changed_since_it_was_made_is_theirs(root: Path) -> None:
    async with mission(root, {"T1": write("new.txt", "new\n")}) as (engine, _):
        (root / "new.txt").write_text("new\nand mine\n", "utf-8")
        assert await engine.review.pending() == []
        with pytest.raises(RequestError, match="no change of"):
            await engine.review.settle(accept=False)
        assert (root / "new.txt").exists()


async def test_a_rename_is_not_taken_back_onto_another_file(root: Path) -> None:
    work: Work = {"T1": lambda draft: draft.rename("a.txt", "c.txt")}
    async with mission(root, work) as (engine, _):
        (root / "a.txt").write_text("a person's\n", "utf-8")
        report = await engine.review.settle(accept=False)
        assert report.hunks == 0
        assert report.unsettled == ("c.txt: a.txt exists again",)
        assert (root / "a.txt").read_text("utf-8") == "a person's\n"
        assert (root / "c.txt").read_text("utf-8") == OLD


async def test_files_that_changed_places_go_back(root: Path) -> None:
    before = tree(root)
    work: Work = {
        "T1": lambda draft: draft.rename("a.txt", "t.txt"),
        "T2": lambda draft: draft.rename("b.txt", "a.txt"),
        "T3": lambda draft: draft.rename("t.txt", "b.txt"),
    }
    async with mission(root, work) as (engine, _):
        report = await engine.review.settle(accept=False)
        assert (report.unsettled, report.left) == ((), 0)
        assert tree(root) == before


async def test_files_that_had_one_name_are_told_apart(root: Path) -> None:
    before = tree(root)
    work: Work = {
        "T1": write("a.txt", NEW),
        "T2": lambda draft: draft.delete("a.txt"),
        "T3": lambda draft: draft.rename("b.txt", "a.txt"),
    }
    async with mission(root, work) as (engine, started):
        (found,) = await engine.review.pending()
        assert (found.path, found.kind) == ("a.txt", "rename")
        await engine.review.settle(accept=False, mission_id=started, path="a.txt", hunk="rename")
        (found,) = await engine.review.pending()
        assert (found.path, found.kind) == ("a.txt", "delete")
        assert (await engine.undo(started)).unrestored == ()
        assert tree(root) == before


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


async def test_undo_knows_of_a_rejected_rename(root: Path) -> None:
    before = tree(root)
    work: Work = {
        "T1": lambda draft: draft.rename("a.txt", "t.txt"),
        "T2": write("t.txt", NEW),
        "T3": lambda draft: draft.rename("t.txt", "c.txt"),
    }
    async with mission(root, work) as (engine, started):
        await engine.review.settle(accept=False, mission_id=started, path="c.txt", hunk="rename")
        assert tree(root).keys() == before.keys()
        assert (await engine.undo(started)).unrestored == ()
        assert tree(root) == before


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


# Missions of any edits, a person who edits as well, and any order of accepting and rejecting


async def settle_all(root: Path, work: list[list[Edit]], *, accept: bool) -> tuple[Data, Data]:
    """What the files hold after a mission, and after all of it was accepted or rejected."""
    async with mission(root, work_of(work)) as (engine, _):
        after = data_of(root)
        if await engine.review.pending():
            report = await engine.review.settle(accept=accept)
            assert (report.unsettled, report.left) == ((), 0)
        assert await engine.review.pending() == []
        return after, data_of(root)


def check_all(contents: Tree, work: list[list[Edit]]) -> None:
    with laid_out(contents) as root:
        after, now = asyncio.run(settle_all(root, work, accept=True))
        assert now == after
    with laid_out(contents) as root:
        before = data_of(root)
        _, now = asyncio.run(settle_all(root, work, accept=False))
        assert now == before


async def settle_some(
    root: Path, work: list[list[Edit]], remarks: dict[int, Remark], data: st.DataObject
) -> tuple[Person, tuple[str, ...]]:
    """Settle all hunks in any order, with a person who edits, and undo what is left."""
    person = Person(root, dict(remarks))
    async with mission(root, work_of(work)) as (engine, started):
        for number in range(4):
            person.come(number, late=False)
        while found := await engine.review.pending():
            each = found[data.draw(st.integers(0, len(found) - 1))]
            settle = partial(
                engine.review.settle, mission_id=each.mission, path=each.path, hunk=each.hunk
            )
            report = await settle(accept=data.draw(st.booleans()))
            if report.unsettled:  # another file is in its place
                assert each.kind == "rename"
                await settle(accept=True)
            left = {(hunk.path, hunk.hunk) for hunk in await engine.review.pending()}
            assert (each.path, each.hunk) not in left
            person.come(len(found) % 4, late=True)
        try:
            return person, (await engine.undo(started)).unrestored
        except RequestError:
            return person, ()


def check_some(
    contents: Tree, work: list[list[Edit]], remarks: dict[int, Remark], data: st.DataObject
) -> None:
    with laid_out(contents) as root:
        before = data_of(root)
        person, unrestored = asyncio.run(settle_some(root, work, remarks, data))
        told = "\n".join(unrestored)
        if not person.said:
            assert (data_of(root), unrestored) == (before, ())
        now = data_of(root)
        for line in person.said:
            assert any(line in found for found in now.values()), (line, told)
        for name in before.keys() | now.keys():
            found = person.without_remarks(now.get(name, b""))
            same = found == before.get(name, b"") or "in its place" in told
            assert same or f"{name}: " in told, (name, told)


@few(max_examples=6)
@given(trees, tasks)
def test_accepting_all_changes_nothing_and_rejecting_all_restores_all(
    contents: Tree, work: list[list[Edit]]
) -> None:
    check_all(contents, work)


@few(max_examples=6)
@given(trees, tasks, remarks, st.data())
def test_any_order_of_settling_leaves_what_an_undo_needs(
    contents: Tree, work: list[list[Edit]], said: dict[int, Remark], data: st.DataObject
) -> None:
    check_some(contents, work, said, data)


@pytest.mark.soak
@settings(max_examples=150)
@given(trees, tasks)
def test_all_of_150_missions_is_accepted_or_rejected(
    contents: Tree, work: list[list[Edit]]
) -> None:
    check_all(contents, work)


@pytest.mark.soak
@settings(max_examples=150)
@given(trees, tasks, remarks, st.data())
def test_150_missions_are_settled_in_any_order(
    contents: Tree, work: list[list[Edit]], said: dict[int, Remark], data: st.DataObject
) -> None:
    check_some(contents, work, said, data)


def data_of(root: Path) -> Data:
    """What the files hold; a folder may stay where the mission itself took its file away."""
    return {name: file.data for name, file in tree(root).items() if not name.endswith("/")}


def work_of(work: list[list[Edit]]) -> Work:
    def does(edits: list[Edit]) -> Callable[[Draft], None]:
        def change(draft: Draft) -> None:
            for edit in edits:
                try:
                    make(draft, edit)
                except OrchestratorError:
                    continue  # a file that is not there, or is there already

        return change

    return {f"T{number}": does(edits) for number, edits in enumerate(work)}
