"""A plan file as it was read: every part with its exact place in the text.

Offsets count characters from the start of the text. The records are read-only and safe to share
between threads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.errors import PlanError
from orchestrator_core.records import Plan, Problem, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable

MARKERS: dict[str, TaskState] = {
    " ": TaskState.PENDING,
    "/": TaskState.RUNNING,
    "x": TaskState.DONE,
    "X": TaskState.DONE,
    "!": TaskState.FAILED,
    "-": TaskState.CANCELLED,
}
"""What stands between the brackets, and the state that it means."""

MARKER_OF: dict[TaskState, str] = {
    TaskState.PENDING: " ",
    TaskState.RUNNING: "/",
    TaskState.DONE: "x",
    TaskState.FAILED: "!",
    TaskState.CANCELLED: "-",
}
"""The character that is written for a state."""


FILE = re.compile(r'"([^"]*)"|\'([^\']*)\'|((?:\{[^{}]*\}|\[[^\]\s]*\]|[^\s,])+)')
"""One of the globs in ``files``, quoted or bare."""


class Span(Struct, frozen=True, gc=False):
    """A range of the text; ``end`` is exclusive."""

    start: int
    end: int


class Marker(Struct, frozen=True, gc=False):
    """The character between the brackets of ``[ ]``, at the offset ``at``."""

    at: int
    state: TaskState


class Option(Struct, frozen=True, gc=False):
    """``| key: value``; the spans are those of the key and of the value."""

    key: str
    value: str
    key_span: Span
    value_span: Span


class StepNode(Struct, frozen=True, gc=False):
    """``- [ ] S1.1: text | size:S``.

    Attributes:
        line: its line, from 1.
        marker: None where the brackets hold something else; the step counts as pending then.
        id: empty where it has none, which is the usual form.
        span: the whole line, without its end.
    """

    line: int
    marker: Marker | None
    id: str
    id_span: Span
    text: str
    text_span: Span
    options: tuple[Option, ...]
    span: Span

    @property
    def state(self) -> TaskState:
        """What the marker says."""
        return self.marker.state if self.marker else TaskState.PENDING


class TaskNode(Struct, frozen=True, gc=False):
    """``### [ ] T1.1: title | depends: T1 | files: src``, and the steps below.

    Attributes:
        level: the number of ``#``.
        marker: the optional marker in the heading.
        marker_at: where a marker would be inserted.
        milestone: the heading of its milestone, with its id; empty for none.
        parent: the id of the task that it is a part of; empty for none.
    """

    line: int
    level: int
    marker: Marker | None
    marker_at: int
    id: str
    id_span: Span
    title: str
    title_span: Span
    options: tuple[Option, ...]
    span: Span
    steps: tuple[StepNode, ...] = ()
    milestone: str = ""
    parent: str = ""

    @property
    def state(self) -> TaskState:
        """The fold of its steps' states; without steps, what the heading's marker says."""
        if self.steps:
            return fold(step.state for step in self.steps)
        return self.marker.state if self.marker else TaskState.PENDING


class MilestoneNode(Struct, frozen=True, gc=False):
    """``## M1: title``."""

    line: int
    id: str
    id_span: Span
    title: str
    options: tuple[Option, ...]
    span: Span

    @property
    def name(self) -> str:
        """Id and title, as in the heading."""
        return f"{self.id}: {self.title}" if self.title != self.id else self.id


class PlanDocument(Struct, frozen=True):
    """A plan file's text and what it means.

    Attributes:
        plan: what could be read; to be carried out only when no problem is an error.
        problems: in the order of the text.
    """

    text: str
    title: str
    milestones: tuple[MilestoneNode, ...]
    tasks: tuple[TaskNode, ...]
    plan: Plan
    problems: tuple[Problem, ...]

    def checked_plan(self, source: str = "plan") -> Plan:
        """The plan, if nothing is wrong with it.

        Args:
            source: the file's name, for the message.

        Raises:
            PlanError: with all problems that are errors.
        """
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            raise PlanError(errors, source)
        return self.plan


def fold(states: Iterable[TaskState]) -> TaskState:
    """The state of a task from those of its steps.

    One that runs makes it running, else one that failed makes it failed, else one that waits
    makes it pending, else one that was cancelled makes it cancelled; else it is done.
    """
    seen = set(states)
    for state in (
        TaskState.RUNNING,
        TaskState.FAILED,
        TaskState.PENDING,
        TaskState.CANCELLED,
        TaskState.DONE,
    ):
        if state in seen:
            return state
    return TaskState.PENDING
