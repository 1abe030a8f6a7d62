"""Two texts of a person that nobody has seen together, made one without losing a line.

That happens when a program saves the plan file twice while this program writes it in between, so
that the second text may not have what the first one added.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARKER = re.compile(r"\[[ xX/!-]\]")


def union(base: str, first: str, second: str) -> str:
    """The second text with what the first one added to the base or reworded in it.

    Lines that differ in their marker alone count as the same, and then the second's is taken.
    What the second has removed and the first has not touched stays removed. Pure.
    """
    old, one, two = (text.splitlines(keepends=True) for text in (base, first, second))
    keys = [[_key(line) for line in lines] for lines in (old, one, two)]
    there = _places(keys[0], keys[2])
    theirs = {  # what the second has in the place of each range of the base that it changed
        start: keys[2][new_start:new_end]
        for kind, start, _, new_start, new_end in _opcodes(keys[0], keys[2])
        if kind != "equal"
    }
    inserted: dict[int, list[str]] = {}
    dropped: set[int] = set()
    for kind, start, end, new_start, new_end in _opcodes(keys[0], keys[1]):
        fresh = keys[1][new_start:new_end]
        if kind in {"equal", "delete"} or _within(fresh, theirs.get(start, [])):
            continue
        dropped |= {there[at] for at in range(start, end) if at in there}
        place = next((there[at] for at in range(start, len(old)) if at in there), len(two))
        inserted.setdefault(place, []).extend(one[new_start:new_end])
    parts: list[str] = []
    for number, line in enumerate([*two, ""]):
        for new in inserted.get(number, ()):
            if parts and not parts[-1].endswith("\n"):
                parts.append("\n")
            parts.append(new)
        if number not in dropped:
            if line and parts and not parts[-1].endswith("\n"):
                parts.append("\n")
            parts.append(line)
    return "".join(parts)


def _within(part: list[str], whole: list[str]) -> bool:
    """Whether the lines occur there one after the other."""
    size = len(part)
    return any(whole[at : at + size] == part for at in range(len(whole) - size + 1))


def _places(old: list[str], new: list[str]) -> dict[int, int]:
    """Where unchanged lines of the old text are in the new one."""
    return {
        start + step: new_start + step
        for kind, start, end, new_start, _ in _opcodes(old, new)
        if kind == "equal"
        for step in range(end - start)
    }


def _opcodes(old: list[str], new: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    return difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()


def _key(line: str) -> str:
    return _MARKER.sub("[]", line.rstrip())
