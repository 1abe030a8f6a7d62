r"""The plan file: read with every problem at its place, and written back without losing a byte.

::

    # Mission: Modernise the parser
    ## M1: Replace the old API
    ### T1.1: Rename load to read_all | agent:worker | depends: - | files: src/**/*.py
    - [ ] rename load -> read_all
    ### T1.2: Fix what the linter finds | depends: T1.1
    - [ ] fix E,F,I

A heading of level three or deeper with an id is a task: a letter, then a number somewhere, then
a colon, a bar or the end of the line. The list items with a marker below it are its steps, and
their fold is its state. A task without steps can have a marker in its heading, ``### [x] T2: …``,
which is inserted when its state is first shown. A task under a deeper heading is a part of the one
above: it waits for what that waits for, and that waits for it; one that has parts and no steps
only groups them, and is no task of the plan. ``depends`` may also name a milestone or a group,
which means all tasks in it, or a step, which means its task.

All other lines belong to the person and are kept as they are. A bar in a title is written
``\|``; in a step it needs nothing, as only known options at the end of the line count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator_core.mission.plan_document import FILE, MARKER_OF, PlanDocument, fold
from orchestrator_core.mission.plan_reader import PlanReader
from orchestrator_core.primitives.string_pool import ROLES
from orchestrator_core.records import Plan, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator_core.errors import TaskTextError

StateKey = str | tuple[str, int]
"""A task's or step's id, or a task's id with the number of its step, from 0."""

States = Mapping[str, TaskState] | Mapping[StateKey, TaskState]
"""The states of tasks and steps."""


def parse(
    text: str,
    *,
    check_step: Callable[[str], TaskTextError | None] | None = None,
    roles: Iterable[str] = ROLES,
) -> PlanDocument:
    """Read a plan file's text. Never raises for what is written in it: see ``problems``.

    Args:
        text: the whole file.
        check_step: says what is wrong with a step's text, or None; without it any text will do.
        roles: the agents that a task may name.
    """
    return PlanReader(text, check_step, tuple(roles)).read()


def render_states(document: PlanDocument, states: States) -> str:
    """The document's text with the markers of what changed, and every other byte as it was.

    A task's state goes to all of its steps, but for those that have a state of their own under
    their id or under the task's id and their number. Only a task without steps and without a
    marker gets one inserted, and only for another state than pending. A group's marker, if it has
    one, shows the fold of its tasks.
    """
    wanted = with_groups(document, states)
    changes: list[tuple[int, int, str]] = []
    for node in document.tasks:
        of_task = wanted.get(node.id)
        for number, step in enumerate(node.steps):
            state = wanted.get((node.id, number), wanted.get(step.id, of_task))
            if state and step.marker and step.marker.state is not state:
                changes.append((step.marker.at, step.marker.at + 1, MARKER_OF[state]))
        if of_task is None or of_task is (node.marker.state if node.marker else None):
            continue
        if node.marker:
            changes.append((node.marker.at, node.marker.at + 1, MARKER_OF[of_task]))
        elif not node.steps and of_task is not TaskState.PENDING:
            changes.append((node.marker_at, node.marker_at, f"[{MARKER_OF[of_task]}] "))
    return edited(document.text, changes)


def with_groups(document: PlanDocument, states: States) -> dict[StateKey, TaskState]:
    """The states, and those of groups that have a marker and a part whose state is among them."""
    wanted: dict[StateKey, TaskState] = dict(states.items())
    parts: dict[str, list[TaskState]] = {}
    touched: set[str] = set()
    groups: dict[StateKey, TaskState] = {}
    for node in reversed(document.tasks):
        inside = parts.get(node.id) if not node.steps else None
        state = wanted.get(node.id, fold(inside) if inside else node.state)
        is_touched = node.id in wanted or node.id in touched
        if inside and is_touched and node.marker:
            groups.setdefault(node.id, state)
        if node.parent:
            parts.setdefault(node.parent, []).append(state)
            if is_touched:
                touched.add(node.parent)
    return wanted | groups


def edited(text: str, changes: Iterable[tuple[int, int, str]]) -> str:
    """The text with ranges replaced that do not overlap."""
    parts: list[str] = []
    position = 0
    for start, end, new in sorted(changes):
        parts += (text[position:start], new)
        position = end
    parts.append(text[position:])
    return "".join(parts)


def render(plan: Plan) -> str:
    """A fresh plan file, which :func:`parse` reads back to an equal plan.

    White space in titles and steps is written as single spaces; a step of a fresh plan is one
    line of the verb language or of plain words.
    """
    lines = [f"# Mission: {_one_line(plan.title)}".rstrip(), ""]
    milestone = ""
    for task in plan.tasks:
        if task.milestone != milestone:
            milestone = task.milestone
            lines.append(f"## {_barred(_one_line(milestone)) or 'Other tasks'}")
        marker = "" if task.steps else f"[{MARKER_OF[task.state]}] "
        title = "" if task.title == task.id else f": {_barred(_one_line(task.title))}"
        options = [f"agent:{task.agent}"] if task.agent != "worker" else []
        options.append(f"depends: {', '.join(task.depends) or '-'}")
        if task.files:
            options.append("files: " + _barred(", ".join(map(_quoted_file, task.files))))
        if task.group:
            options.append(f"parallel-group: {_barred(task.group)}")
        lines.append(" | ".join([f"### {marker}{task.id}{title}", *options]))
        lines += [f"- [{MARKER_OF[step.state]}] {_one_line(step.text)}" for step in task.steps]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _barred(text: str) -> str:
    r"""Bars, and backslashes before them, escaped."""
    return re.sub(r"(\\*)\|", r"\1\1\\|", text)


def _quoted_file(glob: str) -> str:
    if FILE.fullmatch(glob) and glob[0] not in "\"'":
        return glob
    return f"'{glob}'" if '"' in glob else f'"{glob}"'
