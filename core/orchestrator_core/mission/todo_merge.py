"""The three-way merge of a plan file: last rendered text, the person's text, journal's states.

The person's text is the one that is kept; the merge only sets markers in it. For each marker:

=====================================  ====================================================
the person's, against the last shown   what becomes of it
=====================================  ====================================================
the same                               the journal's state is set
what the journal says now, too         kept
further back (pending after running)   the journal's state is set: the person's editor had an
                                       older text, and only the server takes a tick back
another, the journal has not moved     kept, and told as a request: a task crossed out, say
another, the journal moved or ended    a conflict: the journal's state is set and the person's
                                       is kept in a comment below the line
=====================================  ====================================================

A step that the person added to a task is not ticked with the others, since nobody has done it; a
step that the person reworded is still the same step. Tasks are matched by their whole ids.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.mission.plan_document import MARKER_OF, StepNode
from orchestrator_core.mission.plan_language import edited, parse, with_groups
from orchestrator_core.records import TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.mission.plan_document import Marker, Span, TaskNode
    from orchestrator_core.mission.plan_language import States

_PROGRESS = {TaskState.PENDING: 0, TaskState.RUNNING: 1}
_FINAL = 2
_SAME_STEP = 0.6  # from this likeness on, a step among others is a reworded one


class MarkerChange(Struct, frozen=True):
    """A marker that the person set.

    Attributes:
        step: the step's text; empty for the task's heading.
        line: in the merged text, from 1.
        theirs: what the person set.
        journal: what the journal says.
    """

    task_id: str
    step: str
    line: int
    theirs: TaskState
    journal: TaskState


class MergeResult(Struct, frozen=True):
    """The merged text and what the person did.

    Attributes:
        text: what the file is to hold.
        conflicts: markers that contradict the journal; both are in the text.
        requests: markers that the person set ahead of the journal; they are in the text, and what
            they ask for is for the caller to do.
        overruled: markers that were further back than the journal and are set again.
        added: ids of tasks that the person added.
        removed: ids of tasks that the person took out.
        base: what the next merge takes as last rendered.
        shown: whether the text is in the file; for the service to say.
    """

    text: str
    conflicts: tuple[MarkerChange, ...] = ()
    requests: tuple[MarkerChange, ...] = ()
    overruled: tuple[MarkerChange, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    base: str = ""
    shown: bool = True


def merge(base: str, theirs: str, states: States) -> MergeResult:
    """Merge the journal's states into the person's text. Pure.

    Args:
        base: the text as it was last rendered, or :attr:`MergeResult.base` of the last merge.
        theirs: the text as the file holds it now.
        states: by task or step, as :func:`.plan_language.render_states` takes them; the number of
            a step is its place in ``base``.
    """
    return _Merge(base, theirs, states).run()


class _Merge:
    """One merge."""

    def __init__(self, base: str, theirs: str, states: States) -> None:
        self._old = parse(base)
        self._new = parse(theirs)
        self._states = with_groups(self._new, states)
        self._changes: list[tuple[int, int, str]] = []
        self._base_changes: list[tuple[int, int, str]] = []
        self._conflicts: list[MarkerChange] = []
        self._requests: list[MarkerChange] = []
        self._overruled: list[MarkerChange] = []
        self._inserted_lines = 0

    def run(self) -> MergeResult:
        """Merge, once."""
        old: dict[str, TaskNode] = {}
        for node in self._old.tasks:
            old.setdefault(node.id, node)
        seen: dict[str, None] = {}
        for node in self._new.tasks:
            if node.id not in seen:
                self._task(old.get(node.id), node)
            seen[node.id] = None
        return MergeResult(
            edited(self._new.text, self._changes),
            tuple(self._conflicts),
            tuple(self._requests),
            tuple(self._overruled),
            tuple(name for name in seen if name not in old),
            tuple(name for name in old if name not in seen),
            edited(self._new.text, self._base_changes),
        )

    def _task(self, old: TaskNode | None, new: TaskNode) -> None:
        """Set the markers of a task; one that is new in the text was pending before."""
        of_task = self._states.get(new.id)
        if of_task and (new.marker or not new.steps):
            self._heading(old, new, of_task)
        old_steps = old.steps if old else ()
        numbers = range(len(new.steps))
        pairs = (
            pair_steps(old_steps, new.steps) if old else dict(zip(numbers, numbers, strict=True))
        )
        for number, step in enumerate(new.steps):
            place = pairs.get(number)
            state = self._states.get(step.id) if step.id else None
            if place is not None:
                state = self._states.get((new.id, place), state or of_task)
            elif of_task and not state:  # the journal knows the task and not this step
                self._base_changes.append((step.span.start, step.span.end, ""))
            if state and step.marker:
                known = old_steps[place].state if old and place is not None else TaskState.PENDING
                self._marker(new.id, step, step.marker, known, state)

    def _heading(self, old: TaskNode | None, new: TaskNode, state: TaskState) -> None:
        before = old.marker.state if old and old.marker else TaskState.PENDING
        if new.marker:
            self._marker(new.id, new, new.marker, before, state)
        elif state is not TaskState.PENDING:
            insertion = (new.marker_at, new.marker_at, f"[{MARKER_OF[state]}] ")
            self._changes.append(insertion)
            self._base_changes.append(insertion)

    def _marker(
        self,
        task_id: str,
        node: TaskNode | StepNode,
        marker: Marker,
        before: TaskState,
        journal: TaskState,
    ) -> None:
        theirs = marker.state
        if theirs is journal:
            return
        setting = (marker.at, marker.at + 1, MARKER_OF[journal])
        self._base_changes.append(setting)
        line = node.line + self._inserted_lines
        step = node.text if isinstance(node, StepNode) else ""
        change = MarkerChange(task_id, step, line, theirs, journal)
        if theirs is before:
            self._changes.append(setting)
        elif _progress(theirs) < _progress(before):
            self._changes.append(setting)
            self._overruled.append(change)
        elif journal is before and _progress(journal) < _FINAL:
            self._requests.append(change)
        else:
            self._changes.append(setting)
            self._conflicts.append(change)
            self._comment(node.span, change)

    def _comment(self, span: Span, change: MarkerChange) -> None:
        """Keep the person's marker below the line, unless it stands there already."""
        text = self._new.text
        told = (
            f"<!-- conflict: you set [{MARKER_OF[change.theirs]}], "
            f"the journal says [{MARKER_OF[change.journal]}] -->"
        )
        if text[span.end : span.end + len(told) + 16].strip().startswith(told):
            return
        line_end = "\r\n" if text.startswith("\r\n", span.end) else "\n"
        indent = "  " if change.step else ""
        self._changes.append((span.end, span.end, f"{line_end}{indent}{told}"))
        self._inserted_lines += 1


def _progress(state: TaskState) -> int:
    return _PROGRESS.get(state, _FINAL)


def pair_steps(old: Sequence[StepNode], new: Sequence[StepNode]) -> dict[int, int]:
    """For the number of each new step, the number of the old one that it is, if any.

    Steps with ids are matched by them, others by their text, and between those that match, as
    many on both sides are reworded ones; otherwise the likeness decides.
    """
    if [step.text for step in old] == [step.text for step in new]:
        return dict(zip(range(len(new)), range(len(old)), strict=True))
    before = [step.id or step.text for step in old]
    after = [step.id or step.text for step in new]
    pairs: dict[int, int] = {}
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        if kind == "equal" or (kind == "replace" and old_end - old_start == new_end - new_start):
            pairs |= zip(range(new_start, new_end), range(old_start, old_end), strict=True)
        elif kind == "replace":
            left = list(range(old_start, old_end))
            for number in range(new_start, new_end):
                close = next((each for each in left if _alike(before[each], after[number])), None)
                if close is not None:
                    pairs[number] = close
                    left.remove(close)
    return pairs


def _alike(old: str, new: str) -> bool:
    return difflib.SequenceMatcher(None, old, new).ratio() >= _SAME_STEP
