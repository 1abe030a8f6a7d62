"""From what a person types to verbs.

A task's text is one statement or several, joined by ``then``, new lines or a list with numbers
or bullets. A statement is a verb in its canonical form (see :mod:`.verbs`) or one of the plain
forms that people type. Quoting (see :mod:`.quoting`) keeps words of the language apart from
words of a text.

The grammar never guesses: what is unknown, or could mean two things, raises
:class:`~orchestrator_core.errors.TaskTextError` with the place, the verbs, and the way to a
model. All of it is pure and safe to call from any thread.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from orchestrator_core.agents.chores import (
    read_check,
    read_fix,
    read_format,
    read_remove,
    read_run,
    read_sort,
    read_upgrade,
)
from orchestrator_core.agents.misread import Misread, explained, nearest
from orchestrator_core.agents.quoting import piece_of
from orchestrator_core.agents.renames import read_rename
from orchestrator_core.agents.replacements import read_replace
from orchestrator_core.agents.rewrites import read_rewrite
from orchestrator_core.agents.scope import parse_scope
from orchestrator_core.agents.verbs import Verb, describe
from orchestrator_core.errors import TaskTextError
from orchestrator_core.mission.plan import leaves_workspace
from orchestrator_core.records import Plan, Step, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator_core.agents.quoting import Piece

TITLE_LENGTH = 72
"""Titles are shortened to this many characters."""

_READERS: dict[str, Callable[[Piece], Verb]] = {
    "rename": read_rename,
    "replace": read_replace,
    "substitute": read_replace,
    "change": read_replace,
    "swap": read_replace,
    "rewrite": read_rewrite,
    "fix": read_fix,
    "autofix": read_fix,
    "sort": read_sort,
    "organize": read_sort,
    "organise": read_sort,
    "remove": read_remove,
    "delete": read_remove,
    "modernize": read_upgrade,
    "modernise": read_upgrade,
    "upgrade": read_upgrade,
    "format": read_format,
    "reformat": read_format,
    "autoformat": read_format,
    "run": read_run,
    "execute": read_run,
    "check": read_check,
    "verify": read_check,
    "lint": read_check,
}
_VERB = "|".join(_READERS)
_FIRST_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_COURTESY = re.compile(
    r"(?:(?:please|kindly|can\s+you|could\s+you|would\s+you|i\s+want\s+(?:you\s+)?to|let's|first(?:ly)?"
    r"|second(?:ly)?|third(?:ly)?|next|after\s+that|finally|lastly|also|now|just|and|then)(?:\s*,)?\s+)+",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(
    r"(?P<then>(?:(?<=\S)[,;])?\s+(?:and\s+)?then(?=\s*$|[\s,:])[,:]?)|\r?\n", re.IGNORECASE
)
_BULLET = re.compile(r"\s*(?:(?:\d{1,3}[.)]|[-*+\u2022\u2013])\s+)?(?:\[[ xX]\]\s+)?")
_JOINT = re.compile(rf"\s*(?:[,;]\s*(?:and\s+)?|\s+and\s+)(?=(?:{_VERB})(?:\s|$))", re.IGNORECASE)
_LEADING_SCOPE = re.compile(
    rf"(?:in|inside|within|under|across)\s+(?P<place>.+?)\s*[,:]\s*(?=(?:{_VERB})(?:\s|$))",
    re.IGNORECASE,
)
_NAME_OF = re.compile(r"the\s+name\s+of\s+", re.IGNORECASE)
_INSTEAD = re.compile(
    r"use\s+(?P<new>\S+)\s+instead\s+of\s+(?P<old>\S+)(?P<rest>\s.*)?", re.IGNORECASE | re.DOTALL
)


class Statement(Struct, frozen=True):
    """One statement of a task.

    Attributes:
        start: where its text begins in the task's text, in characters.
        end: where it ends, exclusive.
    """

    verb: Verb
    start: int
    end: int
    text: str


def parse_statement(text: str) -> Verb:
    """The verb of a text with a single statement.

    Raises:
        TaskTextError: it is not understood, or there are several statements.
    """
    statements = parse_task(text)
    for second in statements[1:]:
        where = piece_of(text).cut(second.start, second.end)
        raise explained(text, Misread(where, "Only one statement is expected here."))
    return next(iter(statements)).verb


def parse_task(text: str) -> tuple[Statement, ...]:
    """The statements of a task's text, at least one, in the order of the person.

    Raises:
        TaskTextError: it is not understood; nothing of it is to be carried out then.
    """
    whole = piece_of(text)
    try:
        if not text.strip():
            raise Misread(whole, "The task is empty: say what to do.")
        statements: list[Statement] = []
        for piece in _pieces(whole):
            statements += _read_or_split(piece)
        if not statements:
            raise Misread(whole.strip(), "The task is empty: say what to do.")
    except Misread as problem:
        raise explained(text, problem) from None
    return tuple(statements)


@lru_cache(maxsize=4096)  # a plan that is being written is read again after each keystroke
def check_step(text: str) -> TaskTextError | None:
    """What is wrong with a step's text, or None; for the plan language to ask."""
    try:
        parse_task(text)
    except TaskTextError as error:
        return error
    return None


def plan_from_text(text: str) -> Plan:
    """A plan with one task per statement; each depends on the one before.

    Raises:
        TaskTextError: the text is not understood.
    """
    tasks: list[Task] = []
    for number, statement in enumerate(parse_task(text), 1):
        line = describe(statement.verb)
        tasks.append(
            Task(
                id=f"T{number}",
                title=shorten(line),
                steps=(Step(line),),
                depends=(f"T{number - 1}",) if number > 1 else (),
                files=statement.verb.globs,
            )
        )
    return Plan(title=shorten(" ".join(text.split())), tasks=tuple(tasks))


def shorten(text: str, length: int = TITLE_LENGTH) -> str:
    """The text, cut to at most ``length`` characters with ``…`` for the rest."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _pieces(whole: Piece) -> Iterator[Piece]:
    """The text cut at ``then``, at new lines and at the numbers of a list."""
    position = 0
    after_then: Piece | None = None
    for found in [*_SEPARATOR.finditer(whole.mask), None]:
        end = found.start() if found else len(whole.text)
        part = whole.cut(position, end)
        for item in _list_items(part):
            if item.text:
                after_then = None
                yield item
        is_then = found is not None and found["then"] is not None
        if is_then and found:
            word = whole.cut(found.start(), found.end()).strip()
            if after_then is not None or not whole.text[:end].strip():
                raise Misread(word, "A step is missing beside this `then`.")
            after_then = word
        position = found.end() if found else end
    if after_then is not None:
        raise Misread(after_then, "The step after this `then` is missing.")


def _list_items(part: Piece) -> Iterator[Piece]:
    """The items of a list that was typed in one line, ``1. … 2. …``, or the part itself."""
    first = re.match(r"\s*1([.)])\s", part.mask)
    begin = 0
    if first:
        number = 2
        pattern = r"\s+{}" + re.escape(first[1]) + r"\s+(?=\S)"
        while found := re.search(pattern.format(number), part.mask[begin:]):
            yield _bare(part.cut(begin, begin + found.start()))
            begin += found.start()
            number += 1
    yield _bare(part.cut(begin))


def _bare(piece: Piece) -> Piece:
    """Without the bullet, the white space and the courtesies around it."""
    bullet = _BULLET.match(piece.mask)
    piece = piece.cut(bullet.end() if bullet else 0).strip()
    courtesy = _COURTESY.match(piece.mask)
    return piece.cut(courtesy.end()) if courtesy else piece


def _read_or_split(piece: Piece) -> list[Statement]:
    """One statement, or several joined by ``and`` or commas when only that makes sense."""
    try:
        return [_statement(piece)]
    except Misread as problem:
        joints = list(_JOINT.finditer(piece.mask))
        if problem.final or not joints:
            raise
        ends = [joint.start() for joint in joints] + [len(piece.text)]
        starts = [0] + [joint.end() for joint in joints]
        try:
            return [
                _statement(_bare(piece.cut(start, end)))
                for start, end in zip(starts, ends, strict=True)
            ]
        except Misread:
            raise problem from None


def _statement(piece: Piece) -> Statement:
    verb = _read(piece)
    if outside := next((glob for glob in verb.globs if leaves_workspace(glob)), None):
        raise Misread(piece, f"`{outside}` lies outside the workspace: write it relative to that.")
    return Statement(verb, piece.start, piece.end, piece.text)


def _read(piece: Piece) -> Verb:
    if scope := _LEADING_SCOPE.match(piece.mask):
        globs = parse_scope(piece.cut(*scope.span("place")))
        if globs is not None:
            verb = _read(piece.cut(scope.end()))
            if verb.globs:
                raise Misread(piece, "It says twice which files are meant.")
            return structs.replace(verb, globs=globs)
    if instead := _INSTEAD.fullmatch(piece.mask):
        return _read_instead(piece, instead)
    found = _FIRST_WORD.match(piece.mask)
    word = found[0].lower() if found else ""
    # A verb is followed by a space or a colon: `fix.py` and `run=…` are something else.
    rest = re.compile(r"\s*:(?=\s|$)\s*|\s+|$").match(piece.mask, found.end()) if found else None
    if found and rest and word == "clean" and re.match(r"\s+up\s+", piece.mask[found.end() :]):
        return read_remove(piece.cut(found.end() + 3).strip())
    if found is None or rest is None or word not in _READERS:
        raise _unknown(piece, word if rest else "")
    body = piece.cut(rest.end()).strip()
    if word in {"change", "swap"} and (name_of := _NAME_OF.match(body.mask)):
        return read_rename(body.cut(name_of.end()))
    return _READERS[word](body if body.text else piece.cut(len(piece.text)))


def _read_instead(piece: Piece, found: re.Match[str]) -> Verb:
    """``use B instead of A``: read as ``replace A with B``."""
    old, new = piece.text[slice(*found.span("old"))], piece.text[slice(*found.span("new"))]
    rest = piece.text[slice(*found.span("rest"))] if found["rest"] else ""
    try:
        return read_replace(piece_of(f"{old} with {new}{rest}"))
    except Misread as problem:
        raise Misread(piece, problem.reason, "Write `replace A with B`.") from None


def _unknown(piece: Piece, word: str) -> Misread:
    end = re.match(r"\S*", piece.mask)
    where = piece.cut(0, end.end() if end and end.end() else None)
    if not word:
        return Misread(where, "A task begins with a verb, and this is none.")
    reason = f"The built-in planner does not know how to `{word}`."
    return Misread(where, reason, nearest(word, _READERS))
