"""Linting, fixing and formatting of Python texts with ruff.

Texts are given to ``ruff server`` processes that stay. A text never touches the disk; its path
only says which configuration applies. Asked for many files at once, such a server is as fast as
one run of the command over all of them, and five times as fast as a run a text; its answers are
those of the command, which a test holds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from orchestrator_core.primitives.text_lines import TextLines
from orchestrator_core.runtime.programs import beside_python
from orchestrator_core.tools.positions import ProtocolEdit, Range
from orchestrator_core.tools.ruff_servers import Query, RuffServers, UnknownRule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SUFFIXES = (".py", ".pyi")
_FIX_ALL = "source.fixAll.ruff"
_MAX_ROUNDS = 10


class Finding(Struct, frozen=True):
    """Something that the linter found.

    Attributes:
        code: the rule, or ``invalid-syntax``.
        line: 1-based, as is ``column``, which counts characters.
        fixable: whether a safe fix exists.
    """

    code: str
    message: str
    line: int
    column: int
    fixable: bool


class Linter:
    """Ruff for the texts of one workspace; a context manager.

    The workspace's own configuration applies, as for the command: the closest ``pyproject.toml``
    or ``ruff.toml``, with its excluded files, ignores per file and ``noqa`` comments. A change to
    it is noticed. Coroutines may run in any loop, many at once; cancelling one stops it.

    Args:
        root: the workspace.
        timeout_s: the deadline of each answer.
    """

    def __init__(self, root: Path, *, timeout_s: float = 30.0) -> None:
        self._ruff = str(beside_python("ruff") or "ruff")
        self._servers = RuffServers(root, self._ruff, timeout_s)
        self._known_rules: set[tuple[str, ...]] = set()

    def covers(self, path: str) -> bool:
        """Whether the linter is for such files, by their name."""
        return path.endswith(_SUFFIXES)

    async def findings(self, path: str, text: str) -> list[Finding]:
        """What ruff finds in ``text``, as if it were the file ``path``, in the text's order.

        By the workspace's configuration, and always whether names exist and the text parses: one
        that does not has findings with the code ``invalid-syntax``. Excluded files have none.

        Raises:
            ToolError: the linter cannot run, or the workspace's configuration of it is wrong.
        """
        report, encoding = await self._servers.ask(None, path, text, _FIND)
        if not report.items:
            return []  # most texts: an index of their lines would cost the event loop some ms
        lines = TextLines(text, encoding)
        findings = [_finding(item, lines) for item in report.items]
        return sorted(findings, key=lambda f: (f.line, f.column, f.code))

    async def fix(self, path: str, text: str, rules: Sequence[str] = ()) -> str:
        """``text`` with all safe fixes, made until there is nothing more to fix.

        Args:
            path: says which configuration applies.
            text: the file's text; one that does not parse is given back as it is.
            rules: rules or prefixes of rules that are fixed, and no others; without any, those
                of the workspace's configuration, or ruff's own choice where there is none.

        Raises:
            UnknownRule: the linter has no such rule.
            ToolError: the linter cannot run, or the workspace's configuration of it is wrong.
        """
        key = tuple(sorted({rule.strip().upper() for rule in rules}))
        await self._require_rules(key)
        for _ in range(_MAX_ROUNDS):
            actions, encoding = await self._servers.ask(key, path, text, _FIX)
            edits = [edit for action in actions or () for edit in action.edits()]
            fixed = _apply(text, edits, encoding)
            if fixed == text:
                break
            text = fixed
        return text

    async def format(self, path: str, text: str) -> str:
        """``text`` as the formatter lays it out; one that does not parse is given back as it is.

        Raises:
            ToolError: the formatter cannot run, or its configuration is wrong.
        """
        edits, encoding = await self._servers.ask(None, path, text, _FORMAT)
        return _apply(text, edits or (), encoding)

    async def _require_rules(self, rules: tuple[str, ...]) -> None:
        """Ask the command, once a set: the server ignores unknown rules in some workspaces."""
        if not rules or rules in self._known_rules:
            return
        asked = await asyncio.create_subprocess_exec(
            *(self._ruff, "check", "--isolated", "--no-cache", "--select", ",".join(rules)),
            *("--stdin-filename", "empty.py", "-"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await asked.communicate()
        if asked.returncode:
            causes = told.decode(errors="replace").partition("Cause: ")[2] or "ruff failed"
            why = causes.strip().partition(" in `select`")[0]
            raise UnknownRule(f"fix {','.join(rules)}: {why}")
        self._known_rules.add(rules)

    def close(self) -> None:
        """End the servers."""
        self._servers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Data(Struct, frozen=True):
    is_preferred: bool | None = None


class _Diagnostic(Struct, frozen=True):
    range: Range
    message: str
    code: str = ""
    data: _Data | None = None


class _Report(Struct, frozen=True):
    items: tuple[_Diagnostic, ...] = ()


class _DocumentEdit(Struct, frozen=True):
    edits: tuple[ProtocolEdit, ...]


class _WorkspaceEdit(Struct, frozen=True, rename="camel"):
    document_changes: tuple[_DocumentEdit, ...] = ()


class _Action(Struct, frozen=True):
    kind: str = ""
    edit: _WorkspaceEdit | None = None

    def edits(self) -> list[ProtocolEdit]:
        if self.kind != _FIX_ALL or self.edit is None:
            return []
        return [edit for document in self.edit.document_changes for edit in document.edits]


_NOWHERE = {"line": 0, "character": 0}
_FIND = Query("textDocument/diagnostic", {}, _Report)
_FIX = Query(
    "textDocument/codeAction",
    {
        "range": {"start": _NOWHERE, "end": _NOWHERE},
        "context": {"diagnostics": [], "only": [_FIX_ALL]},
    },
    tuple[_Action, ...] | None,
)
_FORMAT = Query(
    "textDocument/formatting",
    {"options": {"tabSize": 4, "insertSpaces": True}},
    tuple[ProtocolEdit, ...] | None,
)


def _finding(item: _Diagnostic, lines: TextLines) -> Finding:
    message, _, _ = item.message.partition("\n\nhelp: ")
    start = item.range.start.offset_in(lines)
    return Finding(
        code=item.code,
        message=message,
        line=item.range.start.line + 1,
        column=lines.line_and_column(start)[1] + 1,
        fixable=item.data is not None and item.data.is_preferred is True,
    )


def _apply(text: str, edits: Sequence[ProtocolEdit], encoding: str) -> str:
    lines = TextLines(text, encoding)
    spans = [(*e.range.span_in(lines), e.new_text) for e in edits]
    spans.sort(key=lambda span: span[0])  # insertions at one place stay in the server's order
    for start, end, new_text in reversed(spans):
        text = text[:start] + new_text + text[end:]
    return text
