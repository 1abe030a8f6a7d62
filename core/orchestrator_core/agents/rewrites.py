"""Reading ``rewrite``: from one syntax-tree pattern to another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator_core.agents.halves import (
    ARROW,
    CONNECTIVE_AT_START,
    halves,
    one_arrow,
    refuse_joined,
)
from orchestrator_core.agents.misread import Misread, nearest
from orchestrator_core.agents.quoting import quoted_end, unquote
from orchestrator_core.agents.scope import language_named, split_scope
from orchestrator_core.agents.verbs import LANGUAGES, Rewrite

if TYPE_CHECKING:
    from orchestrator_core.agents.quoting import Piece

_LANG_TAIL = re.compile(r"\s+(?:lang|language)\s*[:=]?\s*([\w+#]+)$", re.IGNORECASE)
_LANG_HEAD = re.compile(r"([A-Za-z][\w+#]*):\s+(?=\S)")


def read_rewrite(piece: Piece) -> Rewrite:
    """``rewrite [LANGUAGE:] PATTERN -> PATTERN [lang LANGUAGE]``."""
    language: str | None = None
    if (head := _LANG_HEAD.match(piece.mask)) and ARROW.search(piece.mask):
        language = language_named(head[1])
        if language is None and (close := nearest(head[1], _language_names())):
            raise Misread(piece.cut(0, head.end(1)), f"`{head[1]}` is not a language.", close)
        if language:
            piece = piece.cut(head.end())
    piece, language = _trailing_language(piece, language)
    scoped = split_scope(piece)
    if scoped and (ARROW.search(scoped[0].mask) or _quoted_pair(scoped[0])):
        piece, globs = scoped
        piece, language = _trailing_language(piece, language)
    else:
        globs = ()
    pair = _quoted_pair(piece)
    if pair is None:
        one_arrow(piece, "Put the patterns in back-quotes.")
        pair = halves(
            piece,
            ARROW,
            hint="Write `rewrite PATTERN -> PATTERN`, with $A for any node and $$$A for several.",
        )
    before, after = pair
    pattern, replacement = _code(before), _code(after)
    if not pattern.strip():
        raise Misread(before, "There is no pattern to look for.")
    return Rewrite(pattern, replacement, language, globs)


def _quoted_pair(piece: Piece) -> tuple[Piece, Piece] | None:
    """Two quoted patterns with an arrow or a word between them."""
    end = quoted_end(piece.text, 0) if piece.text else None
    if not end:
        return None
    rest = piece.cut(end)
    between = ARROW.match(rest.mask) or CONNECTIVE_AT_START.match(rest.mask)
    if between is None:
        return None
    after = rest.cut(between.end()).strip()
    arrow = ARROW.match(rest.mask)
    return (piece.cut(0, end), after) if arrow or after.is_quoted else None


def _trailing_language(piece: Piece, language: str | None) -> tuple[Piece, str | None]:
    found = _LANG_TAIL.search(piece.mask)
    if not found:
        return piece, language
    named = language_named(found[1])
    where = piece.cut(found.start(1), found.end(1))
    if named is None:
        hint = nearest(found[1], _language_names()) or "Known are " + ", ".join(LANGUAGES) + "."
        raise Misread(where, f"`{found[1]}` is not a language.", hint)
    if language not in {None, named}:
        raise Misread(where, f"The statement already names the language {language}.")
    return piece.cut(0, found.start()), named


def _language_names() -> list[str]:
    return [name for language, others in LANGUAGES.items() for name in (language, *others)]


def _code(piece: Piece) -> str:
    if not piece.is_quoted:
        if not piece.text:
            raise Misread(piece, "A pattern is missing.", 'For an empty one write `""`.')
        refuse_joined(piece)
        return piece.text
    content = unquote(piece.text)
    ambiguous = piece.text[0] != "`" and content and not re.search(r"[$\\]", piece.text)
    if ambiguous:
        raise Misread(
            piece,
            "This could be a string of the program or a pattern in quotes.",
            f"Write `` `{piece.text}` `` for the string, `` `{content}` `` for the pattern.",
        )
    return content
