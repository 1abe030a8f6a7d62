"""What is wrong with a plan file, at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.mission.plan_document import Span
from orchestrator_core.primitives.text_lines import TextLines
from orchestrator_core.records import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from orchestrator_core.errors import TaskTextError


class PlanProblems:
    """The problems of one text, as they are found. For one thread.

    Args:
        text: the plan file.
        check_step: says what is wrong with a step's text, or None; without it any text will do.
    """

    def __init__(self, text: str, check_step: Callable[[str], TaskTextError | None] | None) -> None:
        self._lines = TextLines(text)
        self._check_step = check_step
        self._found: list[Problem] = []

    def add(
        self, span: Span, message: str, severity: Literal["error", "warning"] = "error"
    ) -> None:
        """Tell a problem."""
        line, column = self._lines.line_and_column(span.start)
        end_line, end_column = self._lines.line_and_column(span.end)
        self._found.append(
            Problem(line + 1, column + 1, message, end_line + 1, end_column + 1, severity)
        )

    def check(self, text: str, span: Span) -> None:
        """Tell what is wrong with the text of a step, if something is."""
        if self._check_step is not None and (error := self._check_step(text)):
            start = span.start + error.start
            where = Span(start, max(span.start + error.end, start + 1))
            self.add(where if error.end else span, error.reason)

    def in_order(self) -> tuple[Problem, ...]:
        """All of them, in the order of the text."""
        return tuple(sorted(self._found, key=lambda each: (each.line, each.column)))
