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
from typing import TYPE_CHECKING

from orchestrator_core.events import HunksSettled
from orchestrator_core.mission.file_hunks import FileHunks, Texts
from orchestrator_core.mission.standing import StandingEdits, standing_edits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.records import FileChange, SettledFile
    from orchestrator_core.workspace.hunks import Hunk

    Step = StandingEdits | HunksSettled


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
                    name = change_name(step, number)
                    milestones.append(
                        partial(_Following.change, change=change, task=step.task_id, name=name)
                    )
        elif not (step.accepted and with_accepted):
            for settled in step.files:
                if settled.path in paths:
                    digests.update((settled.before, settled.after))
                    milestones.append(
                        partial(_Following.settle, settled=settled, accepted=step.accepted)
                    )
    following = _Following(contents(digests - {""}))
    for pass_ in milestones:
        pass_(following)
    return following.files()


class _Following:
    """Files on their way from milestone to milestone."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._texts = Texts(contents)
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
                lines = self._texts.lines(change.after)
                file = FileHunks(change.path, "", change.after, lines, tasks=(task,))
            else:
                file.deleted = False
                file.make(change.after, task, name, self._texts)
            file.made.append(name)
            self._live[change.path] = file
            return
        file = self._live.pop(change.path, None)
        if file is None:
            lines = self._texts.lines(change.before)
            file = FileHunks(change.path, change.path, change.before, lines)
        file.made.append(name)
        file.reach(change.before, self._texts)
        if change.kind == "delete":
            if file.origin:
                file.deleted, file.mode, file.tasks = True, change.mode, (task,)
                self._gone[change.path] = file
            return
        file.make(change.after, task, name, self._texts)
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
            chosen = _among(file.hunks, settled.spans)
            file.take_back(chosen, settled.after, self._texts)
            return
        if (file := self._live.get(settled.path)) is None:
            return
        lost = file.reach(settled.before, self._texts)
        if not accepted:  # what was taken back here with another task's is nobody else's
            file.lost -= sum(_overlaps(start, end, settled.spans) for start, end in lost)
        chosen = _among(file.hunks, settled.spans)
        if accepted:
            file.hunks = tuple(hunk for hunk in file.hunks if hunk not in chosen)
        elif settled.whole and not file.origin:
            del self._live[settled.path]
            return
        else:
            file.take_back(chosen, settled.after, self._texts)
        if settled.whole and file.origin and not accepted:
            self._live[file.origin] = self._live.pop(settled.path)
            file.path = file.origin
        elif settled.whole:
            file.origin = file.path


def _among(hunks: Iterable[Hunk], spans: Collection[tuple[int, int]]) -> list[Hunk]:
    return [hunk for hunk in hunks if _overlaps(hunk.start, hunk.end, spans)]


def _overlaps(start: int, end: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether lines are among those settled."""
    return any(span == (start, end) or (start < span[1] and span[0] < end) for span in spans)
