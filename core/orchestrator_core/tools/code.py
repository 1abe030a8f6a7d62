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

from orchestrator_core.tools.code_records import (
    Diff,
    FileEdits,
    FileText,
    NodeSearchResult,
    Outline,
    Paths,
    RewriteResult,
    SearchResult,
    Skipped,
    Symbol,
    Syntax,
    SyntaxErrors,
)
from orchestrator_core.workspace.edits import TextEdit, apply_edits

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator_core.runtime.tool_pool import RustToolPool

__all__ = [
    "MOST",
    "CodeTools",
    "Documents",
    "FileEdits",
    "FileText",
    "RewriteResult",
    "SearchResult",
    "Skipped",
    "Symbol",
    "SyntaxErrors",
    "TextEdit",
    "apply_edits",
]

T = TypeVar("T")

MOST = 100_000_000
"""The highest limit that the tools accept."""

Documents = Mapping[str, str | None]
"""Texts by path that stand in for the files; ``None`` means that there is no such file."""


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
        return list((await self._call("glob", Paths, arguments, documents)).paths)

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
        result = await self._call("syntax", Syntax, {"paths": present}, documents)
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
                diff = (await self._call("diff", Diff, arguments)).diff
                parts.append(diff if modified else _with_null_side(batch[0], diff))
        return "".join(parts)

    async def outline(
        self,
        globs: Sequence[str] = (),
        *,
        paths: Sequence[str] | None = None,
        documents: Documents | None = None,
    ) -> dict[str, tuple[Symbol, ...]]:
        """The definitions of each selected file, in the order of its text."""
        result = await self._call("outline", Outline, _selection(globs, paths), documents)
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
    return {"globs": list(globs), "respectIgnore": True}


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
