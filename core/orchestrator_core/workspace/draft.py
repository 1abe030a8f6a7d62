"""A task's private view of the workspace: changes pile up here until the Reviewer passes them.

Nothing of a draft reaches the disk or the editor; an ``Applier`` does that with its
``changes()``. Several steps of one task compose: each reads what the one before wrote.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

import msgspec

from orchestrator_core.errors import EditRefused, MissingFile, StaleEdit
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.draft_entry import Entry
from orchestrator_core.workspace.edits import Change, apply_edits, as_small_edits, diff_edits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator_core.workspace.documents import Document, Workspace
    from orchestrator_core.workspace.edits import TextEdit


class Draft:
    """Changes to a workspace, in memory.

    Safe from any thread; steps of one task may change different files in parallel. Reads of
    files that the draft has not changed go through to the workspace; that such a file did not
    change between a read and an edit is checked by hash.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._seen: dict[str, str] = {}

    def copy(self) -> Draft:
        """A draft that starts from what this one has; the two are independent from then on."""
        twin = Draft(self.workspace)
        with self._lock:
            twin._entries = dict(self._entries)
            twin._seen = dict(self._seen)
        return twin

    def read(self, path: str) -> Document:
        """The document as the task sees it.

        ``sha256`` is the hash of this very text; ``version`` is the one the editor had when the
        task first changed the file.

        Raises:
            MissingFile: there is none, or the task deleted it.
            UnreadableText: it is not UTF-8 text.
            WorkspaceError: the path leads out of the workspace.
        """
        name = self.workspace.relative(path)
        with self._lock:
            entry = self._entries.get(name)
        if entry is not None:
            if entry.document is None:
                raise MissingFile(name)
            return entry.document
        document = self.workspace.read(name)
        with self._lock:
            self._seen.setdefault(name, document.sha256)
        return document

    def find(self, path: str) -> Document | None:
        """Like ``read``, with None for a file that is not there."""
        try:
            return self.read(path)
        except MissingFile:
            return None

    def edit(self, path: str, edits: Iterable[TextEdit], *, sha256: str | None = None) -> None:
        """Make edits to a file.

        Args:
            path: the file.
            edits: ascending, not overlapping, in characters of the text that ``read`` answers.
            sha256: hash of the text that the edits were computed from, with or without its
                byte-order mark. Without it, the text first read through this draft is meant.

        Raises:
            StaleEdit: the file is no longer what the edits were computed from.
            EditError: the edits do not fit the text.
            WorkspaceError: as ``read``.
        """
        name = self.workspace.relative(path)
        edits = tuple(edits)

        def edited(entry: Entry, fresh: bool) -> Entry:
            document = entry.document
            if document is None:
                raise MissingFile(name)
            expected = self._seen.get(name) if sha256 is None and fresh else sha256
            if expected is not None and not entry.is_of(expected):
                raise StaleEdit(name)
            changed = entry.with_text(name, apply_edits(document.text, edits))
            if document is entry.before:
                changed.edits = as_small_edits(document.text, edits)
            return changed

        self._update(name, edited)

    def write(self, path: str, text: str) -> None:
        """Give a file a new text, or create it.

        A byte-order mark at the start of ``text`` is taken as one; a file that had one keeps it.

        Raises:
            UnreadableText: what is there now is no text, or the new one cannot be encoded.
            WorkspaceError: as ``read``.
        """
        name = self.workspace.relative(path)
        self._update(name, lambda entry, _: entry.with_text(name, text))

    def restore(self, path: str, data: bytes, mode: int | None = None) -> None:
        """Give a file exactly these bytes, byte-order mark and all, or create it so.

        Args:
            path: the file.
            data: its bytes.
            mode: its permission bits; None leaves them.

        Raises:
            UnreadableText: they, or what is there now, are no UTF-8 text.
            WorkspaceError: as ``read``.
        """
        name = self.workspace.relative(path)
        text, bom = text_file.decode(data, name)

        def restored(entry: Entry, _: bool) -> Entry:
            if bom and entry.has_mark_in_text:
                entry = entry.with_text(name, "\ufeff" + text, bom=False)
            else:
                entry = entry.with_text(name, text, bom=bom)
            return entry if mode is None else entry.with_mode(mode)

        self._update(name, restored)

    def delete(self, path: str) -> None:
        """Delete a file.

        Raises:
            MissingFile: there is none.
            WorkspaceError: as ``read``.
        """
        name = self.workspace.relative(path)

        def deleted(entry: Entry, _: bool) -> Entry:
            if entry.document is None:
                raise MissingFile(name)
            return Entry(entry.before, None)

        self._update(name, deleted)

    def rename(self, path: str, new_path: str) -> None:
        """Move a file to a path that is free.

        Raises:
            MissingFile: there is no file at ``path``.
            EditRefused: something is at ``new_path`` already.
            WorkspaceError: as ``read``.
        """
        name, new_name = self.workspace.relative(path), self.workspace.relative(new_path)
        with self._lock:
            source, target = self._entry(name), self._entry(new_name)
            if source.document is None:
                raise MissingFile(name)
            if target.document is not None:
                raise EditRefused(f"{name} cannot be renamed to {new_name}: that exists already")
            origin = source.origin or (name if source.before is not None else "")
            document = msgspec.structs.replace(source.document, path=new_name, version=None)
            self._entries[name] = Entry(source.before, None)
            self._entries[new_name] = Entry(target.before, document, origin)

    def changes(self) -> tuple[Change, ...]:
        """What the draft would do to the workspace, sorted by path. Blocks on the disk.

        Every path occurs once, as ``path`` or ``new_path``, so the changes are independent.
        """
        with self._lock:
            kept = {name: entry.edits for name, entry in self._entries.items()}
            entries = {name: (e.before, e.document, e.origin) for name, e in self._entries.items()}
        moved: set[str] = set()
        changes: list[Change] = []
        for name, (before, document, origin) in entries.items():
            if document is None:
                continue
            source, left = entries.get(origin, (None, None, ""))[:2]
            if before is not None:
                if (before.sha256, before.mode) != (document.sha256, document.mode):
                    changes.append(_change(name, "modify", before, document, edits=kept[name]))
            elif source is not None and left is None:
                moved.add(origin)
                made = self.workspace.missing_folders(name)
                changes.append(
                    _change(origin, "rename", source, document, new_path=name, made_folders=made)
                )
            else:
                made = self.workspace.missing_folders(name)
                changes.append(_change(name, "create", None, document, made_folders=made))
        changes += [
            Change(name, "delete", before)
            for name, (before, document, _) in entries.items()
            if document is None and before is not None and name not in moved
        ]
        return tuple(sorted(changes, key=lambda change: change.path))

    def documents(self) -> dict[str, str | None]:
        """The texts that tools must see in place of the workspace's; None for a file gone."""
        with self._lock:
            return {
                name: entry.document.text if entry.document else None
                for name, entry in self._entries.items()
                if entry.document is not None or entry.before is not None
            }

    def _entry(self, name: str) -> Entry:
        """What the draft has of a path, or would start from."""
        known = self._entries.get(name)
        if known is not None:
            return known
        document = self.workspace.find(name)
        return Entry(document, document)

    def _update(self, name: str, change: Callable[[Entry, bool], Entry]) -> None:
        """Replace the entry of a path by ``change(entry, fresh)``.

        Reading and computing happen without the lock, so that other files are worked on
        meanwhile, and again if this file's entry was replaced in between.
        """
        while True:
            with self._lock:
                known = self._entries.get(name)
            changed = change(known or self._entry(name), known is None)
            with self._lock:
                if self._entries.get(name) is known:
                    self._entries[name] = changed
                    return


def _change(
    path: str,
    kind: Literal["modify", "create", "rename"],
    before: Document | None,
    after: Document,
    *,
    new_path: str = "",
    edits: tuple[TextEdit, ...] | None = None,
    made_folders: int = 0,
) -> Change:
    if edits is None:
        edits = diff_edits(before.text, after.text) if before is not None else ()
    mode = None if before is not None and before.mode == after.mode else after.mode
    return Change(path, kind, before, after.text, edits, new_path, after.bom, mode, made_folders)
