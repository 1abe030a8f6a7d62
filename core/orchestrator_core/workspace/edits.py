"""Edits to texts: making them, undoing them, finding them, merging them.

Offsets count characters (code points) of the decoded text, a byte-order mark not included.

Functions only: safe from any thread.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from orchestrator_core.errors import EditError
from orchestrator_core.records import FileChange
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.diff import hunks, split_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orchestrator_core.workspace.diff import Hunk
    from orchestrator_core.workspace.documents import Document


class TextEdit(Struct, frozen=True, rename="camel"):
    """Characters ``start`` to ``end`` (exclusive) of the old text become ``new_text``."""

    start: int
    end: int
    new_text: str


class Change(Struct, frozen=True):
    """What is to become of one file.

    Attributes:
        path: relative to the workspace.
        kind: ``rename`` moves the file to ``new_path`` and may change its text as well.
        before: the file that the change was computed from; None for ``create``.
        after_text: the whole text afterwards; None for ``delete``.
        edits: what turns the text of ``before`` into ``after_text``; empty where either is None.
        new_path: where a renamed file goes.
        bom: whether a byte-order mark stands before ``after_text``.
        mode: permission bits to set; None leaves those of the file, or those of any new one.
        made_folders: how many of the folders above a new place did not exist.
    """

    path: str
    kind: Literal["modify", "create", "delete", "rename"]
    before: Document | None = None
    after_text: str | None = None
    edits: tuple[TextEdit, ...] = ()
    new_path: str = ""
    bom: bool = False
    mode: int | None = None
    made_folders: int = 0

    def encode(self) -> bytes | None:
        """The bytes of the file afterwards; None for ``delete``.

        Raises:
            UnicodeEncodeError: half of a surrogate pair stands alone in the text.
        """
        return None if self.after_text is None else text_file.encode(self.after_text, bom=self.bom)

    def record(self) -> FileChange:
        """The change as the journal keeps it."""
        after = self.encode()
        return FileChange(
            path=self.path,
            kind=self.kind,
            before=self.before.sha256 if self.before else "",
            after=text_file.sha256(after) if after is not None else "",
            new_path=self.new_path,
            mode=self.before.mode if self.before else None,
            new_mode=self.mode,
            made_folders=self.made_folders,
        )


class MergeConflict(Struct, frozen=True):
    """A region where both sides changed the base differently.

    Attributes:
        line: first line of the region in the merged text, from 1.
        end_line: the line after its last; equal to ``line`` where nothing is left of it.
        ours: what our side made of it; the merged text has this.
        theirs: what their side made of it.
    """

    line: int
    end_line: int
    ours: str
    theirs: str


class MergeOutcome(Struct, frozen=True):
    """A three-way merge. Where the sides conflict, ``text`` has ours."""

    text: str
    conflicts: tuple[MergeConflict, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether everything that both sides changed is in ``text``."""
        return not self.conflicts


def apply_edits(text: str, edits: Iterable[TextEdit]) -> str:
    """``text`` with ``edits`` made.

    Raises:
        EditError: the edits are not ascending, overlap, or lie outside of the text.
    """
    parts: list[str] = []
    position = 0
    for edit in edits:
        if not position <= edit.start <= edit.end <= len(text):
            raise EditError(
                f"an edit of characters {edit.start} to {edit.end} does not fit after "
                f"{position} in a text of {len(text)}: edits must ascend without overlap"
            )
        parts += (text[position : edit.start], edit.new_text)
        position = edit.end
    parts.append(text[position:])
    return "".join(parts)


def invert(text: str, edits: Iterable[TextEdit]) -> tuple[TextEdit, ...]:
    """The edits that bring ``text`` back after ``edits`` were made to it."""
    inverse: list[TextEdit] = []
    shift = 0
    for edit in edits:
        start = edit.start + shift
        end = start + len(edit.new_text)
        inverse.append(TextEdit(start, end, text[edit.start : edit.end]))
        shift += len(edit.new_text) - (edit.end - edit.start)
    return tuple(inverse)


def diff_edits(before: str, after: str) -> tuple[TextEdit, ...]:
    """Small edits that turn ``before`` into ``after``, by lines and then by characters.

    No edit begins or ends inside a CR LF: editors cannot express such a place.
    """
    if before == after:
        return ()
    old, new = split_lines(before), split_lines(after)
    old_at, new_at = _offsets(old), _offsets(new)
    edits: list[TextEdit] = []
    for hunk in hunks(old, new):
        if hunk.a_end - hunk.a_start == hunk.b_end - hunk.b_start:
            # As many lines as before: most likely each became the one in its place.
            pairs = zip(
                range(hunk.a_start, hunk.a_end), range(hunk.b_start, hunk.b_end), strict=True
            )
            for a, b in pairs:
                edits += _refined(old_at[a], old[a], new[b])
        else:
            start = old_at[hunk.a_start]
            edits += _refined(
                start,
                before[start : old_at[hunk.a_end]],
                after[new_at[hunk.b_start] : new_at[hunk.b_end]],
            )
    return tuple(edits)


def as_small_edits(text: str, edits: Iterable[TextEdit]) -> tuple[TextEdit, ...] | None:
    """The edits, if :func:`diff_edits` would find none that are much smaller; None otherwise.

    That is where each stays within a line. Comparing whole texts instead costs a thread some ten
    milliseconds for each thousand lines that change.
    """
    small: list[TextEdit] = []
    for edit in edits:
        start, end, new_text = edit.start, edit.end, edit.new_text
        if (
            "\n" in new_text
            or "\r" in new_text
            or text.find("\n", start, end) >= 0
            or text.find("\r", start, end) >= 0
            or _splits_newline(text, start)
        ):
            return None
        if text[start:end] != new_text:
            small.append(TextEdit(start, end, new_text))
    return tuple(small)


def merge3(base: str, ours: str, theirs: str) -> MergeOutcome:
    """Bring together what two sides made of one text, by lines.

    Clean when no region that one side changed touches one that the other changed, or both
    changed it the same way. Two changes of neighbouring lines touch.
    """
    if ours in (base, theirs):
        return MergeOutcome(theirs)
    if base == theirs:
        return MergeOutcome(ours)
    lines = split_lines(base)
    our_lines, their_lines = split_lines(ours), split_lines(theirs)
    changes = [(hunk, True) for hunk in hunks(lines, our_lines)]
    changes += [(hunk, False) for hunk in hunks(lines, their_lines)]
    changes.sort(key=lambda change: (change[0].a_start, change[0].a_end))
    merged: list[str] = []
    conflicts: list[MergeConflict] = []
    position = our_shift = their_shift = 0
    for group in _touching(changes):
        start = group[0][0].a_start
        end = max(hunk.a_end for hunk, _ in group)
        our_growth = sum(_growth(hunk) for hunk, is_ours in group if is_ours)
        their_growth = sum(_growth(hunk) for hunk, is_ours in group if not is_ours)
        our_part = our_lines[start + our_shift : end + our_shift + our_growth]
        their_part = their_lines[start + their_shift : end + their_shift + their_growth]
        merged += lines[position:start]
        if all(not is_ours for _, is_ours in group):
            merged += their_part
        else:
            if any(not is_ours for _, is_ours in group) and our_part != their_part:
                line = len(merged) + 1
                our_text, their_text = "".join(our_part), "".join(their_part)
                conflicts.append(MergeConflict(line, line + len(our_part), our_text, their_text))
            merged += our_part
        position, our_shift, their_shift = end, our_shift + our_growth, their_shift + their_growth
    merged += lines[position:]
    return MergeOutcome("".join(merged), tuple(conflicts))


def _touching(changes: Sequence[tuple[Hunk, bool]]) -> Iterator[list[tuple[Hunk, bool]]]:
    """Groups of changes of which each touches one before it."""
    group: list[tuple[Hunk, bool]] = []
    end = -1
    for change in changes:
        if group and change[0].a_start > end:
            yield group
            group = []
        group.append(change)
        end = max(end, change[0].a_end)
    if group:
        yield group


def _growth(hunk: Hunk) -> int:
    return (hunk.b_end - hunk.b_start) - (hunk.a_end - hunk.a_start)


def _offsets(lines: Sequence[str]) -> list[int]:
    """Where each line begins, and where the text ends."""
    return [0, *accumulate(map(len, lines))]


def _refined(at: int, old: str, new: str) -> tuple[TextEdit, ...]:
    """The one edit that turns ``old``, which begins at ``at``, into ``new``; none if equal."""
    if old == new:
        return ()
    start = _common_prefix(old, new)
    if _splits_newline(old, start) or _splits_newline(new, start):
        start -= 1
    tail = _common_prefix(old[start:][::-1], new[start:][::-1])
    if _splits_newline(old, len(old) - tail) or _splits_newline(new, len(new) - tail):
        tail -= 1
    return (TextEdit(at + start, at + len(old) - tail, new[start : len(new) - tail]),)


def _common_prefix(a: str, b: str) -> int:
    """How many characters both begin with; by halving, so that slices compare in C."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _splits_newline(text: str, at: int) -> bool:
    return 0 < at < len(text) and text[at - 1] == "\r" and text[at] == "\n"
