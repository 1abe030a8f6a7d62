"""Reading ``rename``, ``replace`` and ``rewrite``: the verbs with a before and an after."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator_core.agents.misread import Misread, nearest
from orchestrator_core.agents.quoting import ARROW, quoted_end, regex_end, unescape, unquote
from orchestrator_core.agents.scope import language_named, split_scope
from orchestrator_core.agents.verbs import LANGUAGES, Rename, Replace, Rewrite, is_name

if TYPE_CHECKING:
    from orchestrator_core.agents.quoting import Piece
    from orchestrator_core.agents.verbs import Verb

_ARROW = re.compile(rf"\s*{ARROW}\s*")
_KIND = (
    r"(?:functions?|methods?|class(?:es)?|variables?|attributes?|attr|parameters?|arguments?"
    r"|constants?|symbols?|property|properties|fields?|types?|interfaces?|structs?|enums?|traits?"
    r"|modules?|names?|identifiers?|calls?|def)"
)
_RENAME_LEAD = re.compile(
    rf"(?:(?:the|all|every|each|our|my|name|uses?|usages?|occurrences?|references?|of|to|{_KIND})"
    r"\s+)*",
    re.IGNORECASE,
)
_RENAME_TRAIL = re.compile(rf"(?:\s+{_KIND}|\s*\(\s*\))$", re.IGNORECASE)
_RENAME_WORD = re.compile(r"\s+(?:to|into|as|with)\s+", re.IGNORECASE)
_FILE_NAME = re.compile(
    r"\.(?:py|pyi|js|jsx|mjs|ts|tsx|rs|go|java|c|h|cc|cpp|hpp|cs|rb|php|sh|json|ya?ml|toml|html?"
    r"|css|md|txt)$"
)
_REPLACE_LEAD = re.compile(
    r"(?:(?:the|all|every|each|any|our|occurrences?|uses?|usages?|instances?|matches|of|word"
    r"|words|text|string|strings|literal|name)\s+)*",
    re.IGNORECASE,
)
_REGEX_WORD = re.compile(r"(?:regex|regexp|pattern|regular\s+expression)\s+", re.IGNORECASE)
_CONNECTIVE = re.compile(r"\s+(?:with|by|to|for|into)\s+", re.IGNORECASE)
_CONNECTIVE_AT_START = re.compile(r"\s*(?:with|by|to|for|into|as)\s+", re.IGNORECASE)
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
_JOINED = re.compile(
    r"\s+and\s+(?:then\s+)?(?:rename|replace|rewrite|fix|format|reformat|run|check|lint|sort"
    r"|remove)(?=\s|$)",
    re.IGNORECASE,
)
_LANG_TAIL = re.compile(r"\s+(?:lang|language)\s*[:=]?\s*([\w+#]+)$", re.IGNORECASE)
_LANG_HEAD = re.compile(r"([A-Za-z][\w+#]*):\s+(?=\S)")
_DOUBTFUL_END = re.compile(r"\s(?:everywhere|please|in\s+[\w.*/-]+)[.!]?$", re.IGNORECASE)


def read_rename(piece: Piece) -> Verb:
    """``rename [function] A -> B``, ``rename class A to B``."""
    _refuse_other_renames(piece)
    before, after = _halves(piece, _ARROW, _RENAME_WORD) or _no_halves(
        piece, "Write `rename OLD -> NEW`."
    )
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
    piece = _without_full_stop(piece.strip())
    if not piece.is_quoted:
        found = _RENAME_LEAD.match(piece.mask)
        if found and found.end() < len(piece.text):
            piece = piece.cut(found.end())
        while trailing := _RENAME_TRAIL.search(piece.mask):
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


def read_replace(piece: Piece) -> Verb:
    """``replace /regex/flags -> text``, ``replace "text" -> "text"``, ``replace foo with bar``."""
    lead = _REPLACE_LEAD.match(piece.mask)
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
    arrow = _ARROW.match(rest.mask)
    connective = arrow or _CONNECTIVE_AT_START.match(rest.mask)
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


def _replace_bare(source: Piece) -> Verb:
    """``replace foo with bar``: names are whole words; with an arrow any plain text goes."""
    arrows = list(_ARROW.finditer(source.mask))
    if len(arrows) > 1:
        raise Misread(
            source.cut(arrows[1].start(), arrows[1].end()).strip(),
            "There are two arrows, and either could be the one.",
            "Put the texts in quotes.",
        )
    before, after = _halves(source, _ARROW, _CONNECTIVE) or _no_halves(
        source, 'Write `replace /regex/ -> text`, `replace "text" -> "text"` or `replace A with B`.'
    )
    plain = not arrows
    text = before.text
    if not text:
        raise Misread(before, "There is nothing to look for.")
    if plain and not _is_one_word(before):
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
    target = _without_full_stop(target) if plain else target
    if target.is_quoted:
        return unquote(target.text, groups=groups), globs
    if not target.text:
        raise Misread(
            whole if whole.text else piece, "The new text is missing.", 'For none write `""`.'
        )
    if plain:
        if not _is_one_word(target) or target.text.lower() in _DESCRIPTIONS:
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


def refuse_joined(piece: Piece) -> None:
    """Refuse ``… and fix``: it may be text, or the next statement."""
    if found := _JOINED.search(piece.mask):
        raise Misread(
            piece.cut(found.start(), found.end()).strip(),
            "This could be the next step or part of the text.",
            "Write `then` for the next step, or put the text in quotes.",
            final=True,
        )


def read_rewrite(piece: Piece) -> Verb:
    """``rewrite [LANGUAGE:] PATTERN -> PATTERN [lang LANGUAGE]``."""
    language: str | None = None
    if (head := _LANG_HEAD.match(piece.mask)) and _ARROW.search(piece.mask):
        language = language_named(head[1])
        if language is None and (close := nearest(head[1], _language_names())):
            raise Misread(piece.cut(0, head.end(1)), f"`{head[1]}` is not a language.", close)
        if language:
            piece = piece.cut(head.end())
    piece, language = _trailing_language(piece, language)
    scoped = split_scope(piece)
    if scoped and (_ARROW.search(scoped[0].mask) or _quoted_pair(scoped[0])):
        piece, globs = scoped
        piece, language = _trailing_language(piece, language)
    else:
        globs = ()
    halves = _quoted_pair(piece)
    if halves is None:
        arrows = list(_ARROW.finditer(piece.mask))
        if len(arrows) > 1:
            raise Misread(
                piece.cut(arrows[1].start(), arrows[1].end()).strip(),
                "There are two arrows, and either could be the one.",
                "Put the patterns in back-quotes.",
            )
        halves = _halves(piece, _ARROW, _ARROW) or _no_halves(
            piece, "Write `rewrite PATTERN -> PATTERN`, with $A for any node and $$$A for several."
        )
    before, after = halves
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
    between = _ARROW.match(rest.mask) or _CONNECTIVE_AT_START.match(rest.mask)
    if between is None:
        return None
    after = rest.cut(between.end()).strip()
    arrow = _ARROW.match(rest.mask)
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


def _halves(piece: Piece, *connectives: re.Pattern[str]) -> tuple[Piece, Piece] | None:
    """What is before and after the first connective of the first kind that occurs."""
    padded = piece.mask + " "  # so that a connective at the end is found, too
    for connective in connectives:
        if found := connective.search(padded):
            return (
                piece.cut(0, found.start()).strip(),
                piece.cut(min(found.end(), len(piece.text))).strip(),
            )
    return None


def _no_halves(piece: Piece, hint: str) -> tuple[Piece, Piece]:
    raise Misread(piece, "It does not say into what.", hint)


def _without_full_stop(piece: Piece) -> Piece:
    return piece.cut(0, -1) if re.search(r"[\w)\0][.!]$", piece.mask) else piece


def _is_one_word(piece: Piece) -> bool:
    return not re.search(r"\s", piece.mask)
