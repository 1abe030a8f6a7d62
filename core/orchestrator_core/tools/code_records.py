"""What the Rust tools answer with: camelCase on the wire.

Lines and columns are 1-based; offsets count characters, unless they are called byte offsets.
"""

from __future__ import annotations

from msgspec import Struct

from orchestrator_core.workspace.edits import TextEdit  # noqa: TC001 (msgspec reads it)


class Record(Struct, frozen=True, rename="camel"):
    """A record of the tool protocol: camelCase on the wire."""


class FileEdits(Record, frozen=True):
    """The edits to one file, ascending and not overlapping.

    Attributes:
        sha256: hash of the bytes (for a document: of its UTF-8 text) that the edits belong to.
    """

    path: str
    sha256: str
    edits: tuple[TextEdit, ...]


class Skipped(Record, frozen=True):
    """A file that was left alone, and why."""

    path: str
    reason: str


class RewriteResult(Record, frozen=True):
    """What a rewriting tool would change; nothing is written.

    Attributes:
        total: edits in all files.
        selected: files that were looked at.
    """

    files: tuple[FileEdits, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    total: int = 0
    selected: int = 0


class Match(Record, frozen=True):
    """A match of a text search.

    Attributes:
        column: in characters; ``utf16_column`` in UTF-16 units.
        byte_offset: of the match in the file, and ``end_byte_offset`` of its end.
        text: the line or lines that it is on.
        before: lines of context; so is ``after``.
        patterns: in searches for many patterns, the indices of those that match here.
    """

    path: str
    line: int
    column: int
    utf16_column: int
    byte_offset: int
    end_byte_offset: int
    text: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    patterns: tuple[int, ...] = ()


class SearchResult(Record, frozen=True):
    """Matches in the order of paths and texts.

    Attributes:
        files: files with a match.
        selected: files that were looked at.
        truncated: the limit left some out.
    """

    matches: tuple[Match, ...]
    files: int
    total: int
    truncated: bool
    selected: int = 0


class NodeMatch(Record, frozen=True):
    """A node of a syntax tree that a pattern matches, and what its variables stand for."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    byte_offset: int
    end_byte_offset: int
    text: str
    variables: dict[str, str | list[str]]


class NodeSearchResult(Record, frozen=True):
    """Matches of a syntax-tree pattern; as :class:`SearchResult`."""

    matches: tuple[NodeMatch, ...]
    files: int
    total: int
    truncated: bool


class SyntaxProblem(Record, frozen=True):
    """A place where a text does not parse; ``text`` is what stands there or is missing."""

    line: int
    column: int
    text: str


class SyntaxErrors(Record, frozen=True):
    """How many places of a file do not parse, and the first of them."""

    count: int
    first: SyntaxProblem | None = None


class Symbol(Record, frozen=True):
    """A definition in a file; ``container`` is the dotted path of the classes around it."""

    kind: str
    name: str
    line: int
    column: int
    end_line: int
    container: str = ""


class FileText(Record, frozen=True):
    """A file before and after; ``None`` means that it does not exist then."""

    path: str
    before: str | None
    after: str | None


class Paths(Record, frozen=True):
    """Files by their paths."""

    paths: tuple[str, ...]


class Diff(Record, frozen=True):
    """Several files' differences in one text."""

    diff: str


class FileSyntax(Record, frozen=True):
    """The parse errors of one file, and the first few."""

    path: str
    errors: int
    first: tuple[SyntaxProblem, ...] = ()


class Syntax(Record, frozen=True):
    """The parse errors of several files."""

    files: tuple[FileSyntax, ...]


class FileOutline(Record, frozen=True):
    """The definitions in one file."""

    path: str
    symbols: tuple[Symbol, ...]


class Outline(Record, frozen=True):
    """The definitions in several files."""

    files: tuple[FileOutline, ...]
