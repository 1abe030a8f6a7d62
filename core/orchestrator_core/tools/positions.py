"""Positions as the language server protocol counts them, and where they are in a text."""

from __future__ import annotations

import bisect
import re

from msgspec import Struct

_LINE_END = re.compile(r"\r\n|\r|\n")
_UNIT_BYTES = {"utf-8": 1, "utf-16": 2, "utf-32": 4}


class Position(Struct, frozen=True):
    """A 0-based position; ``character`` counts units of the server's encoding."""

    line: int
    character: int


class Range(Struct, frozen=True):
    """From ``start`` up to ``end``, which is not part of it."""

    start: Position
    end: Position


class ProtocolEdit(Struct, frozen=True, rename="camel"):
    """An edit as the protocol writes it."""

    range: Range
    new_text: str


class LineIndex:
    """Where the lines of a text begin; turns positions into offsets and back.

    Args:
        text: the document.
        encoding: ``utf-8``, ``utf-16`` or ``utf-32``: the units that columns count.
    """

    def __init__(self, text: str, encoding: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        self._encoding = f"{encoding}-le" if encoding != "utf-8" else encoding
        # In pure ASCII, and in UTF-32, a unit is a character.
        self._unit = 0 if text.isascii() or encoding == "utf-32" else _UNIT_BYTES[encoding]

    def offset(self, position: Position) -> int:
        """The offset in characters; a position beyond the end means the end."""
        if position.line >= len(self._starts):
            return len(self._text)
        start = self._starts[position.line]
        if not self._unit:
            return min(start + position.character, len(self._text))
        line = self._text[start : self._line_end(position.line)]
        units = line.encode(self._encoding, "surrogatepass")[: position.character * self._unit]
        return start + len(units.decode(self._encoding, "ignore"))

    def column(self, position: Position) -> int:
        """The column in characters, 0-based."""
        return self.offset(position) - self._starts[min(position.line, len(self._starts) - 1)]

    def position(self, offset: int) -> Position:
        """The position of an offset in characters."""
        line = bisect.bisect_right(self._starts, offset) - 1
        start = self._starts[line]
        if not self._unit:
            return Position(line, offset - start)
        units = self._text[start:offset].encode(self._encoding, "surrogatepass")
        return Position(line, len(units) // self._unit)

    def _line_end(self, line: int) -> int:
        return self._starts[line + 1] if line + 1 < len(self._starts) else len(self._text)
