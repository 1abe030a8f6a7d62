"""Reading ``fix``, ``format``, ``run`` and ``check``, and the plain words that mean them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator_core.agents.halves import refuse_joined
from orchestrator_core.agents.misread import Misread, nearest
from orchestrator_core.agents.quoting import unquote
from orchestrator_core.agents.scope import parse_scope, split_scope
from orchestrator_core.agents.verbs import Check, Fix, Format, Replace, Run
from orchestrator_core.agents.words import COMMAND_WORDS, GLOB_WORDS

if TYPE_CHECKING:
    from orchestrator_core.agents.quoting import Piece
    from orchestrator_core.agents.verbs import Verb

# The linter's families of rules (`ruff linter`), for codes without digits.
_FAMILIES = frozenset(
    """A AIR ALL ANN ARG ASYNC B BLE C C4 C90 COM CPY D DJ DOC DTZ E EM ERA EXE F FA FAST FBT FIX
    FLY FURB G I ICN INP INT ISC LOG N NPY PD PERF PGH PIE PL PLC PLE PLR PLW PT PTH PYI Q RET RSE
    RUF S SIM SLF SLOT T T10 T20 TC TD TID TRY UP W YTT""".split()  # noqa: SIM905 (reads better)
)
_CODE = re.compile(r"[A-Z]{1,8}\d{1,4}", re.IGNORECASE)
_FIX_WORDS = frozenset(
    """the all any every of our my lint linter linting linter's lints ruff flake8 error errors
    problem problems warning warnings issue issues finding findings violation violations rule
    rules everything automatically auto fixable style what finds reports it that are reported by
    found and code""".split()  # noqa: SIM905 (words read better in a row)
)
# What a person may call a family of fixes.
_NAMED_FIXES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(rf"(?:the|all|our|my)?\s*(?:{expression})", re.IGNORECASE), rules)
    for expression, rules in (
        (r"unused[\s-]imports?", ("F401",)),
        (r"unused[\s-](?:local\s+)?variables?", ("F841",)),
        (r"imports?[\s-](?:order|ordering|sorting)", ("I",)),
        (r"(?:out[\s-]of[\s-]order|unsorted)\s+imports?", ("I",)),
        (r"(?:old|outdated|python)\s+syntax|syntax", ("UP",)),
    )
)
_IMPORTS = re.compile(r"(?:the\s+|all\s+(?:the\s+)?|our\s+|my\s+)?imports?", re.IGNORECASE)
_EVERYTHING = re.compile(
    r"(?:(?:the|all|our|my|this|whole|of|source)\s+)*(?:code|source|sources|files|it|everything)"
    r"(?:\s+(?:base|style|layout|properly|with\s+ruff))?|with\s+ruff",
    re.IGNORECASE,
)
_CHECKS = re.compile(
    r"(?:(?:the|all|our|my|for|any)\s+)*(?:code|sources?|files|it|everything|lint|linting|syntax"
    r"|style|errors?|problems?|issues?|lint\s+errors?|syntax\s+errors?)",
    re.IGNORECASE,
)
_KIND_OF_FILES = re.compile(r"\sfiles?[.!]?$", re.IGNORECASE)
_WITH = re.compile(
    r"(?:the|all|my|our)?\s*(?:unit\s+|whole\s+)?(?:tests?|test\s*suite|checks?|build)"
    r"\s+(?:with|using|by\s+running|via|through)\s*:?\s+",
    re.IGNORECASE,
)
_COMMAND_LEAD = re.compile(r"(?:the\s+)?(?:shell\s+)?command\s*:?\s+", re.IGNORECASE)
_RUN_CHECKS = re.compile(
    r"(?:(?:the|all|our|my)\s+)*(?:checks?|linters?|lint(?:ing)?|ruff)", re.IGNORECASE
)
_RUN_FORMATTER = re.compile(r"(?:(?:the|our|my|code)\s+)*formatter", re.IGNORECASE)


def read_fix(piece: Piece) -> Verb:
    """``fix [RULES]``; ``fix lint errors``; ``fix unused imports``."""
    left, globs = _scoped(piece)
    if not left.text:
        return Fix((), globs)
    if re.fullmatch(r"(?:the\s+|code\s+)*(?:formatting|format|layout|indentation)", left.text):
        return Format(globs)
    for expression, rules in _NAMED_FIXES:
        if expression.fullmatch(left.text):
            return Fix(rules, globs)
    if _IMPORTS.fullmatch(left.text):
        raise Misread(
            left, "Fix what about imports?", "Say `sort imports` or `remove unused imports`."
        )
    return Fix(_rules(left), globs)


def _rules(piece: Piece) -> tuple[str, ...]:
    rules: list[str] = []
    for found in re.finditer(r"[^\s,]+", piece.mask):
        word = piece.text[found.start() : found.end()].rstrip(".;:!")
        if word.upper() in _FAMILIES and word == word.upper():
            rules.append(word)
        elif _CODE.fullmatch(word):
            rules.append(word.upper())
        elif word.lower() not in _FIX_WORDS:
            raise Misread(
                piece.cut(found.start(), found.start() + len(word)),
                f"`{word}` is neither a rule nor a word that `fix` knows:"
                " it applies the linter's own fixes.",
                nearest(word, _FIX_WORDS)
                or "Write `fix`, `fix E,F,I`, `fix lint in src` or `fix unused imports`.",
            )
    return tuple(dict.fromkeys(rules))


def read_sort(piece: Piece) -> Verb:
    """``sort imports``."""
    left, globs = _scoped(piece)
    if not _IMPORTS.fullmatch(left.text):
        raise Misread(left if left.text else piece, "Only imports can be sorted.")
    return Fix(("I",), globs)


def read_remove(piece: Piece) -> Verb:
    """``remove unused imports``; ``remove "text"``."""
    left, globs = _scoped(piece)
    for expression, rules in _NAMED_FIXES[:2]:
        if expression.fullmatch(left.text):
            return Fix(rules, globs)
    if left.is_quoted and unquote(left.text):
        return Replace(unquote(left.text), "", literal=True, globs=globs)
    raise Misread(
        left if left.text else piece,
        "It is not clear what to remove.",
        'Write `remove unused imports`, `remove "text"`, or `replace /regex/ -> ""`.',
    )


def read_upgrade(piece: Piece) -> Verb:
    """``modernize the syntax``."""
    left, globs = _scoped(piece)
    if not re.fullmatch(
        r"(?:the\s+|our\s+)?(?:python\s+|old\s+)?(?:syntax|code)", left.text, re.IGNORECASE
    ):
        raise Misread(left if left.text else piece, "Only the syntax can be brought up to date.")
    return Fix(("UP",), globs)


def read_format(piece: Piece) -> Verb:
    """``format``; ``format the code in src``; ``format src``."""
    return Format(_whole_or_scope(piece, _EVERYTHING, "format"))


def read_check(piece: Piece) -> Verb:
    """``check``; ``check everything``; ``lint src``."""
    return Check(_whole_or_scope(piece, _CHECKS, "check"))


def _whole_or_scope(piece: Piece, whole: re.Pattern[str], verb: str) -> tuple[str, ...]:
    """The files of a verb that takes nothing else: with or without ``in``."""
    left, globs = _scoped(piece)
    if not left.text or whole.fullmatch(left.text.rstrip(".!")):
        return globs
    named = parse_scope(piece)
    # `format the dates nicely` is prose; `format src, tests` and `format src/ a.py` are not.
    words = [word for word in left.mask.split() if word.lower() not in GLOB_WORDS]
    listed = re.search(r",|\s(?:and|or)\s", left.mask) or re.search(r"[/*.]", left.mask)
    if named is None or (
        len(words) > 1 and not listed and globs == () and not _KIND_OF_FILES.search(left.mask)
    ):
        raise Misread(left, f"`{verb}` takes nothing but files.", f"Write `{verb} in GLOB`.")
    return named


def read_run(piece: Piece) -> Verb:
    """``run COMMAND``; ``run the tests with COMMAND``."""
    scoped = None if piece.is_quoted else split_scope(piece)
    left, globs = scoped or (piece, ())
    if _RUN_CHECKS.fullmatch(left.text):
        return Check(globs)
    if _RUN_FORMATTER.fullmatch(left.text):
        return Format(globs)
    for lead in (_WITH, _COMMAND_LEAD):
        if found := lead.match(left.mask):
            left = left.cut(found.end())
            if re.search(r"\w[.!]$", left.mask):
                left = left.cut(0, -1)
            break
    else:
        first = left.mask.split(maxsplit=1)[0].lower() if left.mask.split() else ""
        if first in COMMAND_WORDS:
            raise Misread(
                left,
                "It does not say which command.",
                "Write the command itself, such as `run pytest -q`, or `check`"
                " for the linter and the parser.",
            )
    if not left.is_quoted:
        refuse_joined(left)
    command = unquote(left.text) if left.is_quoted else left.text
    if not command.strip():
        raise Misread(piece, "The command is missing.", "Write, for example, `run pytest -q`.")
    return Run(command, globs)


def _scoped(piece: Piece) -> tuple[Piece, tuple[str, ...]]:
    """What is before the scope, and the scope; a scope that is none is a mistake here."""
    if found := split_scope(piece):
        return found
    alone = re.match(r"(?:in|inside|within|under|across)(?:\s|$)", piece.mask, re.IGNORECASE)
    nowhere = alone or re.search(r"\s(?:in|inside|within|under)(?:\s|$)", piece.mask, re.IGNORECASE)
    if nowhere:
        raise Misread(
            piece.cut(nowhere.start()).strip(),
            "It is not clear which files are meant.",
            "After `in` write globs, such as `in src, tests/**/*.py`.",
        )
    return piece, ()
