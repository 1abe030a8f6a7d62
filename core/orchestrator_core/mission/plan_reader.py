"""From the lines of a plan file to its tasks, their graph, and the problems.

What the lines mean is told in :mod:`.plan_language`.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from msgspec import structs

from orchestrator_core.mission.plan import faults, leaves_workspace
from orchestrator_core.mission.plan_document import (
    FILE,
    LineIndex,
    MilestoneNode,
    PlanDocument,
    Span,
    StepNode,
    TaskNode,
)
from orchestrator_core.mission.plan_lines import OPTIONS, OpenBlock, read_lines
from orchestrator_core.records import Plan, Problem, Step, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Literal

    from orchestrator_core.errors import TaskTextError
    from orchestrator_core.mission.plan_document import Option
    from orchestrator_core.mission.plan_lines import Line

_WORD = re.compile(r"[^\s,;]+")
_MISSION = re.compile(r"mission\s*(?::\s*|$)", re.IGNORECASE)


class PlanReader:
    """One reading of one text, by one thread."""

    def __init__(
        self,
        text: str,
        check_step: Callable[[str], TaskTextError | None] | None,
        roles: tuple[str, ...],
    ) -> None:
        self._text = text
        self._check_step = check_step
        self._roles = roles
        self._lines = LineIndex(text)
        self._problems: list[Problem] = []
        self._title = ""
        self._milestones: list[MilestoneNode] = []
        self._tasks: list[TaskNode] = []
        self._steps: list[list[StepNode]] = []
        self._parents: list[int | None] = []
        self._open: list[int] = []  # the tasks whose sections are open, outermost first
        self._milestone = ""
        self._owner: dict[str, int | str] = {}  # task or step id to task; milestone id to its name

    def read(self) -> PlanDocument:
        """Read the text, once."""
        titled = False
        for line in read_lines(self._text):
            if isinstance(line, OpenBlock):
                self._problem(line.span, "this is not closed: all below it is skipped", "warning")
            elif line.level == 0:
                self._step(line)
            elif line.level == 1:
                self._open, self._milestone = [], ""
                titled = self._mission(line, titled)
            elif not line.id:
                self._close(line)
            elif line.level == 2:
                self._add_milestone(line)
            else:
                self._add_task(line)
        nodes = tuple(
            structs.replace(node, steps=tuple(steps))
            for node, steps in zip(self._tasks, self._steps, strict=True)
        )
        plan = self._plan(nodes)
        if not nodes:
            self._problem(Span(0, 0), "there is no task: write `### T1: what to do`")
        return PlanDocument(
            self._text,
            self._title,
            tuple(self._milestones),
            nodes,
            plan,
            tuple(sorted(self._problems, key=lambda each: (each.line, each.column))),
        )

    # -- the outline ------------------------------------------------------------------------

    def _mission(self, line: Line, titled: bool) -> bool:
        if titled:
            return True
        self._title = (
            line.title[found.end() :] if (found := _MISSION.match(line.title)) else line.title
        )
        if not self._title:
            self._problem(line.span, "the mission has no title", "warning")
        return True

    def _close(self, line: Line) -> None:
        """A heading without an id: the sections as deep as it, or deeper, end."""
        self._open = [index for index in self._open if self._tasks[index].level < line.level]
        if line.level == 2:
            self._milestone = ""

    def _add_milestone(self, line: Line) -> None:
        self._open = []
        node = MilestoneNode(
            line.number, line.id, line.id_span, line.title or line.id, line.options, line.span
        )
        self._milestone = node.name
        self._milestones.append(node)
        self._known(line.id, line.id_span, node.name)
        self._check_line(line)

    def _add_task(self, line: Line) -> None:
        self._close(line)
        parent = self._open[-1] if self._open else None
        index = len(self._tasks)
        self._tasks.append(
            TaskNode(
                line.number,
                line.level,
                line.marker,
                line.content_at,
                line.id,
                line.id_span,
                line.title or line.id,
                line.title_span,
                line.options,
                line.span,
                milestone=self._milestone,
                parent="" if parent is None else self._tasks[parent].id,
            )
        )
        self._parents.append(parent)
        self._steps.append([])
        self._open.append(index)
        self._known(line.id, line.id_span, index)
        self._check_line(line)

    def _step(self, line: Line) -> None:
        if not self._open:
            self._problem(
                line.span, "this step belongs to no task: put a heading above, `### T1: title`"
            )
            return
        owner = self._open[-1]
        self._steps[owner].append(
            StepNode(
                line.number,
                line.marker,
                line.id,
                line.id_span,
                line.title or line.id,
                line.title_span,
                line.options,
                line.span,
            )
        )
        if line.id:
            self._known(line.id, line.id_span, owner)
        self._check_line(line)
        if self._check_step and line.title:
            self._verb(line.title, line.title_span)

    def _known(self, name: str, span: Span, owner: int | str) -> None:
        if name in self._owner:
            self._problem(span, f"the id {name} is used twice")
        else:
            self._owner[name] = owner

    # -- problems ---------------------------------------------------------------------------

    def _problem(
        self, span: Span, message: str, severity: Literal["error", "warning"] = "error"
    ) -> None:
        line, column = self._lines.place(span.start)
        end_line, end_column = self._lines.place(span.end)
        self._problems.append(Problem(line, column, message, end_line, end_column, severity))

    def _check_line(self, line: Line) -> None:
        if line.marker_span and not line.marker:
            self._problem(
                line.marker_span,
                "this is no marker: use [ ] pending, [/] running, [x] done, [!] failed"
                " or [-] cancelled",
            )
        if not line.title and (line.has_colon or not line.id):
            self._problem(line.span, "the title is missing" if line.level else "the step is empty")
        for option in line.strays:
            close = difflib.get_close_matches(option.key, OPTIONS, n=1, cutoff=0.7)
            if option.key in OPTIONS:
                self._problem(
                    option.key_span, f"`{option.key}` must stand behind the title and its bars"
                )
            elif close:
                self._problem(
                    option.key_span, f"unknown option `{option.key}`: did you mean `{close[0]}`?"
                )
            else:
                self._problem(option.key_span, f"unknown option `{option.key}`", "warning")
        for option in line.options:
            self._check_option(option)

    def _check_option(self, option: Option) -> None:
        if option.key == "agent" and option.value.lower() not in self._roles:
            close = difflib.get_close_matches(option.value.lower(), self._roles, n=1)
            hint = f"did you mean `{close[0]}`?" if close else "known: " + ", ".join(self._roles)
            self._problem(option.value_span, f"unknown agent `{option.value}`: {hint}")
        elif option.key in {"file", "files"}:
            for glob in _globs(option):
                if leaves_workspace(glob):
                    self._problem(option.value_span, f"`{glob}` lies outside the workspace")

    def _verb(self, text: str, span: Span) -> None:
        assert self._check_step
        if error := self._check_step(text):
            start = span.start + error.start
            where = Span(start, max(span.start + error.end, start + 1))
            self._problem(where if error.end else span, error.reason)

    # -- the plan ---------------------------------------------------------------------------

    def _plan(self, nodes: tuple[TaskNode, ...]) -> Plan:
        """The tasks with what they depend on; tells the problems of their graph."""
        groups = {
            parent for parent in self._parents if parent is not None and not nodes[parent].steps
        }
        waits = self._dependencies(nodes, groups)
        leaves = [index for index in range(len(nodes)) if index not in groups]
        tasks = tuple(_task(nodes[index], tuple(waits[index])) for index in leaves)
        for fault in faults(tasks):
            index = leaves[fault.index]
            if fault.kind == "cycle":
                where = waits[index].get(fault.reference, nodes[index].id_span)
                self._problem(where, fault.message)
        for index in leaves:
            node = nodes[index]
            if not node.steps and self._check_step:
                self._verb(node.title, node.title_span)
            elif node.steps and node.marker and node.marker.state is not node.state:
                span = Span(node.marker.at, node.marker.at + 1)
                self._problem(span, "the steps say otherwise, and they count", "warning")
        return Plan(self._title, tasks)

    def _dependencies(self, nodes: tuple[TaskNode, ...], groups: set[int]) -> list[dict[str, Span]]:
        """What each task waits for, with the place that says so."""
        members = self._members(nodes, groups)
        of_milestone = {
            milestone.name: self._resolved(milestone.options, members)
            for milestone in self._milestones
        }
        given: list[dict[str, Span]] = []
        waits: list[dict[str, Span]] = []
        for index, node in enumerate(nodes):
            parent = self._parents[index]
            above = of_milestone.get(node.milestone, {}) if parent is None else given[parent]
            own = self._resolved(node.options, members)
            for step in node.steps:
                if step.options:
                    from_step = self._resolved(step.options, members)
                    from_step.pop(node.id, None)  # its steps are done in order anyway
                    own |= from_step
            inherited = {name: span for name, span in above.items() if name != node.id}
            given.append(inherited | own)
            waits.append(dict(given[-1]))
            if parent is not None and index not in groups:
                waits[parent][node.id] = node.id_span
        return waits

    def _members(self, nodes: tuple[TaskNode, ...], groups: set[int]) -> dict[int | str, list[str]]:
        """The tasks in each milestone, by its name, and in each group, by its index."""
        members: dict[int | str, list[str]] = {index: [] for index in groups}
        for index, node in enumerate(nodes):
            if index not in groups:
                members.setdefault(node.milestone, []).append(node.id)
                above = self._parents[index]
                while above is not None:
                    if above in groups:
                        members[above].append(node.id)
                    above = self._parents[above]
        return members

    def _resolved(
        self, options: Iterable[Option], members: Mapping[int | str, list[str]]
    ) -> dict[str, Span]:
        """The ids of tasks that ``depends`` options name."""
        found: dict[str, Span] = {}
        for option in options:
            if option.key != "depends":
                continue
            for word in _WORD.finditer(self._text, option.value_span.start, option.value_span.end):
                name, span = word[0], Span(*word.span())
                owner = self._owner.get(name)
                if owner is None:
                    if name.lower() not in {"-", "none", "and"}:
                        self._problem(span, f"there is no {name}{self._suggestion(name)}")
                elif isinstance(owner, int) and owner not in members:
                    found[self._tasks[owner].id] = span
                else:
                    found |= dict.fromkeys(members.get(owner, ()), span)
        return found

    def _suggestion(self, name: str) -> str:
        if len(self._owner) > 1000:  # looking for the nearest of very many ids takes too long
            return ""
        close = difflib.get_close_matches(name, self._owner, n=1)
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
    own = [glob for option in node.options for glob in _globs(option)]
    if own:
        return tuple(dict.fromkeys(own))
    of_steps = [[glob for option in step.options for glob in _globs(option)] for step in node.steps]
    if not all(of_steps):
        return ()
    return tuple(dict.fromkeys(glob for globs in of_steps for glob in globs))


def _globs(option: Option) -> list[str]:
    if option.key not in {"file", "files"} or option.value.lower() in {"", "-", "none"}:
        return []
    return [double or single or bare for double, single, bare in FILE.findall(option.value)]
