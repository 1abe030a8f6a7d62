"""A file under review: the mission's hunks in it, carried from text to text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from orchestrator_core.errors import UnreadableText
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.diff import split_lines
from orchestrator_core.workspace.edits import apply_edits
from orchestrator_core.workspace.hunks import Hunk, Moved, grown, left_after, moved, taken_back

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from orchestrator_core.workspace.documents import Document

Kind = Literal["change", "create", "delete", "rename"]


class FileHunks(Struct):
    """A file as its latest milestone has it. Changed only while it is being followed.

    Attributes:
        path: where it is; where it was, if the mission deleted it.
        origin: where it was before the mission; empty where the mission made it.
        sha256: of its bytes.
        lines: of its text; None where that is not known.
        hunks: the mission's that are still to be reviewed.
        tasks: which made, deleted or renamed it.
        mode: the permission bits that it had when it was deleted.
        lost: how many hunks others wrote over, before this milestone.
        made: the changes that made it what it is, as ``sequence.number``.
        bom: whether a byte-order mark stood there, if the mission put or took it away.
    """

    path: str
    origin: str
    sha256: str
    lines: list[str] | None
    hunks: tuple[Hunk, ...] = ()
    tasks: tuple[str, ...] = ()
    deleted: bool = False
    mode: int | None = None
    lost: int = 0
    made: list[str] = []
    bom: bool | None = None

    @property
    def kind(self) -> Kind:
        """What the mission did to the file as a whole, as far as that is still to be reviewed."""
        if self.deleted:
            return "delete"
        if self.origin == self.path:
            return "change"
        return "rename" if self.origin else "create"

    def now(self, document: Document | None) -> Moved | None:
        """Its hunks in what the file holds now; None where nothing of it is left to review.

        A file that somebody changed after the mission made it is theirs, and so is one that came
        back after the mission deleted it.
        """
        if self.deleted:
            return Moved(()) if document is None else None
        if document is None:
            return None
        if not self.origin:
            return Moved(()) if document.sha256 == self.sha256 else None
        if self.lines is None or document.sha256 == self.sha256:
            return Moved(self.hunks)
        return moved(self.hunks, self.lines, split_lines(document.text))

    def reach(self, digest: str, texts: Texts) -> tuple[tuple[int, int], ...]:
        """Others have taken the file to another text, perhaps; what they wrote over hunks."""
        lost: tuple[tuple[int, int], ...] = ()
        if self.sha256 == digest:
            return lost
        before, after = self.lines, texts.lines(digest)
        if not self.origin:
            self.origin = self.path  # no longer what the mission made
        elif before is not None and after is not None:
            self.hunks, lost = moved(self.hunks, before, after)
            self.lost += len(lost)
        else:
            self.hunks = ()
        self.sha256, self.lines = digest, after
        return lost

    def make(self, digest: str, task: str, name: str, texts: Texts) -> None:
        """The mission has taken the file to another text, perhaps; ``name`` is for new hunks."""
        if self.sha256 == digest:
            return
        before, after = self.lines, texts.lines(digest)
        if not self.origin:
            self.tasks = tuple(dict.fromkeys([*self.tasks, task]))
        elif before is not None and after is not None:
            self.hunks = grown(self.hunks, before, after, task, partial(_named, name))
            if self.bom is None and texts.marked(self.sha256) != texts.marked(digest):
                self.bom = texts.marked(self.sha256)
        else:
            self.hunks = ()
        self.sha256, self.lines = digest, after

    def take_back(self, chosen: Collection[Hunk], digest: str, texts: Texts) -> None:
        """A person has rejected hunks, which took the file to another text."""
        before, after, lost = self.lines, texts.lines(digest), self.lost
        left = left_after(self.hunks, chosen)
        if before is not None and _without(before, chosen) == after:
            self.sha256, self.lines = digest, after
        else:  # these were joined with another task's, and only this one is followed
            left = tuple(hunk for hunk in self.hunks if hunk not in chosen)
        self.hunks = left
        self.reach(digest, texts)
        self.lost = lost  # nobody wrote over them


class Texts:
    """The texts of milestones, each read once.

    Args:
        contents: bytes by their hash; what is not there is not kept any more.
    """

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents
        self._known: dict[str, list[str] | None] = {}

    def lines(self, digest: str) -> list[str] | None:
        """The lines of a text; None where it is not known, or none."""
        if digest not in self._known:
            data = self._contents.get(digest)
            try:
                text = None if data is None else text_file.decode(data, digest)[0]
            except UnreadableText:
                text = None
            self._known[digest] = None if text is None else split_lines(text)
        return self._known[digest]

    def marked(self, digest: str) -> bool:
        """Whether a text begins with a byte-order mark."""
        return self._contents.get(digest, b"").startswith(text_file.BOM)


def _without(lines: list[str], hunks: Iterable[Hunk]) -> list[str]:
    return split_lines(apply_edits("".join(lines), taken_back(lines, hunks)))


def _named(name: str, number: int) -> str:
    return f"{name}.{number}"
