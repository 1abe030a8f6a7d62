"""What a model gives to the tools of a desk: checked against these, which are also their schemas."""

from __future__ import annotations

from msgspec import Struct

from orchestrator_core.errors import ToolRejected

LINES = 600
"""The most that one read answers."""


class ListFiles(Struct, frozen=True, forbid_unknown_fields=True):
    """Which files."""

    globs: tuple[str, ...] = ()


class Read(Struct, frozen=True, forbid_unknown_fields=True):
    """Which lines of a file; to the end, as far as that is allowed, with an ``end_line`` of 0."""

    path: str
    start_line: int = 1
    end_line: int = 0


class Search(Struct, frozen=True, forbid_unknown_fields=True):
    """What to look for, and where."""

    pattern: str
    globs: tuple[str, ...] = ()
    literal: bool = False
    ignore_case: bool = False


class SearchSyntax(Struct, frozen=True, forbid_unknown_fields=True):
    """What code to look for, and where."""

    pattern: str
    globs: tuple[str, ...] = ()
    language: str | None = None


class RewriteSyntax(Struct, frozen=True, forbid_unknown_fields=True):
    """What code to rewrite into what, and where."""

    pattern: str
    rewrite: str
    globs: tuple[str, ...] = ()
    language: str | None = None


class Edit(Struct, frozen=True, forbid_unknown_fields=True):
    """What to put in the place of ``old``, or of the lines from ``start_line`` to ``end_line``."""

    path: str
    new: str
    old: str = ""
    start_line: int = 0
    end_line: int = 0


class Create(Struct, frozen=True, forbid_unknown_fields=True):
    """A new file."""

    path: str
    text: str


class Delete(Struct, frozen=True, forbid_unknown_fields=True):
    """Which file."""

    path: str


class Diagnose(Struct, frozen=True, forbid_unknown_fields=True):
    """Which files."""

    paths: tuple[str, ...] = ()


class RenameSymbol(Struct, frozen=True, forbid_unknown_fields=True):
    """Which symbol, as in ``Class.method``, and how it is to be called."""

    symbol: str
    new_name: str
    globs: tuple[str, ...] = ()


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    """A command line."""

    command: str


def place_of(text: str, a: Edit) -> tuple[int, int]:
    """Run a command line on a copy of the workspace, with your changes in it; it keeps none."""
    if a.start_line:
        lines = text.splitlines(keepends=True)
        end_line = a.end_line or a.start_line
        if a.old:
            raise ToolRejected("name the place by old, or by start_line and end_line, not by both")
        if not 1 <= a.start_line <= end_line <= len(lines):
            raise ToolRejected(f"{a.path} has lines 1 to {len(lines)}")
        start = sum(map(len, lines[: a.start_line - 1]))
        end = start + sum(map(len, lines[a.start_line - 1 : end_line]))
        last = lines[end_line - 1]
        if a.new and not a.new.endswith("\n") and last.endswith("\n"):
            end -= len(last) - len(last.rstrip("\r\n"))
        return start, end
    if not a.old:
        raise ToolRejected("old is empty: name the text to replace, or start_line and end_line")
    count = text.count(a.old)
    if count == 0:
        raise ToolRejected(
            f"{a.path} does not contain old as it was given: read it again, and copy the text "
            "without line numbers"
        )
    if count > 1:
        raise ToolRejected(
            f"old occurs {count} times in {a.path}: add lines around it until it is unique, or "
            "use start_line and end_line"
        )
    start = text.index(a.old)
    return start, start + len(a.old)
