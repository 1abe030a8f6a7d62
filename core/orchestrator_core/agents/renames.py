"""Reading ``rename``: from one name to another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator_core.agents.halves import ARROW, halves, without_full_stop
from orchestrator_core.agents.misread import Misread
from orchestrator_core.agents.quoting import unquote
from orchestrator_core.agents.scope import split_scope
from orchestrator_core.agents.verbs import Rename, is_name

if TYPE_CHECKING:
    from orchestrator_core.agents.quoting import Piece

_KIND = (
    r"(?:functions?|methods?|class(?:es)?|variables?|attributes?|attr|parameters?|arguments?"
    r"|constants?|symbols?|property|properties|fields?|types?|interfaces?|structs?|enums?|traits?"
    r"|modules?|names?|identifiers?|calls?|def)"
)
_LEAD = re.compile(
    rf"(?:(?:the|all|every|each|our|my|name|uses?|usages?|occurrences?|references?|of|to|{_KIND})"
    r"\s+)*",
    re.IGNORECASE,
)
_TRAIL = re.compile(rf"(?:\s+{_KIND}|\s*\(\s*\))$", re.IGNORECASE)
_WORD = re.compile(r"\s+(?:to|into|as|with)\s+", re.IGNORECASE)
_FILE_NAME = re.compile(
    r"\.(?:py|pyi|js|jsx|mjs|ts|tsx|rs|go|java|c|h|cc|cpp|hpp|cs|rb|php|sh|json|ya?ml|toml|html?"
    r"|css|md|txt)$"
)


def read_rename(piece: Piece) -> Rename:
    """``rename [function] A -> B``, ``rename class A to B``."""
    _refuse_other_renames(piece)
    before, after = halves(piece, ARROW, _WORD, hint="Write `rename OLD -> NEW`.")
    after, globs = split_scope(after) or (after, ())
    old, new = _name(before), _name(after)
    if old == new:
        raise Misread(after, "The new name is the old one.")
    return Rename(old, new, globs)


def _refuse_other_renames(piece: Piece) -> None:
    if found := re.match(r"(?:the\s+)?(?:files?|folders?|directory|module\s+file)\s", piece.mask):
        raise Misread(
            piece.cut(0, found.end()).strip(), "`rename` changes names in code, not files."
        )


def _name(piece: Piece) -> str:
    piece = without_full_stop(piece.strip())
    if not piece.is_quoted:
        found = _LEAD.match(piece.mask)
        if found and found.end() < len(piece.text):
            piece = piece.cut(found.end())
        while trailing := _TRAIL.search(piece.mask):
            piece = piece.cut(0, trailing.start())
    name = unquote(piece.text) if piece.is_quoted else piece.text
    name = name.removesuffix("()")
    if _FILE_NAME.search(name):
        raise Misread(
            piece,
            f"`{name}` looks like a file, and `rename` changes names in code.",
            "Without the ending it would be read as a name.",
        )
    if not is_name(name):
        raise Misread(
            piece if piece.text else piece.cut(0, 0),
            f"`{name}` is not a name." if name else "A name is missing.",
            "Write `rename OLD -> NEW`, where both are identifiers, or dotted ones.",
        )
    return name
