"""The hunks that a person can settle, and what taking some of them back would change.

Pure planning: applying it is the Applier's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from orchestrator_core.errors import EditRefused, WorkspaceError
from orchestrator_core.records import SettledFile
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.diff import split_lines
from orchestrator_core.workspace.draft import Draft
from orchestrator_core.workspace.hunks import taken_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orchestrator_core.mission.file_hunks import FileHunks
    from orchestrator_core.workspace.documents import Document, Workspace
    from orchestrator_core.workspace.edits import Change
    from orchestrator_core.workspace.hunks import Hunk


class PendingHunk(Struct, frozen=True):
    """A piece of a mission's changes that nobody has accepted or rejected.

    Attributes:
        hunk: its name, the same for as long as it is pending; unique in its file and mission.
        kind: what the mission did to the file as a whole; ``change`` is about lines of it.
        tasks: the ids of those that did it.
        title: what the tasks are about.
        start: its first character in what the file holds now.
        end: the character after its last; equal to ``start`` where lines were only taken out.
        line: its first line, from 1.
        end_line: the line after its last.
        before: what stood there; for a whole file empty.
        after: what stands there now.
        old_path: where a renamed file was.
    """

    mission: str
    path: str
    hunk: str
    kind: Literal["change", "create", "delete", "rename"]
    tasks: tuple[str, ...]
    title: str
    start: int = 0
    end: int = 0
    line: int = 1
    end_line: int = 1
    before: str = ""
    after: str = ""
    old_path: str = ""


class Settlement(Struct, frozen=True):
    """What settling hunks comes to.

    Attributes:
        hunks: how many are settled.
        files: for the journal, but for what is only known once the changes are made.
        changes: for an Applier; empty where hunks are accepted.
        kept: contents that must be kept, so that the review can be gone on with.
        unsettled: what stays as it is, each as ``path: why``.
    """

    hunks: int
    files: tuple[SettledFile, ...]
    changes: tuple[Change, ...] = ()
    kept: tuple[bytes, ...] = ()
    unsettled: tuple[str, ...] = ()


def pending(
    mission: str, file: FileHunks, titles: Mapping[str, str], document: Document | None
) -> list[PendingHunk]:
    """The hunks of a file as they stand in what it holds now."""
    now = file.now(document)
    if now is None:
        return []

    def title(tasks: tuple[str, ...]) -> str:
        first = tasks[0] if tasks else ""
        return (
            f"{', '.join(tasks)}: {titles.get(first, '')}" if tasks[:-1] == () else ", ".join(tasks)
        )

    found: list[PendingHunk] = []
    lines = split_lines(document.text) if document is not None else []
    if file.kind != "change":
        whole = file.kind == "create"
        found.append(
            PendingHunk(
                *(mission, file.path, file.kind, file.kind, file.tasks, title(file.tasks)),
                end=len(document.text) if document and whole else 0,
                end_line=1 + len(lines) if whole else 1,
                old_path=file.origin if file.kind == "rename" else "",
            )
        )
    edits = taken_back(lines, now.hunks) if not file.deleted else ()
    for hunk, edit in zip(now.hunks, edits, strict=False):
        after = "".join(lines[hunk.start : hunk.end])
        found.append(
            PendingHunk(
                *(mission, file.path, hunk.id, "change", hunk.tasks, title(hunk.tasks)),
                *(edit.start, edit.end, hunk.start + 1, hunk.end + 1, edit.new_text, after),
            )
        )
    return found


class Settling:
    """Plans what becomes of chosen hunks, on a draft. Blocks on the disk.

    Args:
        workspace: as it is now, unsaved text included.
        contents: answers the contents with these hashes, as far as they are kept.
        accept: whether the hunks stay as they are, or are taken back.
    """

    def __init__(
        self,
        workspace: Workspace,
        contents: Callable[[Iterable[str]], Mapping[str, bytes]],
        *,
        accept: bool,
    ) -> None:
        self._workspace = workspace
        self._contents = contents
        self._accept = accept
        self._draft = Draft(workspace)
        self._count = 0
        self._files: list[SettledFile] = []
        self._kept: list[bytes] = []
        self._unsettled: list[str] = []
        self._renames: list[tuple[str, str]] = []

    def take(self, file: FileHunks, hunk_id: str = "") -> None:
        """Settle one hunk of a file, or all.

        Raises:
            StaleEdit: somebody is changing the file: look again.
        """
        document = self._workspace.find(file.path)
        now = file.now(document)
        if now is None:
            return
        chosen = [hunk for hunk in now.hunks if hunk_id in ("", hunk.id)]
        whole = file.kind != "change" and hunk_id in ("", file.kind)
        if file.deleted:
            chosen = list(file.hunks) if whole and not hunk_id and not self._accept else []
        if not (chosen or whole):
            return
        try:
            last = len(chosen) == len(file.hunks if file.deleted else now.hunks)
            bom = file.bom if last else None
            after = self._take_back(file, document, chosen, whole=whole, bom=bom)
        except (EditRefused, WorkspaceError) as error:
            self._unsettled.append(f"{file.path}: {error}")
            return
        if document is not None:
            self._kept.append(document.encode())
        self._count += len(chosen) + whole
        spans = tuple((hunk.start, hunk.end) for hunk in chosen)
        before = document.sha256 if document else ""
        done = file.kind if whole and file.kind != "change" else ""
        self._files.append(SettledFile(file.path, before, after, spans, done))

    def plan(self) -> Settlement:
        """What was taken comes to this."""
        self._rename_back()
        changes = self._draft.changes()
        after = (change.encode() for change in changes)
        self._kept += (content for content in after if content is not None)
        return Settlement(
            self._count, tuple(self._files), changes, tuple(self._kept), tuple(self._unsettled)
        )

    def _rename_back(self) -> None:
        """Put files where they were: first all are taken away, for they may have changed places."""
        away = [f"{path}.{number}" for number, (path, _) in enumerate(self._renames)]
        for (path, _), name in zip(self._renames, away, strict=True):
            self._draft.rename(path, name)
        for (path, origin), name in zip(self._renames, away, strict=True):
            free = self._draft.find(origin) is None
            self._draft.rename(name, origin if free else path)
            if not free:
                self._unsettled.append(f"{path}: {origin} exists again")
                self._count -= 1
                kept = (structs.replace(f, whole="") if f.path == path else f for f in self._files)
                self._files = [file for file in kept if file.whole or file.spans]

    def _take_back(
        self,
        file: FileHunks,
        document: Document | None,
        chosen: list[Hunk],
        *,
        whole: bool,
        bom: bool | None,
    ) -> str:
        """Take hunks back on the draft, unless they are accepted; the file's hash afterwards."""
        if self._accept:
            return document.sha256 if document else ""
        draft, path = self._draft, file.path
        if whole and file.kind == "create":
            draft.delete(path)
            return ""
        if whole and file.deleted:
            content = self._contents([file.sha256]).get(file.sha256)
            if content is None:
                raise EditRefused("its old text is not kept any more")
            draft.restore(path, content, file.mode)
        if chosen:
            edits = taken_back(split_lines(draft.read(path).text), chosen)
            draft.edit(path, edits, sha256=document.sha256 if document else None)
            if bom is not None:
                draft.restore(path, text_file.encode(draft.read(path).text, bom=bom))
        if whole and file.kind == "rename":
            self._renames.append((path, file.origin))
        return draft.read(path).sha256
