r"""The lines of a text as the LSP counts them, and places in them in every encoding.

The LSP knows three line ends: ``\n``, ``\r\n`` and ``\r``. Form feeds, U+2028 and what else
``str.splitlines`` splits at are part of a line.

Offsets are indices into the text, in code points. A place is a line and a number of code units
of some encoding. Whatever is asked for is clamped: units past the end of their line mean the end
of that line, a line past the last one the end of the text, and a place inside a code point its
start.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

_LINE_END = re.compile(r"\r\n|\r|\n")


class TextLines:
    """Where the lines of a text begin; converts between offsets and places.

    Building it takes one pass over the text; a conversion takes a binary search and, on a line
    that is not ASCII, one pass over that line. Not thread-safe while `replace` runs.

    Args:
        text: the whole text.
        encoding: what units are of: ``utf-8``, ``utf-32``, or UTF-16 where it is not known.
    """

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self.text = text
        self.encoding = encoding
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    @property
    def line_count(self) -> int:
        """How many lines there are; a text that ends with a line end has an empty last one."""
        return len(self._starts)

    def line_start(self, line: int) -> int:
        """The offset of the first character of a line."""
        return self._starts[line]

    def line_text(self, line: int) -> str:
        """A line without its end."""
        start, stop = self._line_bounds(line)
        return self.text[start:stop]

    def lines(self) -> tuple[str, ...]:
        """All lines with their ends, without an empty last one (as pygls has them)."""
        stops = [*self._starts[1:], len(self.text)]
        lines = tuple(self.text[a:b] for a, b in zip(self._starts, stops, strict=True))
        return lines if lines[-1] else lines[:-1]

    def offset_of(self, line: int, units: int) -> int:
        """The offset of a place, clamped to the text."""
        if line >= len(self._starts):
            return len(self.text)
        start, stop = self._line_bounds(max(line, 0))
        return start + units_to_column(self.text[start:stop], max(units, 0), self.encoding)

    def place_of(self, offset: int) -> tuple[int, int]:
        """The place of an offset, clamped to the text."""
        line, column = self.line_and_column(offset)
        start = self._starts[line]
        return line, column_to_units(self.text[start : start + column], self.encoding)

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """The line of an offset and its column in code points, clamped to the text."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self._starts, offset) - 1
        return line, offset - self._starts[line]

    def replace(self, start: int, end: int, text: str) -> None:
        r"""Replace the characters between two offsets; costs what changes and what follows.

        Line starts well before the edit stay, those after it move. Between them the text is
        searched again, from one character earlier where the edit follows a ``\r``, which may
        have become half of a ``\r\n`` or ceased to be.
        """
        new = self.text[:start] + text + self.text[end:]
        new_end = start + len(text)
        search_from = start - 1 if start and new[start - 1] == "\r" else start
        kept = bisect_right(self._starts, search_from)
        moved = bisect_right(self._starts, end)
        found = [match.end() for match in _LINE_END.finditer(new, search_from, new_end)]
        if found and found[-1] == new_end and new[new_end - 1 : new_end + 1] == "\r\n":
            found.pop()  # its \n lies beyond the edit and ends a line that only moves
        shift = new_end - end
        found += (value + shift for value in self._starts[moved:])
        self._starts[kept:] = found
        self.text = new

    def _line_bounds(self, line: int) -> tuple[int, int]:
        """The offsets of a line's first character and of its line end."""
        start = self._starts[line]
        if line + 1 == len(self._starts):
            return start, len(self.text)
        stop = self._starts[line + 1] - 1
        if stop > start and self.text[stop - 1 : stop + 1] == "\r\n":
            stop -= 1
        return start, stop


def units_to_column(line: str, units: int, encoding: str) -> int:
    """How many code points of a line lie before a number of code units, rounded down."""
    if encoding == "utf-32" or line.isascii():
        return min(units, len(line))
    if encoding == "utf-8":
        data = line.encode("utf-8", "surrogatepass")
        while units < len(data) and data[units] & 0xC0 == 0x80:
            units -= 1
        return len(data[:units].decode("utf-8", "surrogatepass"))
    if max(line) <= "\uffff":
        return min(units, len(line))
    # A code point beyond the BMP takes two units. Those that begin before a column are as many
    # as the units to subtract, also where the column is in the middle of the last one.
    astral = (index for index, char in enumerate(line) if char > "\uffff")
    starts = [index + before for before, index in enumerate(astral)]
    return min(units - bisect_left(starts, units), len(line))


def column_to_units(prefix: str, encoding: str) -> int:
    """How many code units a piece of a line takes."""
    if encoding == "utf-32" or prefix.isascii():
        return len(prefix)
    if encoding == "utf-8":
        return len(prefix.encode("utf-8", "surrogatepass"))
    return len(prefix.encode("utf-16-le", "surrogatepass")) // 2
