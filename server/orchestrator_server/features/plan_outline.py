"""The outline of a plan file: its symbols and its folds."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lsprotocol import types as lsp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import TypeIs

    from orchestrator_core.mission.plan_document import MilestoneNode, PlanDocument, Span, TaskNode
    from orchestrator_server.text_document import LineIndex

Node: TypeAlias = "TaskNode | MilestoneNode"
_MILESTONE_LEVEL = 2


def sections(document: PlanDocument) -> Iterator[tuple[Node, int, int]]:
    """Each milestone and task with its level and the offset at which its section ends.

    A section ends where the next heading as deep, or less deep, begins.
    """
    nodes = sorted((*document.milestones, *document.tasks), key=lambda node: node.line)
    open_at: list[int] = []
    ends = [len(document.text)] * len(nodes)
    for index, node in enumerate(nodes):
        while open_at and level_of(nodes[open_at[-1]]) >= level_of(node):
            ends[open_at.pop()] = node.span.start
        open_at.append(index)
    for node, end in zip(nodes, ends, strict=True):
        yield node, level_of(node), end


def level_of(node: Node) -> int:
    """How deep a heading is: the number of ``#``."""
    return node.level if is_task(node) else _MILESTONE_LEVEL


def symbols(document: PlanDocument, lines: LineIndex) -> list[lsp.DocumentSymbol]:
    """Milestones, and in them tasks, and in them their steps."""
    roots: list[lsp.DocumentSymbol] = []
    above: list[tuple[int, lsp.DocumentSymbol]] = []
    for node, level, end in sections(document):
        symbol = lsp.DocumentSymbol(
            name=f"{node.id}: {node.title}" if node.title != node.id else node.id,
            detail=str(node.state) if is_task(node) else None,
            kind=lsp.SymbolKind.Function if is_task(node) else lsp.SymbolKind.Module,
            range=lines.range(node.span.start, _without_blank(document.text, end)),
            selection_range=_range(lines, node.id_span),
            children=_steps(node, lines) if is_task(node) else [],
        )
        while above and above[-1][0] >= level:
            above.pop()
        siblings = above[-1][1].children if above else roots
        assert isinstance(siblings, list)
        siblings.append(symbol)
        above.append((level, symbol))
    return roots


def folds(document: PlanDocument, lines: LineIndex) -> list[lsp.FoldingRange]:
    """Each section, from its heading to its last line with something on it."""
    found: list[lsp.FoldingRange] = []
    for node, _, end in sections(document):
        first = lines.line_and_column(node.span.start)[0]
        last = lines.line_and_column(_without_blank(document.text, end))[0]
        if last > first:
            found.append(lsp.FoldingRange(first, last, kind=lsp.FoldingRangeKind.Region))
    return found


def is_task(node: Node) -> TypeIs[TaskNode]:
    """Whether it is a task's heading, and no milestone's."""
    return hasattr(node, "steps")


def _steps(node: TaskNode, lines: LineIndex) -> list[lsp.DocumentSymbol]:
    return [
        lsp.DocumentSymbol(
            name=f"{step.id}: {step.text}" if step.id else step.text or "(empty)",
            detail=str(step.state),
            kind=lsp.SymbolKind.Event,
            range=_range(lines, step.span),
            selection_range=_range(lines, step.text_span),
        )
        for step in node.steps
    ]


def _range(lines: LineIndex, span: Span) -> lsp.Range:
    return lines.range(span.start, span.end)


def _without_blank(text: str, end: int) -> int:
    """The end of the last line before ``end`` that is not blank."""
    while end and text[end - 1].isspace():
        end -= 1
    return end
