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
from orchestrator_core.primitives.text_lines import TextLines
from orchestrator_core.records import FoundAt
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.edits import diff_edits, invert

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
            before, after = change.before.text, change.after_text
            edits = diff_edits(before, after)  # smaller than the tools'
            place = _carried(_offset(after, line, column), invert(before, edits))
            row, column = TextLines(before).line_and_column(place)
            yield FoundAt(change.path, row + 1, column + 1, message, change.before.sha256)


def _offset(text: str, line: int, column: int) -> int:
    return TextLines(text, "utf-32").offset_of(line - 1, column - 1)


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
