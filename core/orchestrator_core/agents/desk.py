"""The tools of one agent on its snapshot of the workspace: what it reads and what it changes.

Everything happens on a draft. Each call passes the agent's permissions first, with every file
that it is about; searches leave out what the agent may not read. Edits name their place by a text
that occurs once, or by lines: what is ambiguous is an error that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from orchestrator_core.agents import tool_arguments as arguments
from orchestrator_core.agents.permissions import ToolCall as Wish
from orchestrator_core.errors import ToolRejected
from orchestrator_core.safety import Effect
from orchestrator_core.tools.registry import WRITE_S, Permission, ToolRegistry, local_tool
from orchestrator_core.workspace.edits import TextEdit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from orchestrator_core.agents.permission_gate import PermissionGate
    from orchestrator_core.agents.permissions import Permissions
    from orchestrator_core.runtime.worker_pool import WorkStealingPool
    from orchestrator_core.tools.code import FileEdits
    from orchestrator_core.tools.registry import Tool
    from orchestrator_core.tools.toolbox import Toolbox
    from orchestrator_core.workspace.draft import Draft

    RunLine = Callable[[str], Awaitable[str]]

P = TypeVar("P", bound=Struct)

LINES = arguments.LINES
MATCHES = 100
FILES = 500
RUN_S = 600.0
_READ, _WRITE = Permission.READ, Permission.WRITE


class Rights:
    """What an agent may do, and who asks the person where that is not settled."""

    def __init__(self, permissions: Permissions, gate: PermissionGate) -> None:
        self.permissions = permissions
        self._gate = gate

    async def require(
        self, tool: str, permission: Permission, paths: Iterable[str] = (), command: str = ""
    ) -> None:
        """Go on only with a call that is allowed.

        Raises:
            PermissionDenied: it is not; the message says why.
        """
        wish = Wish(tool, permission, tuple(paths), command)
        await self._gate.require(wish, self.permissions)

    def readable(self, tool: str, path: str) -> bool:
        """Whether a file may be looked at without asking."""
        wish = Wish(tool, Permission.READ, (path,))
        return self.permissions.decide(wish).effect is Effect.ALLOW


class Desk:
    """One agent's tools, for :meth:`tools`.

    Args:
        draft: what it sees, and where its changes go.
        toolbox: the tools of the workspace.
        pool: where blocking work goes.
        rights: what it may do.
        run: runs a command line and answers what came of it; None: it cannot run any.
    """

    def __init__(
        self,
        draft: Draft,
        toolbox: Toolbox,
        pool: WorkStealingPool,
        rights: Rights,
        run: RunLine | None = None,
    ) -> None:
        self._draft = draft
        self._toolbox = toolbox
        self._pool = pool
        self._rights = rights
        self._run = run

    def tools(self) -> ToolRegistry:
        """The tools, by name."""
        registry = ToolRegistry()
        for tool in (
            _tool("list_files", _READ, arguments.ListFiles, self._list),
            _tool("read", _READ, arguments.Read, self._read),
            _tool("search", _READ, arguments.Search, self._search),
            _tool("search_syntax", _READ, arguments.SearchSyntax, self._search_syntax),
            _tool("diagnostics", _READ, arguments.Diagnose, self._diagnostics),
            _tool("edit", _WRITE, arguments.Edit, self._edit),
            _tool("create", _WRITE, arguments.Create, self._create),
            _tool("delete", _WRITE, arguments.Delete, self._delete),
            _tool("rewrite_syntax", _WRITE, arguments.RewriteSyntax, self._rewrite_syntax),
            _tool("rename_symbol", _WRITE, arguments.RenameSymbol, self._rename),
        ):
            registry.add(tool)
        if self._run is not None:
            registry.add(_tool("run", Permission.EXECUTE, arguments.Run, self._run_line))
        return registry

    async def _list(self, a: arguments.ListFiles) -> str:
        await self._rights.require("list_files", Permission.READ, ["."])
        paths = await self._toolbox.code.glob(a.globs, documents=self._draft.documents())
        return _first([p for p in paths if self._rights.readable("list_files", p)], FILES, "files")

    async def _read(self, a: arguments.Read) -> str:
        await self._rights.require("read", Permission.READ, [a.path])
        document = await self._pool.submit(self._draft.read, a.path)
        lines = document.text.splitlines()
        start = max(1, a.start_line)
        end = min(a.end_line or start + LINES - 1, start + LINES - 1, len(lines))
        shown = [f"{number}\t{lines[number - 1]}" for number in range(start, end + 1)]
        if end < len(lines):
            shown.append(f"[lines {end + 1} to {len(lines)} follow]")
        return "\n".join(shown) or "[empty]"

    async def _search(self, a: arguments.Search) -> str:
        await self._rights.require("search", Permission.READ, ["."])
        found = await self._toolbox.code.grep(
            a.pattern,
            globs=a.globs,
            literal=a.literal,
            ignore_case=a.ignore_case,
            documents=self._draft.documents(),
        )
        lines = [
            f"{m.path}:{m.line}: {m.text}"
            for m in found.matches
            if self._rights.readable("search", m.path)
        ]
        return _first(lines, MATCHES, "matches")

    async def _search_syntax(self, a: arguments.SearchSyntax) -> str:
        await self._rights.require("search_syntax", Permission.READ, ["."])
        found = await self._toolbox.code.search(
            a.pattern, globs=a.globs, language=a.language, documents=self._draft.documents()
        )
        lines = [
            f"{m.path}:{m.line}: {m.text}"
            for m in found.matches
            if self._rights.readable("search_syntax", m.path)
        ]
        return _first(lines, MATCHES, "matches")

    async def _diagnostics(self, a: arguments.Diagnose) -> str:
        documents = self._draft.documents()
        paths = [path for path in a.paths or documents if documents.get(path, "") is not None]
        await self._rights.require("diagnostics", Permission.READ, paths or ["."])
        lines: list[str] = []
        broken = await self._toolbox.code.syntax_errors(
            paths, documents={p: documents[p] for p in paths if p in documents}
        )
        for path, errors in sorted(broken.items()):
            if (first := errors.first) is not None:
                lines.append(f"{path}:{first.line}:{first.column}: does not parse: {first.text}")
        for path in paths:
            if self._toolbox.lint.covers(path):
                document = await self._pool.submit(self._draft.read, path)
                lines += [
                    f"{path}:{f.line}:{f.column}: {f.code} {f.message}"
                    for f in await self._toolbox.lint.findings(path, document.text)
                ]
        return _first(lines, MATCHES, "findings") if lines else "nothing found"

    async def _edit(self, a: arguments.Edit) -> str:
        await self._rights.require("edit", Permission.WRITE, [a.path])
        document = await self._pool.submit(self._draft.read, a.path)
        start, end = arguments.place_of(document.text, a)
        edit = TextEdit(start, end, a.new)
        await self._pool.submit(self._draft.edit, a.path, [edit], sha256=document.sha256)
        return f"{a.path} changed"

    async def _create(self, a: arguments.Create) -> str:
        await self._rights.require("create", Permission.WRITE, [a.path])
        if await self._pool.submit(self._draft.find, a.path) is not None:
            raise ToolRejected(f"{a.path} exists already: use edit")
        await self._pool.submit(self._draft.write, a.path, a.text)
        return f"{a.path} created"

    async def _delete(self, a: arguments.Delete) -> str:
        await self._rights.require("delete", Permission.WRITE, [a.path])
        await self._pool.submit(self._draft.delete, a.path)
        return f"{a.path} deleted"

    async def _rewrite_syntax(self, a: arguments.RewriteSyntax) -> str:
        result = await self._toolbox.code.rewrite(
            a.pattern,
            a.rewrite,
            globs=a.globs,
            language=a.language,
            documents=self._draft.documents(),
        )
        return await self._take("rewrite_syntax", result.files)

    async def _rename(self, a: arguments.RenameSymbol) -> str:
        documents = self._draft.documents()
        rename = self._toolbox.rename
        symbol = await rename.find(a.symbol, a.globs, documents=documents)
        result = await rename.rename(symbol, a.new_name, documents=documents)
        return await self._take("rename_symbol", result.files)

    async def _take(self, tool: str, files: Sequence[FileEdits]) -> str:
        """Make a tool's edits, all or none of them."""
        edited = [file for file in files if file.edits]
        if not edited:
            return "nothing matched, nothing changed"
        await self._rights.require(tool, Permission.WRITE, [file.path for file in edited])
        for file in edited:
            await self._pool.submit(self._draft.edit, file.path, file.edits, sha256=file.sha256)
        return _first([f"{file.path}: {len(file.edits)} edits" for file in edited], FILES, "files")

    async def _run_line(self, a: arguments.Run) -> str:
        assert self._run is not None
        await self._rights.require("run", Permission.EXECUTE, command=a.command)
        return await self._run(a.command)


def _first(lines: Sequence[str], most: int, what: str) -> str:
    more = len(lines) - most
    shown = list(lines[:most])
    if more > 0:
        shown.append(f"[… and {more} more {what}: narrow the search]")
    return "\n".join(shown) or f"no {what}"


def _tool(
    name: str,
    permission: Permission,
    arguments_type: type[P],
    call: Callable[[P], Awaitable[str]],
) -> Tool:
    """A tool that the docstring of its arguments describes."""
    timeout_s = RUN_S if permission is Permission.EXECUTE else WRITE_S
    description = " ".join((arguments_type.__doc__ or "").split())
    return local_tool(name, description, permission, arguments_type, call, timeout_s=timeout_s)
