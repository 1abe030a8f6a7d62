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
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.runtime.tool_pool import RustToolPool

T = TypeVar("T")

MOST = 100_000_000
"""The highest limit that the tools accept."""

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
    """What a rewriting tool would change; nothing is written.

    Attributes:
        total: edits in all files.
        selected: files that were looked at.
    """

    files: tuple[FileEdits, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    total: int = 0
    selected: int = 0


class Match(_Record, frozen=True):
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


class SearchResult(_Record, frozen=True):
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


class NodeMatch(_Record, frozen=True):
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


class NodeSearchResult(_Record, frozen=True):
    """Matches of a syntax-tree pattern; as :class:`SearchResult`."""

    matches: tuple[NodeMatch, ...]
    files: int
    total: int
    truncated: bool


class SyntaxProblem(_Record, frozen=True):
    """A place where a text does not parse; ``text`` is what stands there or is missing."""

    line: int
    column: int
    text: str


class SyntaxErrors(_Record, frozen=True):
    """How many places of a file do not parse, and the first of them."""

    count: int
    first: SyntaxProblem | None = None


class Symbol(_Record, frozen=True):
    """A definition in a file; ``container`` is the dotted path of the classes around it."""

    kind: str
    name: str
    line: int
    column: int
    end_line: int
    container: str = ""


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
    """What agents and verbs use to find and rewrite code.

    Files are selected by ``globs`` (as ``rg -g`` takes them, ``!`` to exclude; a folder's name
    means everything below it) or by ``paths``; ignore files are respected by globs, and files
    that ``paths`` names are never ignored. With neither, it is the whole workspace.

    Args:
        pool: the processes that do the work.
        timeout_s: the deadline of each call.
    """

    def __init__(self, pool: RustToolPool, *, timeout_s: float = 60.0) -> None:
        self._pool = pool
        self._timeout_s = timeout_s

    async def glob(
        self,
        globs: Sequence[str] = (),
        *,
        paths: Sequence[str] | None = None,
        hidden: bool = False,
        root: Path | None = None,
        limit: int = MOST,
        documents: Documents | None = None,
    ) -> list[str]:
        """The selected files, in the order of their paths.

        Args:
            globs: which files; all without any.
            paths: explicit files in place of a walk.
            hidden: whether files whose names begin with a dot count.
            root: another folder than the workspace.
            limit: at most so many.
            documents: see above.
        """
        arguments: dict[str, object] = {
            **_selection(globs, paths),
            "limit": limit,
            "hidden": hidden,
        }
        if root is not None:
            arguments["root"] = str(root)
        return list((await self._call("glob", _Paths, arguments, documents)).paths)

    async def grep(
        self,
        pattern: str,
        *,
        globs: Sequence[str] = (),
        paths: Sequence[str] | None = None,
        literal: bool = False,
        ignore_case: bool = False,
        word: bool = False,
        multiline: bool = False,
        context: int = 0,
        limit: int = 1000,
        documents: Documents | None = None,
    ) -> SearchResult:
        """What matches a regular expression (Rust syntax) or, with ``literal``, a plain text."""
        arguments = {
            "pattern": pattern,
            "contextBefore": context,
            "contextAfter": context,
            "limit": limit,
            **_syntax(literal=literal, ignore_case=ignore_case, word=word, multiline=multiline),
            **_selection(globs, paths),
        }
        return await self._call("grep", SearchResult, arguments, documents)

    async def multi_grep(
        self,
        patterns: Sequence[str],
        *,
        globs: Sequence[str] = (),
        paths: Sequence[str] | None = None,
        literal: bool = False,
        ignore_case: bool = False,
        word: bool = False,
        limit: int = 1000,
        documents: Documents | None = None,
    ) -> SearchResult:
        """What matches any of several patterns, in one pass."""
        arguments = {
            "patterns": list(patterns),
            "limit": limit,
            **_syntax(literal=literal, ignore_case=ignore_case, word=word),
            **_selection(globs, paths),
        }
        return await self._call("multi_grep", SearchResult, arguments, documents)

    async def replace(
        self,
        pattern: str,
        replacement: str,
        *,
        globs: Sequence[str] = (),
        paths: Sequence[str] | None = None,
        literal: bool = False,
        ignore_case: bool = False,
        word: bool = False,
        multiline: bool = False,
        documents: Documents | None = None,
    ) -> RewriteResult:
        """The edits that replace every match.

        In ``replacement``, ``$1`` and ``${name}`` stand for groups and ``$$`` for a dollar sign;
        with ``literal`` it is plain text.
        """
        arguments = {
            "pattern": pattern,
            "replacement": replacement,
            **_syntax(literal=literal, ignore_case=ignore_case, word=word, multiline=multiline),
            **_selection(globs, paths),
        }
        return await self._call("replace", RewriteResult, arguments, documents)

    async def search(
        self,
        pattern: str,
        *,
        globs: Sequence[str] = (),
        paths: Sequence[str] | None = None,
        language: str | None = None,
        limit: int = 1000,
        documents: Documents | None = None,
    ) -> NodeSearchResult:
        """Every node that a syntax-tree pattern with ``$META`` variables matches."""
        arguments = {
            "pattern": pattern,
            "language": language,
            "limit": limit,
            **_selection(globs, paths),
        }
        return await self._call("ast_search", NodeSearchResult, arguments, documents)

    async def rewrite(
        self,
        pattern: str,
        rewrite: str,
        *,
        globs: Sequence[str] = (),
        paths: Sequence[str] | None = None,
        language: str | None = None,
        documents: Documents | None = None,
    ) -> RewriteResult:
        """The edits that turn what ``pattern`` matches into ``rewrite``, by syntax tree.

        ``language`` limits it to the files of one; otherwise each file's own decides.
        """
        arguments = {
            "pattern": pattern,
            "rewrite": rewrite,
            "language": language,
            **_selection(globs, paths),
        }
        return await self._call("ast_rewrite", RewriteResult, arguments, documents)

    async def syntax_errors(
        self, paths: Sequence[str] = (), *, documents: Documents | None = None
    ) -> dict[str, SyntaxErrors]:
        """The parse errors of ``paths`` and ``documents``; a file that parses has a count of 0.

        Files whose language has no grammar, and such as cannot be read as text, are absent.
        """
        documents = documents or {}
        wanted = dict.fromkeys([*paths, *documents])
        present = [path for path in wanted if documents.get(path, "") is not None]
        if not present:
            return {}
        result = await self._call("syntax", _Syntax, {"paths": present}, documents)
        return {
            file.path: SyntaxErrors(file.errors, file.first[0] if file.first else None)
            for file in result.files
        }

    async def unified_diff(self, files: Sequence[FileText], *, context: int = 3) -> str:
        """One unified diff of all files, as ``patch`` and ``git apply`` take it."""
        parts: list[str] = []
        for modified, group in groupby(files, lambda f: None not in (f.before, f.after)):
            for batch in [[*group]] if modified else [[file] for file in group]:
                pairs = [
                    {"path": f.path, "before": f.before or "", "after": f.after or ""}
                    for f in batch
                ]
                arguments = {"files": pairs, "context": context}
                diff = (await self._call("diff", _Diff, arguments)).diff
                parts.append(diff if modified else _with_null_side(batch[0], diff))
        return "".join(parts)

    async def minimal_edits(self, before: str, after: str) -> tuple[TextEdit, ...]:
        """The smallest line-wise edits, trimmed to what differs, from ``before`` to ``after``."""
        result = await self._call("edits", _Edits, {"before": before, "after": after})
        return result.files[0].edits

    async def outline(
        self,
        globs: Sequence[str] = (),
        *,
        paths: Sequence[str] | None = None,
        documents: Documents | None = None,
    ) -> dict[str, tuple[Symbol, ...]]:
        """The definitions of each selected file, in the order of its text."""
        result = await self._call("outline", _Outline, _selection(globs, paths), documents)
        return {file.path: file.symbols for file in result.files}

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
        return await self._pool.submit(
            name, given, timeout_s=self._timeout_s, result_type=result_type
        )


def _selection(globs: Sequence[str], paths: Sequence[str] | None) -> dict[str, object]:
    if paths is not None:
        return {"paths": list(paths)}
    return {"globs": list(globs), "respect_ignore": True}


def _syntax(
    *, literal: bool, ignore_case: bool, word: bool, multiline: bool = False
) -> dict[str, object]:
    return {"literal": literal, "ignoreCase": ignore_case, "word": word, "multiline": multiline}


def _with_null_side(file: FileText, diff: str) -> str:
    """The diff of a file that is created or deleted names ``/dev/null`` as the other side."""
    if not diff:
        return ""
    old, new, rest = diff.split("\n", 2)
    old = "--- /dev/null" if file.before is None else old
    new = "+++ /dev/null" if file.after is None else new
    return f"{old}\n{new}\n{rest}"


class _Paths(_Record, frozen=True):
    paths: tuple[str, ...]


class _Diff(_Record, frozen=True):
    diff: str


class _EditsOfFile(_Record, frozen=True):
    edits: tuple[TextEdit, ...]


class _Edits(_Record, frozen=True):
    files: tuple[_EditsOfFile, ...]


class _FileSyntax(_Record, frozen=True):
    path: str
    errors: int
    first: tuple[SyntaxProblem, ...] = ()


class _Syntax(_Record, frozen=True):
    files: tuple[_FileSyntax, ...]


class _FileOutline(_Record, frozen=True):
    path: str
    symbols: tuple[Symbol, ...]


class _Outline(_Record, frozen=True):
    files: tuple[_FileOutline, ...]
