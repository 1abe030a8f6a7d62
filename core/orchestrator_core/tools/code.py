"""The Rust tools, typed: keyword arguments go in, Structs come out.

Paths are relative to the workspace with forward slashes. Offsets count characters (code points)
of the decoded text, a byte-order mark not included; lines and columns are 1-based. Most methods
take ``documents``: texts that replace (or, with ``None``, hide) what the disk and the pool's
overlays hold, for that one call.

All methods are coroutines, safe to call from any event loop; cancelling one stops the work in the
tool process. They raise ``ToolRejected`` for wrong arguments (``data`` says where), and
``ToolTimeout``, ``ToolCrashed`` or ``ToolUnavailable`` when the call could not be carried out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from orchestrator_core.runtime.tool_pool import RustToolPool

T = TypeVar("T")

Documents = Mapping[str, str | None]
"""Texts by path that stand in for the files; ``None`` means that there is no such file."""


class _Record(Struct, frozen=True, rename="camel"):
    """A record of the tool protocol: camelCase on the wire."""


class TextEdit(_Record, frozen=True):
    """Characters ``start`` to ``end`` (exclusive) of the old text become ``new_text``."""

    start: int
    end: int
    new_text: str


class FileEdits(_Record, frozen=True):
    """The edits to one file, ascending and not overlapping.

    Attributes:
        sha256: hash of the bytes (for a document: of its UTF-8 text) that the edits belong to.
    """

    path: str
    sha256: str
    edits: tuple[TextEdit, ...]


class Skipped(_Record, frozen=True):
    """A file that was left alone, and why."""

    path: str
    reason: str


class RewriteResult(_Record, frozen=True):
    """What a rewriting tool would change; nothing is written."""

    files: tuple[FileEdits, ...] = ()
    skipped: tuple[Skipped, ...] = ()


class Match(_Record, frozen=True):
    """One match: where it starts and ends, and the line it starts on."""

    path: str
    line: int
    column: int
    start: int
    end: int
    text: str


class SearchResult(_Record, frozen=True):
    """Matches, and whether a limit cut them short."""

    matches: tuple[Match, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    truncated: bool = False


class SyntaxProblem(_Record, frozen=True):
    """A place where a text does not parse."""

    line: int
    column: int
    message: str = "syntax error"


class SyntaxErrors(_Record, frozen=True):
    """How many places of a file do not parse, and the first of them."""

    count: int
    first: SyntaxProblem | None = None


class Symbol(_Record, frozen=True):
    """A definition in a file's outline; ``name`` is qualified within the file."""

    name: str
    kind: str
    line: int
    end_line: int


class FileText(_Record, frozen=True):
    """A file before and after; ``None`` means that it does not exist then."""

    path: str
    before: str | None
    after: str | None


def apply_edits(text: str, edits: Sequence[TextEdit]) -> str:
    """``text`` with ``edits`` made; they are ascending and do not overlap."""
    parts: list[str] = []
    position = 0
    for edit in edits:
        parts += (text[position : edit.start], edit.new_text)
        position = edit.end
    parts.append(text[position:])
    return "".join(parts)


class CodeTools:
    """What agents and verbs use to find and rewrite code."""

    def __init__(self, pool: RustToolPool) -> None:
        self._pool = pool

    async def glob(
        self,
        globs: Sequence[str] = (),
        *,
        limit: int | None = None,
        documents: Documents | None = None,
    ) -> list[str]:
        """The files that match any of ``globs`` (all, if there are none), sorted.

        A glob that starts with ``!`` takes files away. Ignore files are respected.
        """
        result = await self._call("glob", _Paths, {"globs": list(globs), "limit": limit}, documents)
        return list(result.paths)

    async def grep(
        self,
        pattern: str,
        *,
        globs: Sequence[str] = (),
        literal: bool = False,
        ignore_case: bool = False,
        word: bool = False,
        multiline: bool = False,
        limit: int | None = None,
        documents: Documents | None = None,
    ) -> SearchResult:
        """Every match of a regular expression (or, with ``literal``, of a plain text)."""
        arguments = {
            "pattern": pattern,
            "globs": list(globs),
            "literal": literal,
            "ignoreCase": ignore_case,
            "word": word,
            "multiline": multiline,
            "limit": limit,
        }
        return await self._call("grep", SearchResult, arguments, documents)

    async def replace(
        self,
        pattern: str,
        replacement: str,
        *,
        globs: Sequence[str] = (),
        literal: bool = False,
        ignore_case: bool = False,
        word: bool = False,
        multiline: bool = False,
        documents: Documents | None = None,
    ) -> RewriteResult:
        """The edits that replace every match; ``$1`` and ``$name`` stand for groups."""
        arguments = {
            "pattern": pattern,
            "replacement": replacement,
            "globs": list(globs),
            "literal": literal,
            "ignoreCase": ignore_case,
            "word": word,
            "multiline": multiline,
        }
        return await self._call("replace", RewriteResult, arguments, documents)

    async def search(
        self,
        pattern: str,
        *,
        globs: Sequence[str] = (),
        language: str | None = None,
        limit: int | None = None,
        documents: Documents | None = None,
    ) -> SearchResult:
        """Every node that a syntax-tree pattern with ``$META`` variables matches."""
        arguments = {
            "pattern": pattern,
            "globs": list(globs),
            "language": language,
            "limit": limit,
        }
        return await self._call("ast_search", SearchResult, arguments, documents)

    async def rewrite(
        self,
        pattern: str,
        rewrite: str,
        *,
        globs: Sequence[str] = (),
        language: str | None = None,
        documents: Documents | None = None,
    ) -> RewriteResult:
        """The edits that turn what ``pattern`` matches into ``rewrite``, by syntax tree.

        ``language`` limits it to one language; otherwise each file's own decides.
        """
        arguments = {
            "pattern": pattern,
            "rewrite": rewrite,
            "globs": list(globs),
            "language": language,
        }
        return await self._call("ast_rewrite", RewriteResult, arguments, documents)

    async def syntax_errors(
        self, paths: Sequence[str] = (), *, documents: Documents | None = None
    ) -> dict[str, SyntaxErrors]:
        """The parse errors of ``paths`` and ``documents``; files of no known language are absent.

        A file that parses is present with a count of 0.
        """
        wanted = [*paths, *(p for p in (documents or {}) if p not in paths)]
        result = await self._call("syntax", _Syntax, {"paths": wanted}, documents)
        return {file.path: SyntaxErrors(file.count, file.first) for file in result.files}

    async def unified_diff(self, files: Sequence[FileText], *, context: int = 3) -> str:
        """One unified diff of all files, as ``git apply`` takes it."""
        arguments = {"files": files, "context": context}
        return (await self._call("diff", _Diff, arguments)).diff

    async def minimal_edits(self, before: str, after: str) -> tuple[TextEdit, ...]:
        """The smallest edits (by words, then lines) that turn ``before`` into ``after``."""
        return (await self._call("edits", _Edits, {"before": before, "after": after})).edits

    async def outline(
        self,
        paths: Sequence[str] = (),
        *,
        globs: Sequence[str] = (),
        documents: Documents | None = None,
    ) -> dict[str, list[Symbol]]:
        """The definitions of each file, in the order of its text."""
        arguments = {"paths": list(paths), "globs": list(globs)}
        result = await self._call("outline", _Outline, arguments, documents)
        return {file.path: list(file.symbols) for file in result.files}

    async def _call(
        self,
        name: str,
        result_type: type[T],
        arguments: Mapping[str, object],
        documents: Documents | None = None,
    ) -> T:
        given = {key: value for key, value in arguments.items() if value is not None}
        if documents:
            given["documents"] = [{"path": p, "text": t} for p, t in documents.items()]
        return await self._pool.submit(name, given, result_type=result_type)


class _Paths(_Record, frozen=True):
    paths: tuple[str, ...]


class _Diff(_Record, frozen=True):
    diff: str


class _Edits(_Record, frozen=True):
    edits: tuple[TextEdit, ...]


class _FileSyntax(_Record, frozen=True):
    path: str
    count: int
    first: SyntaxProblem | None = None


class _Syntax(_Record, frozen=True):
    files: tuple[_FileSyntax, ...]


class _FileOutline(_Record, frozen=True):
    path: str
    symbols: tuple[Symbol, ...]


class _Outline(_Record, frozen=True):
    files: tuple[_FileOutline, ...]
