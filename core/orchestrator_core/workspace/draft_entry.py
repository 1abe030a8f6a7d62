"""What a draft has of one path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from orchestrator_core.errors import UnreadableText
from orchestrator_core.workspace import text_file
from orchestrator_core.workspace.documents import Document

if TYPE_CHECKING:
    from orchestrator_core.workspace.edits import TextEdit

_MARK = "\ufeff"


class Entry(Struct):
    """A path that a draft has changed, or is about to.

    Attributes:
        before: the workspace's document of this path; None where it has none.
        document: what the draft has there; None where it deleted it.
        origin: the workspace's path that the file came from, if it was renamed.
        edits: what turned ``before`` into ``document``, where that is known.
    """

    before: Document | None
    document: Document | None
    origin: str = ""
    edits: tuple[TextEdit, ...] | None = None

    @property
    def has_mark_in_text(self) -> bool:
        """Whether the editor counts the byte-order mark as text, and with it all offsets."""
        return self.document is not None and self.document.text.startswith(_MARK)

    def is_of(self, sha256: str) -> bool:
        """Whether the document has this hash, with or without its byte-order mark."""
        document = self.document
        if document is None or document.sha256 == sha256:
            return document is not None
        return document.bom and text_file.sha256(document.text.encode("utf-8")) == sha256

    def with_text(self, name: str, text: str, *, bom: bool | None = None) -> Entry:
        """The entry of the path ``name`` with another text; by default its mark stays.

        Raises:
            UnreadableText: the text cannot be encoded.
        """
        if bom is None:
            bom = self.document.bom if self.document else False
            if text.startswith(_MARK) and not self.has_mark_in_text:
                text, bom = text[1:], True
        try:
            digest = text_file.sha256(text_file.encode(text, bom=bom))
        except UnicodeEncodeError:
            raise UnreadableText(name, "would hold half a surrogate pair") from None
        version = self.before.version if self.before else None
        source = self.before.source if self.before else "disk"
        known = self.document or self.before
        mode = known.mode if known else None
        document = Document(name, text, digest, version, bom, source, mode)
        return Entry(self.before, document, self.origin)

    def with_mode(self, mode: int) -> Entry:
        """The entry with other permission bits of its document, which is there."""
        assert self.document is not None
        return Entry(self.before, replace(self.document, mode=mode), self.origin)
