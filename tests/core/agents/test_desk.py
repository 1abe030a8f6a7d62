"""The tools of an agent, called as a model calls them, on a draft."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from orchestrator_core.agents.chat import ToolCall
from orchestrator_core.agents.desk import Desk, Rights
from orchestrator_core.agents.permission_gate import NobodyToAsk, PermissionGate
from orchestrator_core.agents.permissions import Permissions
from orchestrator_core.agents.tool_calls import RegistryTools
from orchestrator_core.agents.untrusted import Marker
from orchestrator_core.config import Settings
from orchestrator_core.places import Places
from orchestrator_core.services import Services
from orchestrator_core.tools.registry import Permission
from orchestrator_core.workspace.draft import Draft
from scripted_backend import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

APP = "def total(items):\n    return sum(items)\n"


class Agent:
    """Calls tools and answers with their words, without the marks around them."""

    def __init__(self, services: Services) -> None:
        self.draft = Draft(services.engine.workspace)
        self.commands: list[str] = []
        self._engine = services.engine
        self.limit()

    def limit(self, permissions: tuple[Permission, ...] = tuple(Permission), **narrow: Any) -> None:
        """What it may do from now on."""

        async def run(command: str) -> str:
            self.commands.append(command)
            return "exited, exit code 0"

        engine = self._engine
        rights = Permissions.of(engine.workspace)
        if narrow:
            rights = rights.narrowed(**narrow)
        asks = PermissionGate(NobodyToAsk())
        desk = Desk(self.draft, engine.toolbox, engine.pool, Rights(rights, asks), run)
        self.tools = RegistryTools(desk.tools(), permissions, Marker("x"))

    async def __call__(self, name: str, **arguments: Any) -> str:
        result = await self.tools.call(ToolCall("1", name, json.dumps(arguments)))
        return result.text.removeprefix("<data-x>\n").removesuffix("\n</data-x>")


@pytest_asyncio.fixture
async def agent(project: Path, tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent on a draft of the project."""
    places = Places.of(project, state=tmp_path / "state", cache=tmp_path / "cache")
    services = await Services.open(project, Settings(), Recorder(), places=places)
    try:
        yield Agent(services)
    finally:
        await services.close()


async def test_it_lists_reads_and_searches(agent: Agent) -> None:
    assert (await agent("list_files")).splitlines() == ["app.py", "auth.py", "notes.md"]
    assert await agent("list_files", globs=["*.md"]) == "notes.md"
    assert await agent("read", path="app.py", start_line=2) == "2\t    return sum(items)"
    assert (
        await agent("search", pattern="def \\w+", globs=["app.py"]) == "app.py:1: def total(items):"
    )
    assert await agent("search", pattern="nowhere") == "no matches"
    assert "auth.py:2" in await agent("search_syntax", pattern="$A == $B", language="python")


async def test_an_edit_names_a_text_that_occurs_once(agent: Agent) -> None:
    assert (
        await agent("edit", path="app.py", old="sum(items)", new="len(items)") == "app.py changed"
    )
    assert "return len(items)" in agent.draft.read("app.py").text
    assert "len(items)" in await agent("read", path="app.py")
    assert await agent("search", pattern="len\\(", globs=["app.py"]) != "no matches"


async def test_an_ambiguous_edit_is_an_error_and_changes_nothing(agent: Agent) -> None:
    told = await agent("edit", path="app.py", old="items", new="things")
    assert "occurs 2 times" in told
    assert "does not contain" in await agent("edit", path="app.py", old="nothing", new="x")
    assert "old is empty" in await agent("edit", path="app.py", new="x")
    assert agent.draft.changes() == ()


@pytest.mark.parametrize(
    ("lines", "new", "result"),
    [
        ((1, 1), "def total(things):", "def total(things):\n    return sum(items)\n"),
        ((2, 2), "    return 1\n", "def total(items):\n    return 1\n"),
        ((1, 2), "", ""),
        ((2, 0), "    return 2\n    # end", "def total(items):\n    return 2\n    # end\n"),
    ],
)
async def test_an_edit_by_lines(
    agent: Agent, lines: tuple[int, int], new: str, result: str
) -> None:
    start, end = lines
    told = await agent("edit", path="app.py", start_line=start, end_line=end, new=new)
    assert told == "app.py changed"
    assert agent.draft.read("app.py").text == result


@pytest.mark.parametrize("lines", [(3, 3), (2, 1), (1, 9), (-1, 1)])
async def test_lines_that_are_not_there_are_an_error(agent: Agent, lines: tuple[int, int]) -> None:
    told = await agent("edit", path="app.py", start_line=lines[0], end_line=lines[1], new="x")
    assert "has lines 1 to 2" in told
    both = await agent("edit", path="app.py", start_line=1, old="sum", new="x")
    assert "not by both" in both


async def test_files_are_created_once_and_deleted(agent: Agent) -> None:
    assert await agent("create", path="pkg/new.py", text="x = 1\n") == "pkg/new.py created"
    assert "exists already" in await agent("create", path="app.py", text="")
    assert await agent("delete", path="notes.md") == "notes.md deleted"
    assert "does not exist" in await agent("read", path="notes.md")
    assert [c.kind for c in agent.draft.changes()] == ["delete", "create"]


async def test_code_is_rewritten_by_syntax_and_by_symbol(agent: Agent) -> None:
    told = await agent("rewrite_syntax", pattern="sum($A)", rewrite="fsum($A)", language="python")
    assert told == "app.py: 1 edits"
    assert await agent("rewrite_syntax", pattern="gone($A)", rewrite="x") == (
        "nothing matched, nothing changed"
    )
    assert await agent("rename_symbol", symbol="total", new_name="add_up") == "app.py: 1 edits"
    assert agent.draft.read("app.py").text == "def add_up(items):\n    return fsum(items)\n"


async def test_diagnostics_see_the_draft(agent: Agent) -> None:
    assert await agent("diagnostics") == "nothing found"
    await agent("edit", path="app.py", old="sum(items)", new="sum(items")
    assert "app.py:2" in await agent("diagnostics")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "no JSON"),
        ("[1]", "must be a JSON object"),
        ('{"path": 3}', "read: "),
        ('{"path": "app.py", "mode": "x"}', "unknown field"),
        ('{"path": "../secret"}', "leads out of the workspace"),
        ('{"path": "/etc/passwd"}', "outside the workspace"),
    ],
)
async def test_wrong_calls_are_told_to_the_model(agent: Agent, arguments: str, told: str) -> None:
    result = await agent.tools.call(ToolCall("1", "read", arguments))
    assert result.failed
    assert told in result.text


async def test_an_unknown_tool_names_the_closest(agent: Agent) -> None:
    assert "did you mean" in await agent("red", path="app.py")


async def test_rights_hold_for_every_tool_that_writes(agent: Agent) -> None:
    agent.limit(files=["auth.py"], source="task T1")
    refused = [
        await agent("edit", path="app.py", old="sum", new="len"),
        await agent("create", path="other.py", text=""),
        await agent("delete", path="app.py"),
        await agent("rewrite_syntax", pattern="sum($A)", rewrite="len($A)", language="python"),
        await agent("rename_symbol", symbol="total", new_name="add_up"),
    ]
    assert all("not allowed" in told for told in refused)
    assert agent.draft.changes() == ()
    assert await agent("edit", path="auth.py", old="admin", new="root") == "auth.py changed"


async def test_a_link_out_of_the_workspace_is_neither_read_nor_written(
    agent: Agent, project: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("private\n")
    (project / "link.txt").symlink_to(outside)
    for told in (
        await agent("read", path="link.txt"),
        await agent("edit", path="link.txt", old="private", new="x"),
    ):
        assert "private" not in told
        assert "outside the workspace" in told


async def test_searches_leave_out_what_may_not_be_read(agent: Agent, project: Path) -> None:
    (project / "key.pem").write_text("needle\n")
    (project / "plain.txt").write_text("needle\n")
    assert "key.pem" not in await agent("list_files")
    assert await agent("search", pattern="needle") == "plain.txt:1: needle"


async def test_a_command_needs_somebody_who_allows_it(agent: Agent) -> None:
    assert "not allowed" in await agent("run", command="pytest")
    assert agent.commands == []


async def test_a_role_that_only_looks_has_no_other_tools(agent: Agent) -> None:
    agent.limit((Permission.READ,))
    names = {spec.name for spec in agent.tools.specs}
    assert names == {"list_files", "read", "search", "search_syntax", "diagnostics"}
    assert "permission" in await agent("edit", path="app.py", old="sum", new="len")


async def test_a_long_file_is_read_in_parts(agent: Agent, project: Path) -> None:
    (project / "long.txt").write_text("".join(f"{n}\n" for n in range(1, 1001)))
    told = await agent("read", path="long.txt")
    assert told.endswith("[lines 601 to 1000 follow]")
    assert (await agent("read", path="long.txt", start_line=601)).endswith("1000\t1000")


async def test_every_tool_says_what_it_takes(agent: Agent) -> None:
    for spec in agent.tools.specs:
        assert spec.description
        assert spec.schema["type"] == "object"
