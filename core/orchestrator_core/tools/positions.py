"""Positions as the language server protocol writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from orchestrator_core.primitives.text_lines import TextLines


class Position(Struct, frozen=True):
    """A 0-based position; ``character`` counts units of the server's encoding."""

    line: int
    character: int

    def offset_in(self, lines: TextLines) -> int:
        """Where it is in a text whose units are the server's."""
        return lines.offset_of(self.line, self.character)


class Range(Struct, frozen=True):
    """From ``start`` up to ``end``, which is not part of it."""

    start: Position
    end: Position

    def span_in(self, lines: TextLines) -> tuple[int, int]:
        """The offsets of both ends in a text."""
        return self.start.offset_in(lines), self.end.offset_in(lines)


class ProtocolEdit(Struct, frozen=True, rename="camel"):
    """An edit as the protocol writes it."""

    range: Range
    new_text: str
