"""Any changes, settled in any order, leave what was accepted and what an undo needs."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from core.mission.reviewed_missions import Data, Work, mission
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
from orchestrator_core.errors import OrchestratorError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.workspace.draft import Draft

few = partial(settings, phases=(Phase.explicit, Phase.generate))


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
