"""The ids of a plan file: where each is given, and where it is named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.errors import RequestError
from orchestrator_core.mission.plan_document import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.mission.plan_document import Option, PlanDocument

_WORD = re.compile(r"[^\s,;]+")
_ID = re.compile(r"(?=[A-Za-z_-]*\d)[A-Za-z][\w-]*(?:\.[\w-]+)*", re.ASCII)
_STEP_ID = re.compile(r"[A-Z]{1,3}\d+(?:\.\d+)*", re.ASCII)


class Named(Struct, frozen=True, gc=False):
    """An id at a place of the text."""

    id: str
    span: Span
    of_step: bool = False


class PlanIds:
    """All ids of a document. Read-only; built in one pass.

    Attributes:
        given: where each id is given, the first place where it is given twice.
        named: where ids are named in ``depends``.
    """

    def __init__(self, document: PlanDocument) -> None:
        self.given: dict[str, Named] = {}
        self.named: list[Named] = []
        for milestone in document.milestones:
            self._give(milestone.id, milestone.id_span)
            self._name(document.text, milestone.options)
        for task in document.tasks:
            self._give(task.id, task.id_span)
            self._name(document.text, task.options)
            for step in task.steps:
                if step.id:
                    self._give(step.id, step.id_span, of_step=True)
                self._name(document.text, step.options)

    def at(self, offset: int) -> Named | None:
        """The id that is given or named at an offset."""
        for named in (*self.given.values(), *self.named):
            if named.span.start <= offset <= named.span.end:
                return named
        return None

    def places(self, name: str, *, with_given: bool = True) -> list[Span]:
        """Where an id stands, in the order of the text."""
        spans = [named.span for named in self.named if named.id == name]
        if with_given and name in self.given:
            spans.append(self.given[name].span)
        return sorted(spans, key=lambda span: span.start)

    def check_rename(self, old: str, new: str) -> None:
        """Whether an id can take another name.

        Raises:
            RequestError: it is given nowhere, or the name is no id or taken.
        """
        given = self.given.get(old)
        if given is None:
            raise RequestError(f"{old} is given nowhere in this plan")
        if not (_STEP_ID if given.of_step else _ID).fullmatch(new):
            form = "like S1.2" if given.of_step else "letters, then a number somewhere, like T1.2"
            raise RequestError(f"{new!r} is no id: it has to be {form}")
        if new != old and new in self.given:
            raise RequestError(f"the id {new} is taken")

    def _give(self, name: str, span: Span, *, of_step: bool = False) -> None:
        self.given.setdefault(name, Named(name, span, of_step))

    def _name(self, text: str, options: Iterable[Option]) -> None:
        for option in options:
            if option.key == "depends":
                span = option.value_span
                for word in _WORD.finditer(text, span.start, span.end):
                    self.named.append(Named(word[0], Span(*word.span())))
