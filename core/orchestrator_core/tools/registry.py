"""The one place where tools are registered, for planner, agents and the command line alike."""

from __future__ import annotations

import asyncio
import difflib
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec
from msgspec import Struct

from orchestrator_core.decoding import LEARNING
from orchestrator_core.errors import ToolRejected, ToolTimeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

    from orchestrator_core.runtime.tool_pool import RustToolPool
    from orchestrator_core.tools.toolbox import Toolbox

P = TypeVar("P", bound=Struct)

READ_S = 30.0
WRITE_S = 60.0
EXECUTE_S = 600.0


class Permission(StrEnum):
    """What a caller must be allowed to do. No tool writes files: the caller applies edits."""

    READ = "read"  # looks at the workspace
    WRITE = "write"  # gives edits or texts that are meant to be applied
    EXECUTE = "execute"  # runs programs of the person's or the workspace's choice


class Tool(Struct, frozen=True):
    """A tool that can be called.

    Attributes:
        input_schema: the JSON schema of its arguments.
        timeout_s: how long a call may take.
        run: takes the arguments and answers with what JSON can hold. Cancelling it stops the work.
    """

    name: str
    description: str
    input_schema: dict[str, Any]
    permission: Permission
    timeout_s: float
    run: Callable[[Mapping[str, object]], Awaitable[object]]


class ToolRegistry:
    """Tools by name. Filled once, then only read: safe from any thread."""

    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}

    @classmethod
    async def of(cls, pool: RustToolPool, toolbox: Toolbox) -> Self:
        """The tool server's tools, as it lists them, and those that are written in Python."""
        registry = cls()
        for info in await pool.list_tools():
            permission = Permission.WRITE if info.name in _REWRITING else Permission.READ
            timeout_s = READ_S if permission is Permission.READ else WRITE_S
            registry.add(
                Tool(
                    name=info.name,
                    description=info.description,
                    input_schema=info.input_schema,
                    permission=permission,
                    timeout_s=timeout_s,
                    run=_remote(pool, info.name, timeout_s),
                )
            )
        for tool in _python_tools(toolbox):
            registry.add(tool)
        return registry

    def add(self, tool: Tool) -> None:
        """Register a tool.

        Raises:
            ValueError: there is one of that name.
        """
        if tool.name in self._tools:
            raise ValueError(f"there is a tool {tool.name} already")
        self._tools[tool.name] = tool

    def get(self, name: str) -> Tool:
        """The tool of that name.

        Raises:
            ToolRejected: there is none; the message names the closest.
        """
        tool = self._tools.get(name)
        if tool is None:
            close = difflib.get_close_matches(name, self._tools, n=3) or sorted(self._tools)
            raise ToolRejected(f"there is no tool {name!r}; did you mean {', '.join(close)}?")
        return tool

    def allowed(self, permissions: Collection[Permission]) -> list[Tool]:
        """The tools that a caller with these permissions may call, in the order of their names."""
        return sorted(
            (tool for tool in self._tools.values() if tool.permission in permissions),
            key=lambda tool: tool.name,
        )

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    async def call(
        self, name: str, arguments: Mapping[str, object], permissions: Collection[Permission]
    ) -> object:
        """Call a tool on behalf of somebody who has ``permissions``.

        Raises:
            ToolRejected: no such tool, not permitted, or wrong arguments.
            ToolTimeout: it took longer than the tool's limit; its work was stopped.
            ToolError, RequestError: as the tool itself raises.
        """
        tool = self.get(name)
        if tool.permission not in permissions:
            raise ToolRejected(f"{name} needs the permission to {tool.permission}")
        try:
            async with asyncio.timeout(tool.timeout_s):
                return await tool.run(arguments)
        except TimeoutError as error:
            raise ToolTimeout(f"{name} was not done within {tool.timeout_s:g} s") from error


_REWRITING = frozenset({"ast_rewrite", "replace"})


class _Text(Struct, frozen=True, forbid_unknown_fields=True):
    """A Python text and the file that it is meant to be."""

    path: str
    text: str


class _Fix(Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    text: str
    rules: tuple[str, ...] = ()


class _Rename(Struct, frozen=True, forbid_unknown_fields=True):
    symbol: str
    new_name: str
    globs: tuple[str, ...] = ()
    documents: dict[str, str | None] = {}


class _Run(Struct, frozen=True, forbid_unknown_fields=True):
    command: str
    timeout_s: float = EXECUTE_S


def _python_tools(toolbox: Toolbox) -> Iterator[Tool]:
    lint, rename, shell = toolbox.lint, toolbox.rename, toolbox.shell

    async def do_rename(a: _Rename) -> object:
        symbol = await rename.find(a.symbol, a.globs, documents=a.documents)
        return await rename.rename(symbol, a.new_name, documents=a.documents)

    yield local_tool(
        "lint",
        "What the linter finds in a Python text.",
        Permission.READ,
        _Text,
        lambda a: lint.findings(a.path, a.text),
    )
    yield local_tool(
        "fix",
        "A Python text with the linter's safe fixes, of the rules given or of all configured.",
        Permission.WRITE,
        _Fix,
        lambda a: lint.fix(a.path, a.text, a.rules),
    )
    yield local_tool(
        "format",
        "A Python text as the formatter lays it out.",
        Permission.WRITE,
        _Text,
        lambda a: lint.format(a.path, a.text),
    )
    yield local_tool(
        "rename",
        "The edits that rename a Python symbol wherever it is meant.",
        Permission.WRITE,
        _Rename,
        do_rename,
    )
    yield local_tool(
        "shell",
        "Run a shell line in a trusted workspace.",
        Permission.EXECUTE,
        _Run,
        lambda a: shell.run(a.command, timeout_s=a.timeout_s),
        timeout_s=EXECUTE_S + 5,
    )


def local_tool(
    name: str,
    description: str,
    permission: Permission,
    arguments_type: type[P],
    call: Callable[[P], Awaitable[object]],
    *,
    timeout_s: float = WRITE_S,
) -> Tool:
    """A tool in Python whose arguments are a Struct."""

    async def run(arguments: Mapping[str, object]) -> object:
        try:
            with LEARNING:
                given = msgspec.convert(arguments, arguments_type)
        except msgspec.ValidationError as error:
            raise ToolRejected(f"{name}: {error}") from error
        return msgspec.to_builtins(await call(given))

    schema = msgspec.json.schema(arguments_type)
    (definition,) = schema["$defs"].values()
    definition.pop("title", None)
    definition.pop("description", None)
    return Tool(name, description, definition, permission, timeout_s, run)


def _remote(
    pool: RustToolPool, name: str, timeout_s: float
) -> Callable[[Mapping[str, object]], Awaitable[object]]:
    async def run(arguments: Mapping[str, object]) -> object:
        return await pool.submit(name, arguments, timeout_s=timeout_s)

    return run
