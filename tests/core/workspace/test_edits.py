"""Edits and merges, by properties and by the cases that properties rarely meet."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.errors import EditError
from orchestrator_core.workspace.diff import hunks
from orchestrator_core.workspace.edits import (
    MergeConflict,
    TextEdit,
    apply_edits,
    diff_edits,
    invert,
    merge3,
)

# Few different characters and every kind of line ending, so that lines repeat and touch.
texts = st.text(alphabet="ab\n\r\u2028é😀", max_size=40)
lines = st.lists(st.sampled_from(["a\n", "b\n", "\n", "c\r\n", "d"]), max_size=12).map("".join)


@st.composite
def edits_of(draw: st.DrawFn, text: str) -> list[TextEdit]:
    places = draw(st.lists(st.integers(0, len(text)), max_size=8))
    bounds = sorted(places)[: len(places) // 2 * 2]
    return [TextEdit(a, b, draw(texts)) for a, b in zip(bounds[::2], bounds[1::2], strict=True)]


@given(st.data(), texts)
def test_inverted_edits_bring_the_text_back(data: st.DataObject, text: str) -> None:
    edits = data.draw(edits_of(text))
    changed = apply_edits(text, edits)
    assert apply_edits(changed, invert(text, edits)) == text


@given(st.one_of(texts, lines), st.one_of(texts, lines))
def test_found_edits_turn_the_one_text_into_the_other(before: str, after: str) -> None:
    edits = diff_edits(before, after)
    assert apply_edits(before, edits) == after
    assert bool(edits) == (before != after)


@given(st.text(alphabet="a\r\n", max_size=20), st.text(alphabet="a\r\n", max_size=20))
def test_no_edit_begins_or_ends_inside_a_line_ending(before: str, after: str) -> None:
    edits = diff_edits(before, after)
    for text, made in ((before, edits), (after, invert(before, edits))):
        for edit in made:
            for place in (edit.start, edit.end):
                assert text[max(place - 1, 0) : place + 1] != "\r\n"


def test_edits_are_small() -> None:
    before = "".join(f"line {i}\n" for i in range(100))
    after = before.replace("line 7\n", "lane 7\n").replace("line 50\n", "").replace("9\n", "9!\n")
    edits = diff_edits(before, after)
    assert sum(edit.end - edit.start + len(edit.new_text) for edit in edits) < 40


@pytest.mark.parametrize(
    "edits",
    [
        [TextEdit(2, 1, "")],
        [TextEdit(0, 4, "")],
        [TextEdit(-1, 0, "")],
        [TextEdit(0, 2, "x"), TextEdit(1, 3, "y")],
        [TextEdit(2, 3, "x"), TextEdit(0, 1, "y")],
    ],
)
def test_edits_that_overlap_or_lie_outside_are_refused(edits: list[TextEdit]) -> None:
    with pytest.raises(EditError, match="edits must ascend"):
        apply_edits("abc", edits)


def test_two_insertions_at_one_place_keep_their_order() -> None:
    assert apply_edits("ab", [TextEdit(1, 1, "x"), TextEdit(1, 1, "y")]) == "axyb"


@given(lines, lines)
def test_merging_with_an_untouched_side_gives_the_other(base: str, changed: str) -> None:
    assert merge3(base, changed, base).text == changed
    assert merge3(base, base, changed).text == changed
    assert merge3(base, changed, changed).text == changed


@given(lines, lines, lines)
def test_a_clean_merge_is_the_same_from_either_side(base: str, ours: str, theirs: str) -> None:
    one, two = merge3(base, ours, theirs), merge3(base, theirs, ours)
    assert one.clean == two.clean
    if one.clean:
        assert one.text == two.text


@given(lines, lines, lines)
def test_a_clean_merge_has_every_line_that_only_one_side_added(
    base: str, ours: str, theirs: str
) -> None:
    marked_ours, marked_theirs = ours.replace("a", "OURS"), theirs.replace("b", "THEIRS")
    merged = merge3(base, marked_ours, marked_theirs)
    if merged.clean and base not in (marked_ours, marked_theirs):
        assert merged.text.count("OURS") >= marked_ours.count("OURS")
        assert merged.text.count("THEIRS") >= marked_theirs.count("THEIRS")


@given(lines, lines, lines)
def test_conflicts_keep_our_text_and_name_its_lines(base: str, ours: str, theirs: str) -> None:
    merged = merge3(base, ours, theirs)
    merged_lines = merged.text.splitlines(keepends=True)
    for conflict in merged.conflicts:
        at = "".join(merged_lines[conflict.line - 1 : conflict.end_line - 1])
        assert at == conflict.ours != conflict.theirs


def test_regions_apart_merge_and_neighbours_conflict() -> None:
    base = "1\n2\n3\n4\n5\n"
    assert merge3(base, "one\n2\n3\n4\n5\n", "1\n2\nthree\n4\n5\n6\n").text == (
        "one\n2\nthree\n4\n5\n6\n"
    )
    touching = merge3(base, "one\n2\n3\n4\n5\n", "1\ntwo\n3\n4\nfive\n")
    assert touching.text == "one\n2\n3\n4\nfive\n"
    assert touching.conflicts == (MergeConflict(1, 3, "one\n2\n", "1\ntwo\n"),)


def test_a_deletion_against_a_change_conflicts() -> None:
    merged = merge3("a\nb\nc\n", "a\nc\n", "a\nB\nc\n")
    assert merged.conflicts == (MergeConflict(2, 2, "", "B\n"),)
    assert merged.text == "a\nc\n"


def test_both_sides_appending_conflict_unless_they_append_the_same() -> None:
    assert not merge3("a\n", "a\nb\n", "a\nc\n").clean
    assert merge3("a\n", "a\nb\n", "a\nb\n").text == "a\nb\n"


def test_hunks_leave_equal_lines_between_them() -> None:
    rng = random.Random(5)
    for _ in range(200):
        a = [rng.choice("abcde") for _ in range(rng.randrange(30))]
        b = [rng.choice("abcde") for _ in range(rng.randrange(30))]
        found = hunks(a, b)
        rebuilt: list[str] = []
        at = 0
        for hunk in found:
            rebuilt += a[at : hunk.a_start] + b[hunk.b_start : hunk.b_end]
            at = hunk.a_end
        assert rebuilt + a[at:] == b
        for one, two in itertools.pairwise(found):
            assert one.a_end < two.a_start
            assert two.a_start - one.a_end == two.b_start - one.b_end


@pytest.mark.parametrize("kind", ["unique", "repeated", "unrelated"])
def test_large_texts_are_compared_within_the_tests_timeout(kind: str) -> None:
    rng = random.Random(7)

    def pick(number: int) -> str:
        if kind == "repeated":
            return rng.choice(["}\n", "\n", "    pass\n"])
        return f"line {number}\n" if kind == "unique" else f"{rng.random()}\n"

    before = [pick(i) for i in range(50_000)]
    after = [pick(i) if rng.random() < 0.05 else line for i, line in enumerate(before)]
    edits = diff_edits("".join(before), "".join(after))
    assert apply_edits("".join(before), edits) == "".join(after)
