"""Taking a mission's edits back: what to change so that the files are as they were.

The mission's changes are undone one by one, the last first, on a draft of the workspace as it is
now. A file that still is what a change made of it becomes, byte for byte, what it was before. One
that others have changed since is merged: their lines stay, the mission's go, and where both
touched the same lines theirs stay and the place is named.

An intent without an applied event (the process died in between) needs no special knowledge: a
file that holds the new content is taken back, one that holds the old is right already, and for
one that holds something else the merge tells the two apart.

Pure planning: applying the plan is the Applier's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.errors import EditError, WorkspaceError
from orchestrator_core.events import HunksSettled
from orchestrator_core.mission.hunks import change_name, follow, names, steps_of
from orchestrator_core.mission.standing import StandingEdits, standing_edits
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.diff import split_lines
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.edits import Change, merge3
from orchestrator_core.workspace.hunks import taken_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.file_hunks import FileHunks
    from orchestrator_core.records import FileChange
    from orchestrator_core.workspace.content_store import ContentStore
    from orchestrator_core.workspace.documents import Document, Workspace


class UndoPlan(Struct, frozen=True):
    """What an undo would do.

    Attributes:
        changes: for an Applier; empty where every file is as it was already.
        unrestored: what stays as it is, each as ``path: why``.
    """

    changes: tuple[Change, ...] = ()
    unrestored: tuple[str, ...] = ()


def plan_undo(
    events: Iterable[AnyEvent],
    content_store: ContentStore,
    workspace: Workspace,
    *,
    task_id: str = "",
) -> UndoPlan:
    """Plan to take back what a mission changed, or what one task of it did.

    Reads the files concerned and their old contents: it blocks on the disk.

    Args:
        events: of one mission, in order.
        content_store: has the contents that the changes name by hash.
        workspace: as it is now, unsaved text included.
        task_id: only this task's changes; other tasks' later changes are merged around.

    Raises:
        ContentsUnavailable: the content store cannot be read.
    """
    events = list(events)
    undo = _Undo(content_store, Draft(workspace), _reviewed(events, content_store, task_id))
    for edits in reversed(standing_edits(events)):
        if task_id in ("", edits.task_id):
            for number in reversed(range(len(edits.changes))):
                undo.take_back(edits, number)
    return UndoPlan(undo.draft.changes(), tuple(undo.unrestored))


def _reviewed(
    events: list[AnyEvent], contents: ContentStore, task_id: str
) -> dict[str, FileHunks | None]:
    """The files of which a person has rejected something, by the changes that made them.

    What is left of the mission's changes there is no longer what any two texts differ in. None
    stands for a file of which nothing is left.
    """
    steps = steps_of(events)
    paths = {
        settled.path
        for step in steps
        if isinstance(step, HunksSettled) and not step.accepted
        for settled in step.files
    }
    if not paths:
        return {}
    wanted = frozenset[str]().union(*(names(steps, path) for path in paths))
    followed = follow(steps, contents.get_all, paths=wanted, task_id=task_id, with_accepted=True)
    found: dict[str, FileHunks | None] = {
        change_name(step, number): None
        for step in steps
        if isinstance(step, StandingEdits)
        for number, change in enumerate(step.changes)
        if change.path in wanted
    }
    found.update((made, file) for file in followed for made in file.made)
    return found


class _Undo:
    """Takes changes back on a draft, and notes what cannot be.

    Args:
        contents: has the texts from before.
        draft: what they are taken back on.
        reviewed: the files whose hunks are taken back one by one, by the names of changes.
    """

    def __init__(
        self, contents: ContentStore, draft: Draft, reviewed: Mapping[str, FileHunks | None]
    ) -> None:
        self.draft = draft
        self.unrestored: list[str] = []
        self._contents = contents
        self._reviewed = reviewed

    def take_back(self, edits: StandingEdits, number: int) -> None:
        """Bring a file to what it was before a change, as far as others left it alone."""
        change = edits.changes[number]
        if edits.superseded and not self._holds(change):
            return  # rolled back at the time, and others have gone on from there
        name = change_name(edits, number)
        file = self._reviewed.get(name)
        if file is None and name in self._reviewed:
            return
        try:
            match change.kind:
                case "modify":
                    self._restore_text(change, file)
                case "create":
                    if file is None or file.made[0] == name:
                        self._remove_created(change)
                    else:  # it had been there, and the mission had deleted it
                        self._restore_text(change, file)
                case "delete":
                    self._restore_deleted(change, edits, file)
                case "rename":
                    self._rename_back(change, file)
        except (WorkspaceError, EditError) as error:
            self._leave(change.path, str(error).removeprefix(f"{change.path} "))

    def _holds(self, change: FileChange) -> bool:
        """Whether the file is exactly what the change was to make of it."""
        try:
            current = self.draft.find(change.new_path or change.path)
        except WorkspaceError:
            return False
        return (current.sha256 if current else "") == change.after

    def _restore_text(self, change: FileChange, file: FileHunks | None) -> None:
        """Give a file, which is where it was before the change, the text that it had there.

        One whose renaming a person rejected is where it was before the mission.
        """
        path = file.path if file is not None and file.kind == "change" else change.path
        current = self.draft.find(path)
        if current is None:
            self._leave(path, "was deleted since")
        elif file is not None:
            self._take_back_hunks(file, change, current)
        elif current.sha256 == change.after:
            before = self._content(change.before, path)
            if before is not None:
                ours = change.new_mode is not None and current.mode == change.new_mode
                self.draft.restore(path, before, change.mode if ours else None)
        elif current.sha256 != change.before:
            self._merge_back(change, path, current)

    def _take_back_hunks(self, file: FileHunks, change: FileChange, current: Document) -> None:
        """Take back what a person has left of the mission's changes; at once for all of a file."""
        path, now = current.path, file.now(current)
        if now is not None and now.hunks:
            edits = taken_back(split_lines(current.text), now.hunks)
            self.draft.edit(path, edits, sha256=current.sha256)
            if file.bom is not None:
                text = self.draft.read(path).text
                self.draft.restore(path, text_file.encode(text, bom=file.bom))
        file.hunks = ()
        if change.new_mode is not None and current.mode == change.new_mode:
            self.draft.restore(path, self.draft.read(path).encode(), change.mode)
        for start, end in now.lost if now is not None else ():
            self._leave(path, f"{_lines(start + 1, end)} changed since")
        if file.lost:
            self._leave(path, "lines that the mission had changed were changed since")

    def _merge_back(self, change: FileChange, path: str, current: Document) -> None:
        before = self._content(change.before, path)
        after = self._content(change.after, path)
        if before is None or after is None:
            return
        merged = merge3(base=_text(after, path), ours=current.text, theirs=_text(before, path))
        if merged.text != current.text:
            self.draft.write(path, merged.text)
        for conflict in merged.conflicts:
            lines = _lines(conflict.line, conflict.end_line - 1)
            self._leave(path, f"{lines} changed since")

    def _remove_created(self, change: FileChange) -> None:
        current = self.draft.find(change.path)
        if current is None:
            return
        if current.sha256 == change.after:
            self.draft.delete(change.path)
        else:
            self._leave(change.path, "was created by the mission and changed since")

    def _restore_deleted(
        self, change: FileChange, edits: StandingEdits, file: FileHunks | None
    ) -> None:
        current = self.draft.find(change.path)
        if current is not None:
            if file is not None and not file.deleted:
                return  # a person wanted it back
            if edits.applied and current.sha256 != change.before:
                self._leave(change.path, "was created anew since")
            return
        before = self._content(change.before, change.path)
        if before is not None:
            self.draft.restore(change.path, before, change.mode)
            if file is not None:
                file.deleted = False

    def _rename_back(self, change: FileChange, file: FileHunks | None) -> None:
        if file is not None and file.kind == "change":
            self._restore_text(change, file)
            return
        old, new = self.draft.find(change.path), self.draft.find(change.new_path)
        if new is None:
            if old is None:
                self._leave(change.path, f"{change.new_path} was deleted since")
            elif old.sha256 != change.before:
                self._restore_text(change, file)
        elif old is None:
            self.draft.rename(change.new_path, change.path)
            self._restore_text(change, file)
        elif old.sha256 == change.before:
            # Killed between the two halves of the rename: the copy is what is too much.
            if new.sha256 == change.after:
                self.draft.delete(change.new_path)
        else:
            self._leave(change.path, "another file is in its place now")

    def _content(self, sha256: str, path: str) -> bytes | None:
        content = self._contents.get(sha256)
        if content is None:
            self._leave(path, "its old text is not kept any more")
        return content

    def _leave(self, path: str, why: str) -> None:
        note = f"{path}: {why}"
        if note not in self.unrestored:
            self.unrestored.append(note)


def _lines(first: int, last: int) -> str:
    return f"line {first}" if last <= first else f"lines {first} to {last}"


def _text(content: bytes, path: str) -> str:
    return text_file.decode(content, path)[0]
