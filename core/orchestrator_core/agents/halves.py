"""What is before and what after, in the verbs that make one of the other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator_core.agents import quoting
from orchestrator_core.agents.misread import Misread

if TYPE_CHECKING:
    from orchestrator_core.agents.quoting import Piece

ARROW = re.compile(rf"\s*{quoting.ARROW}\s*")
CONNECTIVE_AT_START = re.compile(r"\s*(?:with|by|to|for|into|as)\s+", re.IGNORECASE)
_JOINED = re.compile(
    r"\s+and\s+(?:then\s+)?(?:rename|replace|rewrite|fix|format|reformat|run|check|lint|sort"
    r"|remove)(?=\s|$)",
    re.IGNORECASE,
)


def halves(piece: Piece, *connectives: re.Pattern[str], hint: str) -> tuple[Piece, Piece]:
    """What is before and after the first connective of the first kind that occurs.

    Raises:
        Misread: there is none; the hint says what to write.
    """
    padded = piece.mask + " "  # so that a connective at the end is found, too
    for connective in connectives:
        if found := connective.search(padded):
            return (
                piece.cut(0, found.start()).strip(),
                piece.cut(min(found.end(), len(piece.text))).strip(),
            )
    raise Misread(piece, "It does not say into what.", hint)


def one_arrow(piece: Piece, hint: str) -> bool:
    """Whether there is an arrow, and only one.

    Raises:
        Misread: there are two; the hint says what to do about it.
    """
    arrows = list(ARROW.finditer(piece.mask))
    if len(arrows) > 1:
        raise Misread(
            piece.cut(arrows[1].start(), arrows[1].end()).strip(),
            "There are two arrows, and either could be the one.",
            hint,
        )
    return bool(arrows)


def refuse_joined(piece: Piece) -> None:
    """Refuse ``… and fix``: it may be text, or the next statement."""
    if found := _JOINED.search(piece.mask):
        raise Misread(
            piece.cut(found.start(), found.end()).strip(),
            "This could be the next step or part of the text.",
            "Write `then` for the next step, or put the text in quotes.",
            final=True,
        )


def without_full_stop(piece: Piece) -> Piece:
    """The piece without the end of its sentence."""
    return piece.cut(0, -1) if re.search(r"[\w)\0][.!]$", piece.mask) else piece


def is_one_word(piece: Piece) -> bool:
    """Whether nothing but quotes keeps spaces in it."""
    return not re.search(r"\s", piece.mask)
