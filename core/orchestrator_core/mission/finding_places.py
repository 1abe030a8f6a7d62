"""Where in the workspace a failed check found something.

A check sees the texts that a task would have made. What it found is told of places in those; they
are carried back here, through the task's edits, to the texts that the workspace still has. A place
within what the task wrote becomes the place where it would have stood.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from orchestrator_core.errors import ContentsUnavailable, UnreadableText, WorkspaceError
from orchestrator_core.records import FoundAt
from orchestrator_core.tools.positions import LineIndex, Position
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.edits import diff_edits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator_core.records import CheckResult, Receipt
    from orchestrator_core.workspace.content_store import ContentStore
    from orchestrator_core.workspace.documents import Workspace
    from orchestrator_core.workspace.edits import Change, TextEdit

_DETAIL = re.compile(r"(?P<path>[^:\n]+):(?P<line>\d{1,9}):(?P<column>\d{1,9}):? (?P<message>.+)")
_WORD = re.compile(r"\w+|[^\r\n]+")


class Located(Struct, frozen=True):
    """A place in a text as it is now; offsets count characters."""

    text: str
    start: int
    end: int


def with_places(receipt: Receipt, changes: Sequence[Change]) -> Receipt:
    """A receipt whose failed checks tell where in the workspace they found something.

    Args:
        receipt: of these changes, none of which was made.
        changes: what the checks saw in place of the workspace's texts.
    """
    by_path = {change.new_path or change.path: change for change in changes}
    checks = tuple(
        structs.replace(check, found=tuple(_found(check, by_path)))
        if check.status == "failed"
        else check
        for check in receipt.checks
    )
    return structs.replace(receipt, checks=checks)


def located(found: FoundAt, contents: ContentStore, workspace: Workspace) -> Located | None:
    """Where in its file something is now. Blocks on the disk.

    Where the file has changed since, the text that it had then is asked of the content store.

    Returns:
        None if the file is gone, or what it held is not known any more.
    """
    try:
        now = workspace.find(found.path)
        if now is None:
            return None
        edits: Sequence[TextEdit] = ()
        text = now.text
        if found.sha256 not in ("", now.sha256):
            kept = contents.get(found.sha256)
            if kept is None:
                return None
            text, _ = text_file.decode(kept, found.path)
            edits = diff_edits(text, now.text)
    except (ContentsUnavailable, UnreadableText, WorkspaceError):
        return None
    start = _carried(_offset(text, found.line, found.column), edits)
    word = _WORD.match(now.text, start)
    return Located(now.text, start, word.end() if word else start)


def _found(check: CheckResult, changes: dict[str, Change]) -> Iterable[FoundAt]:
    for detail in check.details:
        match = _DETAIL.fullmatch(detail)
        if match is None:
            continue
        path, message = match["path"].removeprefix("./"), match["message"]
        line, column = int(match["line"]), int(match["column"])
        change = changes.get(path)
        if change is None:
            yield FoundAt(path, line, column, message)
        elif change.before is not None and change.after_text is not None:
            there = _offset(change.after_text, line, column)
            edits = diff_edits(change.before.text, change.after_text)  # smaller than the tools'
            lines = LineIndex(change.before.text, "utf-32")
            place = lines.position(_brought_back(there, edits))
            yield FoundAt(
                change.path, place.line + 1, place.character + 1, message, change.before.sha256
            )


def _offset(text: str, line: int, column: int) -> int:
    place = Position(max(line, 1) - 1, max(column, 1) - 1)
    return LineIndex(text, "utf-32").offset(place)


def _brought_back(offset: int, edits: Iterable[TextEdit]) -> int:
    """The offset in the old text of one in the new; the start of what an edit replaced."""
    shift = 0
    for edit in edits:
        start = edit.start + shift
        if offset < start:
            break
        if offset < start + len(edit.new_text):
            return edit.start
        shift += len(edit.new_text) - (edit.end - edit.start)
    return max(0, offset - shift)


def _carried(offset: int, edits: Iterable[TextEdit]) -> int:
    """The offset in the new text of one in the old; the start of what took its place."""
    shift = 0
    for edit in edits:
        if offset < edit.start:
            break
        if offset < edit.end:
            return edit.start + shift
        shift += len(edit.new_text) - (edit.end - edit.start)
    return offset + shift
