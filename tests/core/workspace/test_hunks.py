"""Hunks are followed through others' changes, and taken back to the letter."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.workspace.diff import split_lines
from orchestrator_core.workspace.edits import apply_edits, merge3
from orchestrator_core.workspace.hunks import Hunk, grown, left_after, moved, taken_back

OLD = "1\n2\n3\n4\n5\n6\n7\n"


def hunks_of(before: str, after: str, task: str = "T1") -> tuple[Hunk, ...]:
    return grown((), split_lines(before), split_lines(after), task, str)


def follow(hunks: tuple[Hunk, ...], before: str, after: str) -> tuple[Hunk, ...]:
    return moved(hunks, split_lines(before), split_lines(after)).hunks


def rejected(text: str, hunks: tuple[Hunk, ...]) -> str:
    return apply_edits(text, taken_back(split_lines(text), hunks))


@pytest.mark.parametrize(
    ("mine", "theirs", "left"),
    [
        ("1\n2\nTHREE\n4\n5\n6\n7\n", "0\n1\n2\nTHREE\n4\n5\n6\n7\n", "0\n" + OLD),
        ("1\n2\nTHREE\n4\n5\n6\n7\n", "1\n2\nTHREE\nright below\n5\n6\n7\n", None),
        ("1\n2\n4\n5\n6\n7\n", "1\n2\nFOUR\n5\n6\n7\n", None),
        ("1\n2\n3\nnew\n4\n5\n6\n7\n", "1\n2\nTHREE\nnew\n4\n5\n6\n7\n", None),
    ],
    ids=["moved", "below", "deletion", "above an insertion"],
)
def test_a_hunk_stands_beside_what_others_change(mine: str, theirs: str, left: str | None) -> None:
    hunks = follow(hunks_of(OLD, mine), mine, theirs)
    assert len(hunks) == 1
    expected = {
        "1\n2\nTHREE\nright below\n5\n6\n7\n": "1\n2\n3\nright below\n5\n6\n7\n",
        "1\n2\nFOUR\n5\n6\n7\n": "1\n2\n3\nFOUR\n5\n6\n7\n",
        "1\n2\nTHREE\nnew\n4\n5\n6\n7\n": "1\n2\nTHREE\n4\n5\n6\n7\n",
    }
    assert rejected(theirs, hunks) == (left or expected[theirs])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ("1\n2\nTHREE\n4\n5\n6\n7\n", "1\n2\nDREI\n4\n5\n6\n7\n"),
        ("1\n2\n4\n5\n6\n7\n", "1\n2\nin its place\n4\n5\n6\n7\n"),
        ("1\n2\na\nb\nc\n3\n4\n5\n6\n7\n", "1\n2\na\nB\nc\n3\n4\n5\n6\n7\n"),
    ],
    ids=["other words", "in place of a deletion", "one line of several"],
)
def test_a_hunk_that_others_wrote_over_is_theirs(mine: str, theirs: str) -> None:
    found = moved(hunks_of(OLD, mine), split_lines(mine), split_lines(theirs))
    assert found.hunks == ()
    assert len(found.lost) == 1


def test_a_hunk_that_was_taken_back_by_hand_is_not_lost() -> None:
    mine = OLD.replace("3", "three").replace("6", "six")
    theirs = OLD.replace("6", "six")
    found = moved(hunks_of(OLD, mine), split_lines(mine), split_lines(theirs))
    assert [hunk.before for hunk in found.hunks] == [("6\n",)]
    assert found.lost == ()


def test_hunks_of_tasks_that_touch_are_one() -> None:
    first = OLD.replace("3", "three").replace("6", "six")
    second = first.replace("4", "four").replace("six", "sechs")
    hunks = grown(hunks_of(OLD, first), split_lines(first), split_lines(second), "T2", str)
    assert [(hunk.start, hunk.end, hunk.before, hunk.tasks) for hunk in hunks] == [
        (2, 4, ("3\n", "4\n"), ("T1", "T2")),
        (5, 6, ("6\n",), ("T1", "T2")),
    ]
    assert rejected(second, hunks[:1]) == OLD.replace("6", "sechs")


def test_what_a_later_task_takes_back_is_no_hunk() -> None:
    first = OLD.replace("3", "three").replace("6", "six")
    second = first.replace("three", "3")
    hunks = grown(hunks_of(OLD, first), split_lines(first), split_lines(second), "T2", str)
    assert [hunk.before for hunk in hunks] == [("6\n",)]


@pytest.mark.parametrize(
    ("before", "mine", "theirs"),
    [("a", "a\n", "a\nb\n"), ("a\nb\n", "a\n", "a"), ("x\ny", "x\n", "x\nz\n")],
)
def test_no_two_lines_are_glued_together(before: str, mine: str, theirs: str) -> None:
    hunks = follow(hunks_of(before, mine), mine, theirs)
    assert rejected(theirs, hunks) == theirs


# Any texts. Lines are told apart, as most are: what repeats may be matched in another way.

lines = st.lists(
    st.sampled_from(["a\n", "b\n", "c\n", "d\r\n", "é\n", "𝒳\n", "\f\n", "\n"]), max_size=7
).map("".join)
texts = st.builds("{}{}".format, lines, st.sampled_from(["", "z", "𝒳"]))


@given(texts, st.lists(texts, min_size=1, max_size=3))
def test_rejecting_all_brings_the_text_back(before: str, steps: list[str]) -> None:
    hunks: tuple[Hunk, ...] = ()
    text = before
    for number, after in enumerate(steps):
        hunks = grown(hunks, split_lines(text), split_lines(after), f"T{number}", str)
        text = after
    assert rejected(text, hunks) == before
    assert all(a.end <= b.start for a, b in pairwise(hunks))


@given(texts, texts, texts)
def test_rejecting_all_is_a_merge_with_what_others_changed(
    before: str, mine: str, theirs: str
) -> None:
    hunks = hunks_of(before, mine)
    found = moved(hunks, split_lines(mine), split_lines(theirs))
    merged = merge3(base=mine, ours=theirs, theirs=before)
    if merged.clean and len(found.hunks) + len(found.lost) == len(hunks):
        assert rejected(theirs, found.hunks) == merged.text


@given(texts, texts, texts, st.data())
def test_rejecting_some_leaves_the_others_where_they_stand(
    before: str, mine: str, theirs: str, data: st.DataObject
) -> None:
    hunks = follow(hunks_of(before, mine), mine, theirs)
    some = tuple(hunk for hunk in hunks if data.draw(st.booleans()))
    after = rejected(theirs, some)
    assert rejected(after, left_after(hunks, some)) == rejected(theirs, hunks)
