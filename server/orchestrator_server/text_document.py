r"""Open documents, with the LSP's line ends and positions in every encoding.

The LSP knows three line ends: ``\n``, ``\r\n`` and ``\r``. Stock pygls splits lines with
``str.splitlines``, which also splits at form feeds, U+2028 and others, so that incremental
edits hit the wrong line (defect 11).

Offsets are indices into the text, in code points. Positions are a line and a number of code
units of the encoding that was agreed with the client. Whatever a client sends is clamped: a
character past the end of its line means the end of that line, a line past the last one the
end of the text, and a position inside a code point its start.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lsprotocol import types
from pygls.workspace import PositionCodec, ServerTextPosition, TextDocument, Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

_LINE_END = re.compile(r"\r\n|\r|\n")
_UTF8 = types.PositionEncodingKind.Utf8
_UTF32 = types.PositionEncodingKind.Utf32


class LineIndex:
    """Where the lines of a text begin; converts between offsets and positions.

    Building it takes one pass over the text; a conversion takes a binary search and, on a line
    that is not ASCII, one pass over that line. Not thread-safe while `replace` runs.

    Args:
        text: the whole text.
        encoding: the unit of a position's character; UTF-16 where it is not known.
    """

    def __init__(
        self,
        text: str,
        encoding: types.PositionEncodingKind | str = types.PositionEncodingKind.Utf16,
    ) -> None:
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

    def offset(self, position: types.Position) -> int:
        """The offset of a position, clamped to the text."""
        if position.line >= len(self._starts):
            return len(self.text)
        start, stop = self._line_bounds(max(position.line, 0))
        return start + units_to_column(
            self.text[start:stop], max(position.character, 0), self.encoding
        )

    def position(self, offset: int) -> types.Position:
        """The position of an offset, clamped to the text."""
        line, column = self.line_and_column(offset)
        start = self._starts[line]
        prefix = self.text[start : start + column]
        return types.Position(line, column_to_units(prefix, self.encoding))

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """The line of an offset and its column in code points, clamped to the text."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self._starts, offset) - 1
        return line, offset - self._starts[line]

    def range(self, start: int, end: int) -> types.Range:
        """The range between two offsets."""
        return types.Range(self.position(start), self.position(end))

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


def units_to_column(line: str, units: int, encoding: types.PositionEncodingKind | str) -> int:
    """How many code points of a line lie before a number of code units, rounded down."""
    if encoding == _UTF32 or line.isascii():
        return min(units, len(line))
    if encoding == _UTF8:
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


def column_to_units(prefix: str, encoding: types.PositionEncodingKind | str) -> int:
    """How many code units a piece of a line takes."""
    if encoding == _UTF32 or prefix.isascii():
        return len(prefix)
    if encoding == _UTF8:
        return len(prefix.encode("utf-8", "surrogatepass"))
    return len(prefix.encode("utf-16-le", "surrogatepass")) // 2


class ClampingCodec(PositionCodec):
    """Converts positions on given lines; unlike stock's it changes no argument and clamps."""

    def position_from_client_units(
        self, lines: Sequence[str], position: types.Position
    ) -> ServerTextPosition:
        """A position in code points."""
        if position.line >= len(lines):
            last = len(lines) - 1
            if last >= 0 and not lines[last].endswith(("\r", "\n")):
                return ServerTextPosition(last, len(lines[last]))
            return ServerTextPosition(len(lines), 0)
        line = _LINE_END.sub("", lines[position.line])
        column = units_to_column(line, max(position.character, 0), self.encoding or "utf-16")
        return ServerTextPosition(position.line, column)

    def position_to_client_units(
        self, lines: Sequence[str], position: ServerTextPosition | types.Position
    ) -> types.Position:
        """A position in the client's code units."""
        if position.line >= len(lines):
            return types.Position(len(lines), 0)
        prefix = lines[position.line][: position.character]
        return types.Position(position.line, column_to_units(prefix, self.encoding or "utf-16"))


class OpenDocument(TextDocument):
    """A document of the workspace, open in the editor or only on disk (mends 11)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._source: str | None = self._source  # pygls declares it narrower than it is
        self._index: LineIndex | None = None

    @property
    def index(self) -> LineIndex:
        """The lines of the text as it is now; of a document on disk, read anew each time."""
        encoding = self.position_codec.encoding or types.PositionEncodingKind.Utf16
        if self._source is None:
            return LineIndex(self.source, encoding)
        if self._index is None:
            self._index = LineIndex(self._source, encoding)
        return self._index

    @property
    def source(self) -> str:
        """The text; where it comes from disk, with its line ends as they are.

        Raises:
            OSError: the file cannot be read.
            UnicodeDecodeError: it is not UTF-8.
        """
        if self._source is not None:
            return self._source
        return Path(self.path).read_bytes().decode("utf-8")

    @property
    def lines(self) -> Sequence[str]:
        """The lines with their ends."""
        return self.index.lines()

    def offset_at_position(self, client_position: types.Position) -> int:
        """The offset of a position that the client sent."""
        return self.index.offset(client_position)

    def client_position_at_offset(self, offset: int) -> types.Position:
        """The position of an offset, for the client."""
        return self.index.position(offset)

    def offset_at_server_position(self, server_position: ServerTextPosition) -> int:
        """The offset of a position in code points."""
        index = self.index
        if server_position.line >= index.line_count:
            return len(index.text)
        return min(
            index.line_start(server_position.line) + server_position.character, len(index.text)
        )

    def server_position_at_offset(self, offset: int) -> ServerTextPosition:
        """The position in code points of an offset."""
        return ServerTextPosition(*self.index.line_and_column(offset))

    def apply_change(self, change: types.TextDocumentContentChangeEvent) -> None:
        """Apply one change that the client sent."""
        if isinstance(change, types.TextDocumentContentChangePartial):
            self._apply_incremental_change(change)
        else:
            self._source, self._index = change.text, None

    def _apply_incremental_change(self, change: types.TextDocumentContentChangePartial) -> None:
        self._source = self.source  # the edits are to what is read now
        index = self.index
        start, end = sorted((index.offset(change.range.start), index.offset(change.range.end)))
        index.replace(start, end, change.text)
        self._source = index.text


_EARLY = 64
"""So many documents may have a text ahead of their opening; the oldest is forgotten first."""


class OpenWorkspace(Workspace):
    """The workspace with documents of this module; a change to an unknown one is ignored.

    A whole text that comes ahead of the opening of its document, as some editors send it where
    they make an edit to a file that was not open, takes effect with the opening.
    """

    def __init__(
        self,
        root_uri: str | None,
        sync_kind: types.TextDocumentSyncKind,
        workspace_folders: Sequence[types.WorkspaceFolder],
        position_encoding: types.PositionEncodingKind | str,
    ) -> None:
        super().__init__(root_uri, sync_kind, workspace_folders, position_encoding)
        self._position_codec = ClampingCodec(position_encoding)
        self._early: dict[str, tuple[int, types.TextDocumentContentChangeWholeDocument]] = {}

    def put_text_document(
        self, text_document: types.TextDocumentItem, notebook_uri: str | None = None
    ) -> None:
        """Add a document that was opened."""
        super().put_text_document(text_document, notebook_uri)
        version, whole = self._early.pop(unquote(text_document.uri), (-1, None))
        if whole is not None and version > text_document.version:
            identifier = types.VersionedTextDocumentIdentifier(version, text_document.uri)
            self.update_text_document(identifier, whole)

    def _create_text_document(
        self,
        doc_uri: str,
        source: str | None = None,
        version: int | None = None,
        language_id: str | None = None,
    ) -> OpenDocument:
        return OpenDocument(
            doc_uri,
            source=source,
            version=version,
            language_id=language_id,
            sync_kind=self._sync_kind,
            position_codec=self._position_codec,
        )

    def update_text_document(
        self,
        text_doc: types.VersionedTextDocumentIdentifier,
        change: types.TextDocumentContentChangeEvent,
    ) -> None:
        """Apply a change to an open document."""
        uri = unquote(text_doc.uri)
        whole = isinstance(change, types.TextDocumentContentChangeWholeDocument)
        if uri not in self.text_documents:
            logger.warning("ignored a change to %s, which is not open", text_doc.uri)
            if whole and text_doc.version >= self._early.get(uri, (0, None))[0]:
                self._early[uri] = text_doc.version, change
                if len(self._early) > _EARLY:
                    del self._early[next(iter(self._early))]
            return
        known = self.text_documents[uri].version
        if whole and known is not None and text_doc.version < known:
            return  # the text of a later version overtook it
        super().update_text_document(text_doc, change)
