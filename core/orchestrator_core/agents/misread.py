"""What is said when a task's text is not understood: where, why, and what would be."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from orchestrator_core.agents.verbs import VERB_HELP
from orchestrator_core.errors import TaskTextError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator_core.agents.quoting import Piece

_WIDTH = 96


class Misread(Exception):
    """A piece of text that is not understood; the grammar makes a TaskTextError of it.

    Attributes:
        piece: the offending part.
        reason: one sentence.
        hint: what to write instead.
        final: whether reading the piece as several statements would be a guess.
    """

    def __init__(self, piece: Piece, reason: str, hint: str = "", *, final: bool = False) -> None:
        self.piece = piece
        self.reason = reason
        self.hint = hint
        self.final = final
        super().__init__(reason)


def explained(text: str, problem: Misread) -> TaskTextError:
    """The error for a person: reason, the place with a caret, a hint, the verbs, the way on."""
    start, end = problem.piece.start, problem.piece.end
    parts = [problem.reason]
    if text.strip():
        parts.append(_quotation(text, start, end))
    if problem.hint:
        parts.append(problem.hint)
    parts.append(usage())
    reason = " ".join(filter(None, (problem.reason, problem.hint)))
    return TaskTextError("\n".join(parts), reason=reason, start=start, end=end)


def usage() -> str:
    """The verbs with an example each, and how to get a model for everything else."""
    width = max(map(len, VERB_HELP))
    opening = (
        "The built-in planner knows these verbs, each with `in GLOB…`, joined by `then`, new lines"
        " or a numbered list:"
    )
    lines = [opening]
    lines += [f"  {name:<{width}}  {example}" for name, example in VERB_HELP.items()]
    lines.append(
        "A task in plain words needs a model: name one in `orchestrator.model.name`, and its key in"
        " the environment (`opencode-orchestrator doctor` shows what is found); a backend is chosen"
        " with `--backend NAME` or in the setting `orchestrator.backend`."
    )
    return "\n".join(lines)


def nearest(word: str, known: Iterable[str]) -> str:
    """``Did you mean …?`` for a near miss, or nothing."""
    known, word = list(known), word.lower()
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    close = close or [name for name in known if sorted(name) == sorted(word)]
    return f"Did you mean `{close[0]}`?" if close else ""


def _quotation(text: str, start: int, end: int) -> str:
    """The line of the offending part, cut to a readable width, with carets below that part."""
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    start, end = min(start, line_end), min(max(end, start + 1), max(line_end, start + 1))
    left = max(line_start, start - _WIDTH // 2)
    right = min(line_end, left + _WIDTH)
    shown = "".join(char if char.isprintable() else " " for char in text[left:right])
    prefix = "…" if left > line_start else ""
    suffix = "…" if right < line_end else ""
    carets = " " * (len(prefix) + start - left) + "^" * max(1, min(end, right) - start)
    return f"  {prefix}{shown}{suffix}\n  {carets}"
