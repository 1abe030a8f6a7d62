"""What an agent changed in its copy, brought into the task's draft.

While an agent is at work, people and other tasks go on. A file that changed meanwhile is merged
three-way where its old text is known and no line was changed by both; otherwise the draft is
stale, and the task is done again on the new text. What is no text is left out and told.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from orchestrator_core.errors import StaleEdit, UnreadableText
from orchestrator_core.workspace.edits import merge3
from orchestrator_core.workspace.text_file import decode, encode

if TYPE_CHECKING:
    from orchestrator_core.agents.acp_worktree import TreeChanges, WorkTree
    from orchestrator_core.workspace.documents import Document
    from orchestrator_core.workspace.draft import Draft

_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def bring_in(draft: Draft, tree: WorkTree, changes: TreeChanges) -> list[str]:
    """Make an agent's changes the draft's; answer what was left out. Blocks on the disk.

    Raises:
        StaleEdit: a file is no longer what was copied, and cannot be merged.
    """
    notes, before = list[str](), draft.documents().keys()
    if tree.has(".opencode"):
        notes.append("not kept: .opencode, by which agents are ruled")
    seen: dict[str, str | None] = {}
    for path in (*changes.written, *changes.deleted):
        try:
            found = draft.find(path)
            seen[path] = found.sha256 if found else None
            if path in changes.written:
                data, mode = tree.read(path)
                if seen[path] != tree.sha256_before(path):
                    data = _merged(tree, path, data, found)
                draft.restore(path, data, _new_mode(tree, path, mode))
            elif seen[path] != tree.sha256_before(path):
                raise StaleEdit(path)
            else:
                draft.delete(path)
        except (OSError, UnreadableText) as error:
            notes.append(f"not kept: {error}")
    for change in draft.changes():  # a file may change between the look at it and the edit
        now = change.before.sha256 if change.before else None
        if change.path in seen.keys() - before and now != seen[change.path]:
            raise StaleEdit(change.path)
    return notes


def _merged(tree: WorkTree, path: str, data: bytes, found: Document | None) -> bytes:
    """What an agent wrote together with what others wrote meanwhile.

    Raises:
        StaleEdit: there is nothing to merge, or both changed the same lines.
    """
    base = tree.remembered(path)
    if base is None or found is None:
        raise StaleEdit(path)
    outcome = merge3(decode(base, path)[0], decode(data, path)[0], found.text)
    if not outcome.clean:
        raise StaleEdit(path)
    return encode(outcome.text, bom=found.bom)


def _new_mode(tree: WorkTree, path: str, mode: int) -> int | None:
    """The permission bits that a file is to get; None where nothing is to be done about them."""
    before = tree.mode_before(path)
    if before is None:
        return mode if mode & _EXECUTABLE else None
    return mode if (mode ^ before) & _EXECUTABLE else None
