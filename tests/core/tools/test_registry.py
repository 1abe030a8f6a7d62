"""Every tool is registered in one place, with schema, permission and time limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator_core.errors import ToolRejected, ToolTimeout, UntrustedWorkspace
from orchestrator_core.runtime.confinement import Confinement
from orchestrator_core.runtime.programs import tool_server
from orchestrator_core.tools.lint import Linter
from orchestrator_core.tools.registry import Permission, Tool, ToolRegistry
from orchestrator_core.tools.rename import Renamer
from orchestrator_core.tools.shell import Shell
from orchestrator_core.tools.toolbox import Toolbox
from orchestrator_core.tools.trust import TrustStore
from orchestrator_core.workspace.documents import Workspace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from orchestrator_core.runtime.tool_pool import RustToolPool
    from orchestrator_core.tools.code import CodeTools

ALL = tuple(Permission)


@pytest.fixture
async def registry(
    pool: RustToolPool, code: CodeTools, root: Path, tmp_path: Path
) -> AsyncIterator[ToolRegistry]:
    (root / "a.py").write_text("def load():\n    pass\n")
    store = TrustStore(tmp_path / "trust.json")
    with Linter(root) as lint:
        toolbox = Toolbox(
            code,
            lint,
            Renamer(Workspace(root), code),
            Shell(root, store, Confinement(tool_server())),
        )
        yield await ToolRegistry.of(pool, toolbox)


async def test_all_tools_are_there_with_schema_permission_and_limit(registry: ToolRegistry) -> None:
    names = {tool.name for tool in registry}
    assert {"grep", "multi_grep", "glob", "ast_search", "ast_rewrite", "replace", "diff"} <= names
    assert {"outline", "file_stats", "git_status", "git_diff", "read", "syntax"} <= names
    assert {"lint", "fix", "format", "rename", "shell"} <= names
    assert len(registry) == len(names)
    for tool in registry:
        assert tool.description
        assert tool.input_schema["type"] == "object"
        assert tool.input_schema["properties"]
        assert tool.timeout_s > 0


async def test_permissions_limit_what_can_be_seen_and_called(registry: ToolRegistry) -> None:
    reading = {tool.name for tool in registry.allowed([Permission.READ])}
    assert "grep" in reading
    assert not reading & {"replace", "ast_rewrite", "rename", "fix", "format", "shell"}
    assert {t.name for t in registry.allowed([Permission.EXECUTE])} == {"shell"}
    with pytest.raises(ToolRejected, match="permission to write"):
        await registry.call("replace", {}, [Permission.READ])


async def test_rust_and_python_tools_are_called_alike(registry: ToolRegistry) -> None:
    found = await registry.call("grep", {"pattern": "load"}, ALL)
    assert isinstance(found, dict)
    assert found["total"] == 1
    problems = await registry.call("lint", {"path": "b.py", "text": "x\n"}, ALL)
    assert isinstance(problems, list)
    assert "F821" in [problem["code"] for problem in problems]
    fixed = await registry.call("fix", {"path": "b.py", "text": "import os\n", "rules": ["F"]}, ALL)
    assert fixed == ""
    assert await registry.call("format", {"path": "b.py", "text": "x=1"}, ALL) == "x = 1\n"
    renamed = await registry.call("rename", {"symbol": "load", "new_name": "read"}, ALL)
    assert isinstance(renamed, dict)
    assert renamed["files"][0]["path"] == "a.py"


async def test_wrong_calls_are_rejected_with_a_reason(registry: ToolRegistry) -> None:
    with pytest.raises(ToolRejected, match="did you mean grep"):
        await registry.call("grpe", {}, ALL)
    with pytest.raises(ToolRejected, match=r"lint: .*text"):
        await registry.call("lint", {"path": "a.py"}, ALL)
    with pytest.raises(ToolRejected, match=r"lint: .*txet"):
        await registry.call("lint", {"path": "a.py", "text": "", "txet": ""}, ALL)
    with pytest.raises(ToolRejected, match="unknown argument"):
        await registry.call("grep", {"pattern": "x", "ptatern": 1}, ALL)
    with pytest.raises(UntrustedWorkspace):
        await registry.call("shell", {"command": "true"}, ALL)


async def test_a_tool_that_takes_too_long_is_stopped() -> None:
    stopped = asyncio.Event()

    async def slow(_: Mapping[str, object]) -> object:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    registry = ToolRegistry()
    registry.add(Tool("slow", "waits", {}, Permission.READ, 0.02, slow))
    with pytest.raises(ToolTimeout, match="slow"):
        await registry.call("slow", {}, ALL)
    assert stopped.is_set()
    with pytest.raises(ValueError, match="already"):
        registry.add(Tool("slow", "again", {}, Permission.READ, 1, slow))
