"""What is left to review of a mission's changes, file by file: a fold over its events.

The texts that a mission made, and those that a person accepted or rejected something of, are
milestones in the life of a file. Between two of them others may have changed it; what they
changed follows from the texts. So nothing but hashes need be journalled, and a review goes on
where it was after a restart.

A file that a mission made, deleted or renamed is a hunk of its own. A text that is not kept any
more, or is none, leaves its file without hunks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from orchestrator_core.errors import UnreadableText
from orchestrator_core.events import HunksSettled
from orchestrator_core.mission.standing import StandingEdits, standing_edits
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.diff import split_lines
from orchestrator_core.workspace.edits import apply_edits
from orchestrator_core.workspace.hunks import Hunk, Moved, grown, left_after, moved, taken_back

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.records import FileChange, SettledFile
    from orchestrator_core.workspace.documents import Document

    Step = StandingEdits | HunksSettled

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


def steps_of(events: Iterable[AnyEvent]) -> list[Step]:
    """What is to be followed of a mission: its edits that stand, and what was settled of them."""
    known = list(events)
    steps: list[Step] = [edits for edits in standing_edits(known) if edits.applied]
    if steps:
        steps += (event for event in known if isinstance(event, HunksSettled))
    return sorted(steps, key=lambda step: step.sequence)


def names(steps: Iterable[Step], path: str = "") -> frozenset[str]:
    """Every name that the files of the steps ever had; with ``path``, those of that file."""
    renames = [
        {change.path, change.new_path or change.path}
        for step in steps
        if isinstance(step, StandingEdits)
        for change in step.changes
    ]
    if not path:
        return frozenset(name for pair in renames for name in pair)
    found = {path}
    while joined := [pair for pair in renames if pair & found and not pair <= found]:
        found.update(*joined)
    return frozenset(found)


def change_name(edits: StandingEdits, number: int) -> str:
    """What one change of a step is called: the hunks that it made are named after it."""
    return f"{edits.sequence}.{number}"


def follow(
    steps: Collection[Step],
    contents: Callable[[Iterable[str]], Mapping[str, bytes]],
    *,
    paths: Collection[str],
    task_id: str = "",
    with_accepted: bool = False,
) -> list[FileHunks]:
    """Follow files through a mission and what came after. Blocks on the disk.

    Args:
        steps: see :func:`steps_of`.
        contents: answers the contents with these hashes, as far as they are kept.
        paths: see :func:`names`: only these files.
        task_id: only the hunks of this task; to it, others' are others'.
        with_accepted: hunks that were accepted are told as well.
    """
    milestones: list[Callable[[_Following], None]] = []
    digests: set[str] = set()
    for step in steps:
        if isinstance(step, StandingEdits):
            of_task = task_id in ("", step.task_id)
            for number, change in enumerate(step.changes if of_task else ()):
                if change.path in paths:
                    digests.update((change.before, change.after))
                    milestones.append(_changing(change, step.task_id, change_name(step, number)))
        elif not (step.accepted and with_accepted):
            for settled in step.files:
                if settled.path in paths:
                    digests.update((settled.before, settled.after))
                    milestones.append(_settling(settled, accepted=step.accepted))
    following = _Following(contents(digests - {""}))
    for pass_ in milestones:
        pass_(following)
    return following.files()


def _changing(change: FileChange, task: str, name: str) -> Callable[[_Following], None]:
    return lambda following: following.change(change, task, name)


def _settling(settled: SettledFile, *, accepted: bool) -> Callable[[_Following], None]:
    return lambda following: following.settle(settled, accepted=accepted)


class _Following:
    """Files on their way from milestone to milestone."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents
        self._known: dict[str, list[str] | None] = {}
        self._live: dict[str, FileHunks] = {}
        self._gone: dict[str, FileHunks] = {}

    def files(self) -> list[FileHunks]:
        """All that the mission changed, deleted ones included."""
        return [*self._live.values(), *self._gone.values()]

    def change(self, change: FileChange, task: str, name: str) -> None:
        """The mission changed a file; ``name`` is for new hunks."""
        if change.kind == "create":
            file = self._gone.pop(change.path, None)
            if file is None:
                lines = self._lines(change.after)
                file = FileHunks(change.path, "", change.after, lines, tasks=(task,))
            else:
                file.deleted = False
                self._make(file, change.after, task, name)
            file.made.append(name)
            self._live[change.path] = file
            return
        file = self._live.pop(change.path, None)
        if file is None:
            lines = self._lines(change.before)
            file = FileHunks(change.path, change.path, change.before, lines)
        file.made.append(name)
        self._reach(file, change.before)
        if change.kind == "delete":
            if file.origin:
                file.deleted, file.mode, file.tasks = True, change.mode, (task,)
                self._gone[change.path] = file
            return
        self._make(file, change.after, task, name)
        if change.kind == "rename":
            file.path, file.tasks = change.new_path, (*file.tasks, task)
        self._live[file.path] = file

    def settle(self, settled: SettledFile, *, accepted: bool) -> None:
        """A person settled hunks of a file, the whole file perhaps."""
        file = self._gone.pop(settled.path, None) if settled.whole == "delete" else None
        if file is not None:
            if accepted:
                return
            file.deleted = False
            self._live[file.path] = file
            chosen = [hunk for hunk in file.hunks if _overlaps(hunk.start, hunk.end, settled.spans)]
            self._take_back(file, chosen, settled.after)
            return
        if (file := self._live.get(settled.path)) is None:
            return
        lost = self._reach(file, settled.before)
        if not accepted:  # what was taken back here with another task's is nobody else's
            file.lost -= sum(_overlaps(start, end, settled.spans) for start, end in lost)
        chosen = [hunk for hunk in file.hunks if _overlaps(hunk.start, hunk.end, settled.spans)]
        if accepted:
            file.hunks = tuple(hunk for hunk in file.hunks if hunk not in chosen)
        elif settled.whole and not file.origin:
            del self._live[settled.path]
            return
        else:
            self._take_back(file, chosen, settled.after)
        if settled.whole and file.origin and not accepted:
            self._live[file.origin] = self._live.pop(settled.path)
            file.path = file.origin
        elif settled.whole:
            file.origin = file.path

    def _take_back(self, file: FileHunks, chosen: Collection[Hunk], digest: str) -> None:
        """A person has rejected hunks, which took the file to another text."""
        before, after, lost = file.lines, self._lines(digest), file.lost
        left = left_after(file.hunks, chosen)
        if before is not None and _without(before, chosen) == after:
            file.sha256, file.lines = digest, after
        else:  # these were joined with another task's, and only this one is followed
            left = tuple(hunk for hunk in file.hunks if hunk not in chosen)
        file.hunks = left
        self._reach(file, digest)
        file.lost = lost  # nobody wrote over them

    def _reach(self, file: FileHunks, digest: str) -> tuple[tuple[int, int], ...]:
        """Others have taken the file to another text, perhaps; what they wrote over hunks."""
        lost: tuple[tuple[int, int], ...] = ()
        if file.sha256 == digest:
            return lost
        before, after = file.lines, self._lines(digest)
        if not file.origin:
            file.origin = file.path  # no longer what the mission made
        elif before is not None and after is not None:
            file.hunks, lost = moved(file.hunks, before, after)
            file.lost += len(lost)
        else:
            file.hunks = ()
        file.sha256, file.lines = digest, after
        return lost

    def _make(self, file: FileHunks, digest: str, task: str, name: str) -> None:
        """The mission has taken the file to another text, perhaps."""
        if file.sha256 == digest:
            return
        before, after = file.lines, self._lines(digest)
        if not file.origin:
            file.tasks = tuple(dict.fromkeys([*file.tasks, task]))
        elif before is not None and after is not None:
            file.hunks = grown(file.hunks, before, after, task, partial(_named, name))
            if file.bom is None and self._marked(file.sha256) != self._marked(digest):
                file.bom = self._marked(file.sha256)
        else:
            file.hunks = ()
        file.sha256, file.lines = digest, after

    def _marked(self, digest: str) -> bool:
        return self._contents.get(digest, b"").startswith(text_file.BOM)

    def _lines(self, digest: str) -> list[str] | None:
        if digest not in self._known:
            data = self._contents.get(digest)
            try:
                text = None if data is None else text_file.decode(data, digest)[0]
            except UnreadableText:
                text = None
            self._known[digest] = None if text is None else split_lines(text)
        return self._known[digest]


def _without(lines: list[str], hunks: Iterable[Hunk]) -> list[str]:
    return split_lines(apply_edits("".join(lines), taken_back(lines, hunks)))


def _named(name: str, number: int) -> str:
    return f"{name}.{number}"


def _overlaps(start: int, end: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether lines are among those settled."""
    return any(span == (start, end) or (start < span[1] and span[0] < end) for span in spans)
