r"""Quoted places in a task's text, and the pieces that it is cut into.

Three things protect what stands in them from being read as words of the language:

* ``"…"`` and ``'…'`` on one line, where ``\n``, ``\t``, ``\r``, ``\"``, ``\'``, ``\\`` and
  ``\uXXXX`` mean a character and any other backslash is itself;
* back-quotes, one or more, up to as many again, where nothing is an escape (three or more may
  span lines);
* ``/…/`` after ``replace`` and its like, up to an unescaped slash.

:func:`blank` overwrites those places, so that plain regular expressions find connectives and
separators elsewhere at their true offsets. An apostrophe inside a word does not open a quote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

BLANK: Final = "\0"
"""Stands for every character of a quoted place."""

ARROW = r"(?:->|→|=>)"
_REGEX_LEAD = re.compile(
    r"(?<![\w./-])(?:replace|substitute|sub|swap|change|turn|remove|delete|strip)\s*:?\s+"
    r"(?:(?:all|every|each|any|the|regex|regexp|pattern|regular|expression|occurrences?|matches"
    r"|of)\s+)*/",
    re.IGNORECASE,
)
_AFTER_REGEX = re.compile(rf"[A-Za-z]*\s*(?:{ARROW}|(?:with|by|to|for|into)\b)", re.IGNORECASE)
_STRING_PREFIX = re.compile(r"(?<![\w'])[rbfuRBFU]{1,2}$")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|([ntr\"'`\\])|([1-9])|(.))", re.DOTALL)
_CONTROL = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a task's text.

    Attributes:
        text: the part itself.
        mask: the same with quoted places blanked.
        start: where it begins in the whole text, in characters.
    """

    text: str
    mask: str
    start: int = 0

    @property
    def end(self) -> int:
        """Where it ends in the whole text, exclusive."""
        return self.start + len(self.text)

    def cut(self, start: int, end: int | None = None) -> Piece:
        """The part from ``start`` to ``end``, relative to this one."""
        return Piece(self.text[start:end], self.mask[start:end], self.start + start)

    def strip(self) -> Piece:
        """Without white space at its ends."""
        begin = len(self.text) - len(self.text.lstrip())
        return self.cut(begin, max(begin, len(self.text.rstrip())))

    @property
    def is_quoted(self) -> bool:
        """Whether it is one quoted text and nothing else."""
        return len(self.text) > 1 and quoted_end(self.text, 0) == len(self.text)


def piece_of(text: str) -> Piece:
    """The whole of a task's text."""
    return Piece(text, blank(text))


def blank(text: str) -> str:
    """The text with every quoted place overwritten, at equal length."""
    out: list[str] = []
    position = 0
    regexes = {match.end() - 1 for match in _REGEX_LEAD.finditer(text)}
    interesting = re.compile(r"[\"'`/]")
    while found := interesting.search(text, position):
        at = found.start()
        if text[at] == "/":
            end = regex_end(text, at) if at in regexes else None
        else:
            end = quoted_end(text, at)
        if end is None:
            end = at + (len(_fence(text, at)) if text[at] == "`" else 1)
            out.append(text[position:end])
        else:
            out += (text[position:at], BLANK * (end - at))
        position = end
    out.append(text[position:])
    return "".join(out)


def quoted_end(text: str, at: int) -> int | None:
    """Where the quoted text that opens at ``at`` ends (exclusive); None if nothing opens there."""
    quote = text[at]
    if quote == "`":
        fence = _fence(text, at)
        closing = re.compile(rf"(?<!`){fence}(?!`)")
        found = closing.search(text, at + len(fence))
        multiline = len(fence) >= 3
        if found is None or (not multiline and "\n" in text[at : found.start()]):
            return None
        return found.end()
    if quote not in "\"'":
        return None
    before = text[at - 1] if at else " "
    apostrophe = quote == "'" and (before.isalnum() or before in "_)]'")
    if apostrophe and not _STRING_PREFIX.search(text[max(0, at - 3) : at]):
        return None
    body = re.compile(rf"(?:[^{quote}\\\n]|\\[^\n])*{quote}")
    found = body.match(text, at + 1)
    return found.end() if found else None


def regex_end(text: str, at: int) -> int | None:
    r"""Where ``/…/`` that opens at ``at`` ends, without its flags.

    The first unescaped slash ends it, unless only a later one is followed by flags and an arrow
    or ``with``: ``/usr/bin/ -> /opt`` has the expression ``usr/bin``.
    """
    first: int | None = None
    position = at + 1
    while position < len(text) and text[position] != "\n":
        if text[position] == "\\":
            position += 2
            continue
        if text[position] == "/":
            if _AFTER_REGEX.match(text, position + 1):
                return position + 1
            first = first or position + 1
        position += 1
    return first


def unquote(text: str, *, groups: bool = False) -> str:
    r"""The content of a quoted text.

    Args:
        text: the text with its quotes.
        groups: whether ``\1`` means a group, as in sed; it becomes ``${1}``.
    """
    if text[0] == "`":
        fence = _fence(text, 0)
        body = text[len(fence) : -len(fence)]
        if len(fence) > 1 and "\n" in body:
            return body.strip("\n")
        padded = len(fence) > 1 and body[:1] == " " == body[-1:] and body.strip()
        return body[1:-1] if padded else body
    return unescape(text[1:-1], groups=groups)


def unescape(text: str, *, groups: bool = False) -> str:
    """The text with its backslash escapes resolved; see the module's text for which there are."""

    def replaced(match: re.Match[str]) -> str:
        code, simple, group, _other = match.groups()
        if code:
            return chr(int(code, 16))
        if simple:
            return _CONTROL.get(simple, simple)
        if group and groups:
            return "${" + group + "}"
        return match[0]

    return _ESCAPE.sub(replaced, text)


def _fence(text: str, at: int) -> str:
    end = at
    while end < len(text) and text[end] == "`":
        end += 1
    return text[at:end]
