"""Where a task changed something first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.errors import EditError, WorkspaceError
from orchestrator_core.mission.standing import standing_edits
from orchestrator_core.workspace import text_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.workspace.content_store import ContentStore
    from orchestrator_core.workspace.documents import Workspace


class Place(Struct, frozen=True):
    """A line, from 1, of a file of the workspace."""

    path: str
    line: int


def first_change(
    events: Iterable[AnyEvent], task_id: str, contents: ContentStore, workspace: Workspace
) -> Place | None:
    """The first line that a task's standing edits changed, as the file is now. Blocks on the disk.

    Args:
        events: of one mission, in order.
        task_id: whose edits.
        contents: has the texts from before.
        workspace: as it is now.

    Returns:
        None if none of the files that it changed is there.

    Raises:
        ContentsUnavailable: the content store cannot be read.
    """
    for edits in standing_edits(events):
        for change in edits.changes if edits.task_id == task_id else ():
            path = change.new_path or change.path
            try:
                now = workspace.find(path)
                before = contents.get(change.before) if change.before else b""
                if now is not None:
                    text = "" if before is None else text_file.decode(before, path)[0]
                    return Place(path, _first_difference(text, now.text))
            except (WorkspaceError, EditError):
                continue
    return None


def _first_difference(before: str, after: str) -> int:
    line = 0
    for old, new in zip(before.split("\n"), after.split("\n"), strict=False):
        line += 1
        if old != new:
            return line
    return max(1, line)
