"""Carrying changes over to what the files hold now."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.errors import StaleEdit
from orchestrator_core.workspace.edits import diff_edits, merge3

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.workspace.documents import Workspace
    from orchestrator_core.workspace.edits import Change, MergeConflict

_NAMED = 3
_SHOWN = 80


def rebase(changes: Iterable[Change], workspace: Workspace) -> tuple[Change, ...]:
    """The changes, computed anew from the files as they are now; those made already are left out.

    A file that others changed meanwhile is merged by lines. What comes out has not been reviewed
    where a ``before`` differs from the one that went in.

    Blocks on the disk.

    Raises:
        StaleEdit: both sides changed the same lines, or the file came, went or moved meanwhile.
        WorkspaceError: a file cannot be read any more.
    """
    rebased = [_rebased(change, workspace) for change in changes]
    return tuple(change for change in rebased if not _is_made(change))


def _is_made(change: Change) -> bool:
    """Whether someone else has made the very change."""
    before = change.before
    same_text = before is not None and before.text == change.after_text
    return change.kind == "modify" and same_text and change.mode is None


def _both_texts(conflict: MergeConflict) -> str:
    ours, theirs = (shorten(text, _SHOWN) for text in (conflict.ours, conflict.theirs))
    return f"line {conflict.line} is {ours!r} now, and would become {theirs!r}"


def _rebased(change: Change, workspace: Workspace) -> Change:
    path, before = change.path, change.before
    current = workspace.find(path)
    if change.new_path and workspace.find(change.new_path) is not None:
        raise StaleEdit(path, f"{change.new_path} was created by someone else")
    if before is None:
        if current is not None:
            raise StaleEdit(path, f"{path} was created by someone else")
        return change
    if current is None:
        raise StaleEdit(path, f"{path} was deleted while an edit to it was being made")
    if current.sha256 == before.sha256:
        return msgspec.structs.replace(change, before=current)  # the version may be another
    if change.after_text is None:
        raise StaleEdit(path, f"{path} was changed by someone else and is not deleted")
    merged = merge3(base=before.text, ours=current.text, theirs=change.after_text)
    if not merged.clean:
        places = "; ".join(map(_both_texts, merged.conflicts[:_NAMED]))
        raise StaleEdit(path, f"{path} was changed by someone else in the same place: {places}")
    return msgspec.structs.replace(
        change,
        before=current,
        after_text=merged.text,
        edits=diff_edits(current.text, merged.text),
        bom=current.bom,
    )
