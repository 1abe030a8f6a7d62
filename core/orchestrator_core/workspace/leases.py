"""Who is about to change which region: clashes are found before work starts.

A lease covers files (a path, or a glob) and, within them, lines. Two leases clash when some file
could match both and their lines meet. Globs are compared with each other, without looking at the
disk, so files that do not exist yet count as well; where two globs cannot be told apart for
certain, they clash.
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MAX_ALTERNATIVES = 64


class Region(Struct, frozen=True):
    """What a task is going to change.

    Attributes:
        pattern: a path or glob relative to the workspace. One without a wildcard names a file, or
            a folder and all below it; a glob without a slash matches in every folder.
        first_line: from 1; 0 means from the beginning.
        last_line: inclusive; None means to the end.
    """

    pattern: str
    first_line: int = 0
    last_line: int | None = None

    def overlaps(self, other: Region) -> bool:
        """Whether both could mean the same line of the same file."""
        for one, two in ((self, other), (other, self)):
            if one.last_line is not None and one.last_line < two.first_line:
                return False
        return globs_overlap(self.pattern, other.pattern)


class LeaseTable:
    """The leases of one workspace. Safe from any thread; nothing here waits.

    A task that is refused asks again when one of those in its way has released.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[Region, ...]] = {}

    def acquire(self, owner: str, regions: Iterable[Region]) -> tuple[str, ...]:
        """Take all regions, or none.

        Args:
            owner: a task's id. What it holds already is not in its own way, and is given up for
                the new regions.
            regions: what it is going to change.

        Returns:
            The owners that are in the way, the oldest first; empty when the lease is taken.
        """
        wanted = tuple(regions)
        with self._lock:
            in_the_way = tuple(
                holder
                for holder, held in self._held.items()
                if holder != owner and any(a.overlaps(b) for a in wanted for b in held)
            )
            if not in_the_way:
                self._held[owner] = wanted
            return in_the_way

    def release(self, owner: str) -> None:
        """Give up what ``owner`` holds, if anything."""
        with self._lock:
            self._held.pop(owner, None)


def globs_overlap(a: str, b: str) -> bool:
    """Whether a path can exist that both globs match.

    ``*``, ``?``, ``**`` and ``{a,b}`` are exact; ``[…]`` counts as any one character.
    """
    return any(_meet(one, two, "**") for one, two in product(_alternatives(a), _alternatives(b)))


def _alternatives(glob: str) -> list[tuple[str, ...]]:
    """The segments of each path pattern that a glob stands for."""
    spelled = _without_braces(glob.removeprefix("./").rstrip("/"))
    patterns: list[tuple[str, ...]] = []
    for pattern in spelled:
        plain = re.sub(r"\[!?\]?[^\]/]*\]", "?", pattern)
        segments = tuple(part for part in plain.split("/") if part not in ("", "."))
        if not segments:
            return [("**",)]
        if not re.search(r"[*?]", plain):
            patterns += [segments, (*segments, "**")]
        elif len(segments) == 1:
            patterns.append(("**", *segments))
        else:
            patterns.append(segments)
    return patterns


def _without_braces(glob: str) -> list[str]:
    found = [glob]
    while any("{" in pattern for pattern in found):
        spelled: list[str] = []
        for pattern in found:
            match = re.search(r"\{([^{}]*)\}", pattern)
            if match is None:
                spelled.append(pattern.replace("{", "?"))
                continue
            head, tail = pattern[: match.start()], pattern[match.end() :]
            spelled += [f"{head}{choice}{tail}" for choice in match[1].split(",")]
        if len(spelled) > _MAX_ALTERNATIVES:
            return ["**"]
        found = spelled
    return found


@lru_cache(maxsize=4096)  # without it, patterns with many stars would take exponential time
def _meet(a: Sequence[str], b: Sequence[str], any_run: str) -> bool:
    """Whether both patterns match a common sequence; ``any_run`` stands for any number of items."""
    if not a and not b:
        return True
    for one, two in ((a, b), (b, a)):
        if one and one[0] == any_run:
            return _meet(one[1:], two, any_run) or (bool(two) and _meet(one, two[1:], any_run))
    if not a or not b:
        return False
    if any_run == "**":
        return _meet(a[0], b[0], "*") and _meet(a[1:], b[1:], any_run)
    return (a[0] == b[0] or "?" in (a[0], b[0])) and _meet(a[1:], b[1:], any_run)
