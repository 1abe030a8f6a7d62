"""Open documents, with the LSP's line ends and positions in every encoding.

Stock pygls splits lines with ``str.splitlines``, which also splits at form feeds, U+2028 and
others, so that incremental edits hit the wrong line (defect 11).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lsprotocol import types
from pygls.workspace import PositionCodec, ServerTextPosition, TextDocument, Workspace

from orchestrator_core.primitives.text_lines import TextLines, column_to_units, units_to_column

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)


class LineIndex(TextLines):
    """The lines of a text, with places as the protocol's structures have them."""

    def offset(self, position: types.Position) -> int:
        """The offset of a position, clamped to the text."""
        return self.offset_of(position.line, position.character)

    def position(self, offset: int) -> types.Position:
        """The position of an offset, clamped to the text."""
        return types.Position(*self.place_of(offset))

    def range(self, start: int, end: int) -> types.Range:
        """The range between two offsets."""
        return types.Range(self.position(start), self.position(end))


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
        line = lines[position.line].rstrip("\r\n")
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
