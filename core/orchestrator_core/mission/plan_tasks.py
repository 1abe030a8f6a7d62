"""From what stands in a plan file to its tasks, and what each waits for."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.mission.plan import faults
from orchestrator_core.mission.plan_document import FILE, MilestoneNode, Span, TaskNode
from orchestrator_core.records import Plan, Step, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.mission.plan_document import Option
    from orchestrator_core.mission.plan_problems import PlanProblems

_WORD = re.compile(r"[^\s,;]+")


class Outline(Struct, frozen=True):
    """What stands in a plan file.

    Attributes:
        parents: for each task the place of the one that it is a part of; None for none.
        owners: whom an id means: a task, by its place, that of a step the step's task; a
            milestone by its name.
    """

    text: str
    title: str
    milestones: tuple[MilestoneNode, ...]
    tasks: tuple[TaskNode, ...]
    parents: list[int | None]
    owners: dict[str, int | str]


def plan_of(outline: Outline, problems: PlanProblems) -> Plan:
    """The tasks with what they depend on; tells the problems of their graph."""
    nodes = outline.tasks
    groups = {above for above in outline.parents if above is not None and not nodes[above].steps}
    waits = _Dependencies(outline, groups, problems).of_all()
    leaves = [index for index in range(len(nodes)) if index not in groups]
    tasks = tuple(_task(nodes[index], tuple(waits[index])) for index in leaves)
    for fault in faults(tasks):
        index = leaves[fault.index]
        if fault.kind == "cycle":
            where = waits[index].get(fault.reference, nodes[index].id_span)
            problems.add(where, fault.message)
    for index in leaves:
        node = nodes[index]
        if not node.steps:
            problems.check(node.title, node.title_span)
        elif node.marker and node.marker.state is not node.state:
            span = Span(node.marker.at, node.marker.at + 1)
            problems.add(span, "the steps say otherwise, and they count", "warning")
    return Plan(outline.title, tasks)


class _Dependencies:
    """Who waits for whom. A group is a task that has parts and no steps: it is they that it means."""

    def __init__(self, outline: Outline, groups: set[int], problems: PlanProblems) -> None:
        self._outline = outline
        self._groups = groups
        self._problems = problems
        self._members = self._find_members()

    def of_all(self) -> list[dict[str, Span]]:
        """What each task waits for, with the place that says so."""
        of_milestone = {
            milestone.name: self._resolved(milestone.options)
            for milestone in self._outline.milestones
        }
        given: list[dict[str, Span]] = []
        waits: list[dict[str, Span]] = []
        for index, node in enumerate(self._outline.tasks):
            parent = self._outline.parents[index]
            above = of_milestone.get(node.milestone, {}) if parent is None else given[parent]
            own = self._resolved(node.options)
            for step in node.steps:
                if step.options:
                    from_step = self._resolved(step.options)
                    from_step.pop(node.id, None)  # its steps are done in order anyway
                    own |= from_step
            inherited = {name: span for name, span in above.items() if name != node.id}
            given.append(inherited | own)
            waits.append(dict(given[-1]))
            if parent is not None and index not in self._groups:
                waits[parent][node.id] = node.id_span
        return waits

    def _find_members(self) -> dict[int | str, list[str]]:
        """The tasks in each milestone, by its name, and in each group, by its index."""
        members: dict[int | str, list[str]] = {index: [] for index in self._groups}
        for index, node in enumerate(self._outline.tasks):
            if index not in self._groups:
                members.setdefault(node.milestone, []).append(node.id)
                above = self._outline.parents[index]
                while above is not None:
                    if above in self._groups:
                        members[above].append(node.id)
                    above = self._outline.parents[above]
        return members

    def _resolved(self, options: Iterable[Option]) -> dict[str, Span]:
        """The ids of tasks that ``depends`` options name."""
        found: dict[str, Span] = {}
        for option in options:
            if option.key != "depends":
                continue
            for word in _WORD.finditer(
                self._outline.text, option.value_span.start, option.value_span.end
            ):
                name, span = word[0], Span(*word.span())
                owner = self._outline.owners.get(name)
                if owner is None:
                    if name.lower() not in {"-", "none", "and"}:
                        self._problems.add(span, f"there is no {name}{self._suggestion(name)}")
                elif isinstance(owner, int) and owner not in self._members:
                    found[self._outline.tasks[owner].id] = span
                else:
                    found |= dict.fromkeys(self._members.get(owner, ()), span)
        return found

    def _suggestion(self, name: str) -> str:
        known = self._outline.owners
        if len(known) > 1000:  # looking for the nearest of very many ids takes too long
            return ""
        close = difflib.get_close_matches(name, known, n=1)
        return f": did you mean {close[0]}?" if close else ""


def _task(node: TaskNode, depends: tuple[str, ...]) -> Task:
    options = {option.key: option.value for option in node.options}
    agent = options.get("agent", "worker").lower()
    return Task(
        id=node.id,
        title=node.title,
        steps=tuple(Step(step.text, step.state) for step in node.steps),
        depends=depends,
        files=_files(node),
        agent=agent or "worker",
        milestone=node.milestone,
        group=options.get("parallel-group", options.get("group", "")),
        state=node.state,
    )


def _files(node: TaskNode) -> tuple[str, ...]:
    """The heading's files, else those of the steps if each step names some."""
    own = [glob for option in node.options for glob in globs_of(option)]
    if own:
        return tuple(dict.fromkeys(own))
    of_steps = [
        [glob for option in step.options for glob in globs_of(option)] for step in node.steps
    ]
    if not all(of_steps):
        return ()
    return tuple(dict.fromkeys(glob for globs in of_steps for glob in globs))


def globs_of(option: Option) -> list[str]:
    """The globs that an option names; none unless it is about files."""
    if option.key not in {"file", "files"} or option.value.lower() in {"", "-", "none"}:
        return []
    return [double or single or bare for double, single, bare in FILE.findall(option.value)]
