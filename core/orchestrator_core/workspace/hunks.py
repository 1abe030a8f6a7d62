"""What somebody changed in a text, hunk by hunk, followed through later changes by others.

A hunk is known by the lines that it has now and those that stood there before. Changes of the
same author are joined to it where they touch; changes of others move it, and where they change a
line of it there is no telling any more what taking it back would mean: it is theirs then.

Unlike a three-way merge of whole texts, which calls changes of neighbouring lines a conflict,
others may work right above and below a hunk: its place is known from the text that it was made
in, so that taking it back touches no line but its own.

Functions only: safe from any thread.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from orchestrator_core.workspace import diff
from orchestrator_core.workspace.edits import TextEdit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence


class Hunk(Struct, frozen=True):
    """Lines ``start`` to ``end`` (from 0, exclusive) of a text, which were ``before``.

    Attributes:
        id: the same for as long as the hunk is followed.
        before: whole lines, as ``diff.split_lines`` has them; empty where lines were added.
        tasks: who changed them, the first first.
    """

    id: str
    start: int
    end: int
    before: tuple[str, ...]
    tasks: tuple[str, ...] = ()


class Moved(NamedTuple):
    """Hunks after a change by others: those that still stand, and those that do not.

    ``lost`` has the lines that stand in place of each now.
    """

    hunks: tuple[Hunk, ...]
    lost: tuple[tuple[int, int], ...] = ()


def grown(
    hunks: Sequence[Hunk],
    before: Sequence[str],
    after: Sequence[str],
    task: str,
    new_id: Callable[[int], str],
) -> tuple[Hunk, ...]:
    """The hunks of an author who turned ``before`` into ``after``.

    Args:
        hunks: those in ``before``, in the order of the text.
        before: lines.
        after: lines.
        task: whose change it is.
        new_id: names the hunks of this change, by their number.
    """
    found: list[Hunk] = []
    changes = diff.hunks(before, after)
    growth = done = place = 0
    while place < len(hunks) or done < len(changes):
        first, first_change = place, done
        if place == len(hunks) or (
            done < len(changes) and changes[done].a_start < hunks[place].start
        ):
            start, end = changes[done].a_start, changes[done].a_end
            done += 1
        else:
            start, end = hunks[place].start, hunks[place].end
            place += 1
        while True:  # whatever touches what is gathered joins it
            if place < len(hunks) and done > first_change and hunks[place].start <= end:
                end = max(end, hunks[place].end)
                place += 1
            elif done < len(changes) and changes[done].a_start <= end:
                end = max(end, changes[done].a_end)
                done += 1
            else:
                break
        joined, own = hunks[first:place], changes[first_change:done]
        more = sum(_growth(change) for change in own)
        now_start, now_end = start + growth, end + growth + more
        growth += more
        if not own:
            found += (_shifted(hunk, growth) for hunk in joined)
            continue
        lines = _restored(before, joined, start, end)
        if lines != list(after[now_start:now_end]):
            tasks = tuple(dict.fromkeys([*(t for hunk in joined for t in hunk.tasks), task]))
            found.append(Hunk(new_id(first_change), now_start, now_end, tuple(lines), tasks))
    return tuple(found)


def moved(hunks: Sequence[Hunk], before: Sequence[str], after: Sequence[str]) -> Moved:
    """The hunks of ``before`` after others turned it into ``after``."""
    if not hunks:
        return Moved(())
    stand: list[Hunk] = []
    lost: list[tuple[int, int]] = []
    changes = diff.hunks(before, after)
    growth = done = 0
    for hunk in hunks:
        while done < len(changes) and changes[done].a_end <= hunk.start:
            if _meet(hunk, changes[done]):
                break
            growth += _growth(changes[done])
            done += 1
        here = _shifted(hunk, growth)
        last = done
        while last < len(changes) and _meet(hunk, changes[last]):
            last += 1
        if last > done:
            start = min(here.start, changes[done].b_start)
            end = changes[last - 1].b_end + max(0, hunk.end - changes[last - 1].a_end)
            if tuple(after[start:end]) != hunk.before:  # else it was taken back by hand
                lost.append((start, end))
        elif _fits(here, after):
            stand.append(here)
        else:
            lost.append((here.start, here.end))
    return Moved(tuple(stand), tuple(lost))


def taken_back(lines: Sequence[str], hunks: Iterable[Hunk]) -> tuple[TextEdit, ...]:
    """The edits that take hunks of a text back."""
    offsets = [0, *accumulate(map(len, lines))]
    return tuple(
        TextEdit(offsets[hunk.start], offsets[hunk.end], "".join(hunk.before)) for hunk in hunks
    )


def left_after(hunks: Iterable[Hunk], rejected: Collection[Hunk]) -> tuple[Hunk, ...]:
    """Where the other hunks of a text stand once some were taken back."""
    left: list[Hunk] = []
    growth = 0
    for hunk in hunks:
        if hunk in rejected:
            growth += len(hunk.before) - (hunk.end - hunk.start)
        else:
            left.append(_shifted(hunk, growth))
    return tuple(left)


def _meet(hunk: Hunk, change: diff.Hunk) -> bool:
    """Whether a change is to the hunk's own lines, and not only beside them."""
    if hunk.start == hunk.end == change.a_start == change.a_end:
        return True  # lines added just where some were taken out: in which order?
    return hunk.start < change.a_end and change.a_start < hunk.end


def _fits(hunk: Hunk, lines: Sequence[str]) -> bool:
    """Whether taking it back would not glue two lines together: some files lack a last line end."""
    if not hunk.before:
        return True
    below = hunk.end == len(lines) or _ended(hunk.before[-1])
    return below and (hunk.start == 0 or _ended(lines[hunk.start - 1]))


def _ended(line: str) -> bool:
    return len((line + "x").splitlines()) > 1


def _restored(lines: Sequence[str], hunks: Iterable[Hunk], start: int, end: int) -> list[str]:
    """Lines ``start`` to ``end`` with the hunks in them taken back."""
    restored: list[str] = []
    for hunk in hunks:
        restored += (*lines[start : hunk.start], *hunk.before)
        start = hunk.end
    return [*restored, *lines[start:end]]


def _growth(change: diff.Hunk) -> int:
    return (change.b_end - change.b_start) - (change.a_end - change.a_start)


def _shifted(hunk: Hunk, by: int) -> Hunk:
    return Hunk(hunk.id, hunk.start + by, hunk.end + by, hunk.before, hunk.tasks) if by else hunk
