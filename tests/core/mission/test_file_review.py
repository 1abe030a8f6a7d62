"""Files that a mission made, deleted and renamed are hunks of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.mission.reviewed_missions import NEW, OLD, Work, laid_out_lines, mission, write
from core.mission.test_undo_missions import tree
from orchestrator_core.errors import RequestError

if TYPE_CHECKING:
    from orchestrator_core.workspace.draft import Draft


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return laid_out_lines(tmp_path)


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
