"""Where two texts agree: the line matching under edits and merges.

Lines that occur once in both texts anchor the match (patience diff); what lies between anchors
is matched again within itself, and small remainders by ``difflib``. Anchors keep it near
O(n log n) on the large, mostly unique texts where plain ``difflib`` turns quadratic.

Source of patience diff: Bram Cohen, described in "Patience Diff Advantages" (2010).
"""

from __future__ import annotations

from bisect import bisect_left
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIFFLIB_LINES = 2_000_000
"""``difflib`` is used where the product of the two lengths is below this; its worst case is
quadratic, about a second at this size."""


class Hunk(NamedTuple):
    """Lines ``a_start`` to ``a_end`` of the one became ``b_start`` to ``b_end`` of the other."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int


def split_lines(text: str) -> list[str]:
    """Pieces of the text that join to it again; each line ending stays with its line."""
    return text.splitlines(keepends=True)


def hunks(a: Sequence[str], b: Sequence[str]) -> list[Hunk]:
    """What turns ``a`` into ``b``: ascending, disjoint, with equal lines between any two."""
    found: list[Hunk] = []
    # Ranges still to be compared, the first on top: recursion would follow the text's size.
    todo = [Hunk(0, len(a), 0, len(b))]
    while todo:
        whole = todo.pop()
        part = _trim(a, b, whole)
        if part.a_start == part.a_end and part.b_start == part.b_end:
            continue
        if part.a_start == part.a_end or part.b_start == part.b_end:
            found.append(part)
            continue
        anchors = _unique_common(a, b, part)
        if anchors:
            todo += reversed(_between(part, anchors))
        else:
            found += _small_diff(a, b, part)
    return _joined(found)


def _trim(a: Sequence[str], b: Sequence[str], part: Hunk) -> Hunk:
    a_start, a_end, b_start, b_end = part
    while a_start < a_end and b_start < b_end and a[a_start] == b[b_start]:
        a_start += 1
        b_start += 1
    while a_start < a_end and b_start < b_end and a[a_end - 1] == b[b_end - 1]:
        a_end -= 1
        b_end -= 1
    return Hunk(a_start, a_end, b_start, b_end)


def _unique_common(a: Sequence[str], b: Sequence[str], part: Hunk) -> list[tuple[int, int]]:
    """The longest ascending run of pairs of lines that occur once in both ranges."""
    in_a = _unique(a, part.a_start, part.a_end)
    in_b = _unique(b, part.b_start, part.b_end)
    pairs = [(index, in_b[line]) for line, index in in_a.items() if line in in_b]
    # Patience sorting: tops[i] is the lowest end of a run of i + 1 pairs.
    tops: list[int] = []
    piles: list[int] = []
    previous: list[int] = []
    for number, (_, b_index) in enumerate(pairs):
        place = bisect_left(tops, b_index)
        previous.append(piles[place - 1] if place else -1)
        if place == len(tops):
            tops.append(b_index)
            piles.append(number)
        else:
            tops[place] = b_index
            piles[place] = number
    run: list[tuple[int, int]] = []
    number = piles[-1] if piles else -1
    while number >= 0:
        run.append(pairs[number])
        number = previous[number]
    return run[::-1]


def _unique(lines: Sequence[str], start: int, end: int) -> dict[str, int]:
    """The place of each line that occurs once in the range, in the order of the text."""
    places: dict[str, int] = {}
    repeated: set[str] = set()
    for index in range(start, end):
        line = lines[index]
        if line in places:
            repeated.add(line)
        else:
            places[line] = index
    for line in repeated:
        del places[line]
    return places


def _between(part: Hunk, anchors: Sequence[tuple[int, int]]) -> list[Hunk]:
    ranges: list[Hunk] = []
    a_at, b_at = part.a_start, part.b_start
    for a_index, b_index in anchors:
        ranges.append(Hunk(a_at, a_index, b_at, b_index))
        a_at, b_at = a_index + 1, b_index + 1
    ranges.append(Hunk(a_at, part.a_end, b_at, part.b_end))
    return ranges


def _small_diff(a: Sequence[str], b: Sequence[str], part: Hunk) -> list[Hunk]:
    a_part = a[part.a_start : part.a_end]
    b_part = b[part.b_start : part.b_end]
    if len(a_part) * len(b_part) > _DIFFLIB_LINES:
        return [part]
    matcher = SequenceMatcher(None, a_part, b_part, autojunk=False)
    return [
        Hunk(part.a_start + a1, part.a_start + a2, part.b_start + b1, part.b_start + b2)
        for tag, a1, a2, b1, b2 in matcher.get_opcodes()
        if tag != "equal"
    ]


def _joined(found: Sequence[Hunk]) -> list[Hunk]:
    """Hunks without an equal line between them become one."""
    result: list[Hunk] = []
    for hunk in found:
        last = result[-1] if result else None
        if last and last.a_end == hunk.a_start and last.b_end == hunk.b_start:
            result[-1] = Hunk(last.a_start, hunk.a_end, last.b_start, hunk.b_end)
        else:
            result.append(hunk)
    return result
