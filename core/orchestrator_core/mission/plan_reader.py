"""From the lines of a plan file to what stands in it, and the problems.

What the lines mean is told in :mod:`.plan_language`.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from msgspec import structs

from orchestrator_core.mission.plan import leaves_workspace
from orchestrator_core.mission.plan_document import (
    MilestoneNode,
    PlanDocument,
    Span,
    StepNode,
    TaskNode,
)
from orchestrator_core.mission.plan_lines import OPTIONS, OpenBlock, read_lines
from orchestrator_core.mission.plan_problems import PlanProblems
from orchestrator_core.mission.plan_tasks import Outline, globs_of, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.errors import TaskTextError
    from orchestrator_core.mission.plan_document import Option
    from orchestrator_core.mission.plan_lines import Line

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
        self._problems = PlanProblems(text, check_step)
        self._roles = roles
        self._title = ""
        self._milestones: list[MilestoneNode] = []
        self._tasks: list[TaskNode] = []
        self._steps: list[list[StepNode]] = []
        self._parents: list[int | None] = []
        self._open: list[int] = []  # the tasks whose sections are open, outermost first
        self._milestone = ""
        self._owners: dict[str, int | str] = {}

    def read(self) -> PlanDocument:
        """Read the text, once."""
        titled = False
        for line in read_lines(self._text):
            if isinstance(line, OpenBlock):
                self._problems.add(
                    line.span, "this is not closed: all below it is skipped", "warning"
                )
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
        milestones = tuple(self._milestones)
        outline = Outline(self._text, self._title, milestones, nodes, self._parents, self._owners)
        plan = plan_of(outline, self._problems)
        if not nodes:
            self._problems.add(Span(0, 0), "there is no task: write `### T1: what to do`")
        return PlanDocument(
            self._text,
            self._title,
            milestones,
            nodes,
            plan,
            self._problems.in_order(),
        )

    # -- the outline ------------------------------------------------------------------------

    def _mission(self, line: Line, titled: bool) -> bool:
        if titled:
            return True
        self._title = (
            line.title[found.end() :] if (found := _MISSION.match(line.title)) else line.title
        )
        if not self._title:
            self._problems.add(line.span, "the mission has no title", "warning")
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
            self._problems.add(
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
        if line.title:
            self._problems.check(line.title, line.title_span)

    def _known(self, name: str, span: Span, owner: int | str) -> None:
        if name in self._owners:
            self._problems.add(span, f"the id {name} is used twice")
        else:
            self._owners[name] = owner

    # -- problems ---------------------------------------------------------------------------

    def _check_line(self, line: Line) -> None:
        if line.marker_span and not line.marker:
            self._problems.add(
                line.marker_span,
                "this is no marker: use [ ] pending, [/] running, [x] done, [!] failed"
                " or [-] cancelled",
            )
        if not line.title and (line.has_colon or not line.id):
            self._problems.add(
                line.span, "the title is missing" if line.level else "the step is empty"
            )
        for option in line.strays:
            close = difflib.get_close_matches(option.key, OPTIONS, n=1, cutoff=0.7)
            if option.key in OPTIONS:
                self._problems.add(
                    option.key_span, f"`{option.key}` must stand behind the title and its bars"
                )
            elif close:
                self._problems.add(
                    option.key_span, f"unknown option `{option.key}`: did you mean `{close[0]}`?"
                )
            else:
                self._problems.add(option.key_span, f"unknown option `{option.key}`", "warning")
        for option in line.options:
            self._check_option(option)

    def _check_option(self, option: Option) -> None:
        if option.key == "agent" and option.value.lower() not in self._roles:
            close = difflib.get_close_matches(option.value.lower(), self._roles, n=1)
            hint = f"did you mean `{close[0]}`?" if close else "known: " + ", ".join(self._roles)
            self._problems.add(option.value_span, f"unknown agent `{option.value}`: {hint}")
        elif option.key in {"file", "files"}:
            for glob in globs_of(option):
                if leaves_workspace(glob):
                    self._problems.add(option.value_span, f"`{glob}` lies outside the workspace")
