"""Reading ``replace``: from a text or a regular expression to a text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator_core.agents.halves import (
    ARROW,
    CONNECTIVE_AT_START,
    halves,
    is_one_word,
    one_arrow,
    refuse_joined,
    without_full_stop,
)
from orchestrator_core.agents.misread import Misread
from orchestrator_core.agents.quoting import quoted_end, regex_end, unescape, unquote
from orchestrator_core.agents.scope import split_scope
from orchestrator_core.agents.verbs import Replace

if TYPE_CHECKING:
    from orchestrator_core.agents.quoting import Piece

_LEAD = re.compile(
    r"(?:(?:the|all|every|each|any|our|occurrences?|uses?|usages?|instances?|matches|of|word"
    r"|words|text|string|strings|literal|name)\s+)*",
    re.IGNORECASE,
)
_REGEX_WORD = re.compile(r"(?:regex|regexp|pattern|regular\s+expression)\s+", re.IGNORECASE)
_CONNECTIVE = re.compile(r"\s+(?:with|by|to|for|into)\s+", re.IGNORECASE)
_REGEX_FLAGS = re.compile(r"([A-Za-z]*)")
_TEXT_FLAGS = re.compile(r"(?:/([A-Za-z]*))?")
_LOOKS_LIKE_REGEX = re.compile(r"\\[A-Za-z().*+?|\[\]{}^$]|\.[*+]|^\^|\$$|\[[^\]]+\][*+?]|\(\?")
_WORD_LIKE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
# Single words that describe a thing rather than being the text to change.
_DESCRIPTIONS = frozenset(
    """it this that these those them everything all nothing none something tabs tab spaces space
    quotes whitespace newlines indentation comments names camelcase snake_case pascalcase
    kebab-case lowercase uppercase""".split()  # noqa: SIM905 (words read better in a row)
)
_DOUBTFUL_END = re.compile(r"\s(?:everywhere|please|in\s+[\w.*/-]+)[.!]?$", re.IGNORECASE)


def read_replace(piece: Piece) -> Replace:
    """``replace /regex/flags -> text``, ``replace "text" -> "text"``, ``replace foo with bar``."""
    lead = _LEAD.match(piece.mask)
    source = piece.cut(lead.end() if lead else 0)
    regex_word = _REGEX_WORD.match(source.mask)
    if regex_word:
        source = source.cut(regex_word.end())
    if source.text.startswith("/") and (end := regex_end(source.text, 0)):
        pattern, is_regex = source.text[1 : end - 1].replace(r"\/", "/"), True
    elif source.text and (end := quoted_end(source.text, 0)):
        pattern, is_regex = unquote(source.text[:end]), bool(regex_word)
    elif regex_word:
        raise Misread(source, "The regular expression has no slashes.", "Write `/…/`.")
    elif source.text[:1] in {"/", '"', "`"}:
        raise Misread(
            source.cut(0, 1),
            f"The closing `{source.text[0]}` is missing.",
            "Put the text in quotes if it begins so.",
        )
    else:
        return _replace_bare(source)
    if not pattern:
        raise Misread(source.cut(0, end), "There is nothing to look for.")
    flags = (_REGEX_FLAGS if source.text[0] == "/" else _TEXT_FLAGS).match(source.mask, end)
    assert flags
    found = _flags(source, flags)
    rest = source.cut(flags.end())
    arrow = ARROW.match(rest.mask)
    connective = arrow or CONNECTIVE_AT_START.match(rest.mask)
    if connective is None:
        raise Misread(
            rest.strip() if rest.text.strip() else rest.cut(0, 0),
            "After what to look for, an arrow is expected.",
            'Write `replace /regex/ -> text` or `replace "text" -> "text"`.',
        )
    target = rest.cut(connective.end())
    replacement, globs = _target(target, plain=not arrow, groups=is_regex)
    return Replace(
        pattern,
        replacement,
        literal=not is_regex,
        word="w" in found,
        ignore_case="i" in found,
        multiline="m" in found,
        globs=globs,
    )


def _flags(source: Piece, flags: re.Match[str]) -> str:
    given = (flags[1] or "").lower()
    unknown = [flag for flag in given if flag not in "iwmg"]
    if unknown:
        raise Misread(
            source.cut(flags.start(1), flags.end(1)),
            f"`{unknown[0]}` is not a flag.",
            "Flags are i (any case), w (whole words), m (over lines).",
        )
    return given


def _replace_bare(source: Piece) -> Replace:
    """``replace foo with bar``: names are whole words; with an arrow any plain text goes."""
    plain = not one_arrow(source, "Put the texts in quotes.")
    before, after = halves(
        source,
        ARROW,
        _CONNECTIVE,
        hint='Write `replace /regex/ -> text`, `replace "text" -> "text"` or `replace A with B`.',
    )
    text = before.text
    if not text:
        raise Misread(before, "There is nothing to look for.")
    if plain and not is_one_word(before):
        raise Misread(
            before,
            "It is not clear which text to look for.",
            "Put it in quotes, or between slashes if it is a regular expression.",
        )
    if plain and text.lower() in _DESCRIPTIONS:
        raise Misread(
            before, f"`{text}` could mean the word or a thing.", "Put it in quotes for the word."
        )
    if _LOOKS_LIKE_REGEX.search(text):
        raise Misread(
            before,
            f"`{text}` could be plain text or a regular expression.",
            "Put it in quotes for the text, between slashes for the expression.",
        )
    if before.mask != text:
        raise Misread(before, "Only a part of it is in quotes.", "Put all of it in quotes.")
    replacement, globs = _target(after, plain=plain, groups=False)
    word = _WORD_LIKE.fullmatch(text) is not None
    return Replace(text, replacement, literal=True, word=word, globs=globs)


def _target(piece: Piece, *, plain: bool, groups: bool) -> tuple[str, tuple[str, ...]]:
    """The replacement and the scope.

    Args:
        piece: what follows the arrow or the connective.
        plain: whether the statement is in plain English, where only one word or a quoted text
            is clear; after an arrow the text reaches to the scope.
        groups: whether the text belongs to a regular expression.
    """
    whole = piece.strip()
    target, globs = (whole, ()) if whole.is_quoted else split_scope(whole) or (whole, ())
    target = without_full_stop(target) if plain else target
    if target.is_quoted:
        return unquote(target.text, groups=groups), globs
    if not target.text:
        raise Misread(
            whole if whole.text else piece, "The new text is missing.", 'For none write `""`.'
        )
    if plain:
        if not is_one_word(target) or target.text.lower() in _DESCRIPTIONS:
            raise Misread(target, "It is not clear what the new text is.", "Put it in quotes.")
        return target.text, globs
    refuse_joined(target)
    doubtful = _DOUBTFUL_END.search(target.mask)
    if target.text[0] in "\"'" and target.mask[0] != "\0":
        raise Misread(
            target.cut(0, 1), "This quote is not closed.", "Put the whole text in back-quotes."
        )
    if doubtful:
        raise Misread(
            target.cut(doubtful.start()).strip(),
            "This could belong to the text or say where.",
            "Put the text in quotes.",
        )
    return (unescape(target.text, groups=True) if groups else target.text), globs
