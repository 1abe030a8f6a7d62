"""Where an agent runs: its folder, its environment, and what keeps it to them."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from orchestrator_core.agents.acp_folder import AgentFolder
from orchestrator_core.agents.acp_snapshot import history, take_snapshot, tracked
from orchestrator_core.errors import AgentError
from orchestrator_core.runtime.confinement import filtered_environment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from orchestrator_core.agents.acp_connection import AgentConnection
    from orchestrator_core.agents.acp_worktree import WorkTree
    from orchestrator_core.agents.agent_choice import Agent
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.runtime.confinement import Confinement

T = TypeVar("T")

_NEVER = (".git/", ".opencode/")
_SETTINGS = (
    *(".claude/", ".gemini/", ".codex/", ".mcp.json", "opencode.json", "opencode.jsonc"),
    *("CLAUDE.local.md",),
)
"""Files by which a workspace makes agents run code: not for one in a workspace nobody trusts."""


class AgentHouse:
    """Makes what sessions need; see :class:`~agents.acp_sessions.House`.

    Args:
        engine: the workspace's services.
        agent: who lives here.
        environment: this process's.
    """

    def __init__(self, engine: Engine, agent: Agent, environment: Mapping[str, str]) -> None:
        self._engine = engine
        self._agent = agent
        self._environment = environment
        self._folder: AgentFolder | None = None

    @property
    def copies(self) -> Path:
        """The folder with all copies."""
        return self._made().theirs

    async def connect(self) -> AgentConnection:
        """Start the agent.

        Raises:
            AgentError: what it needs is not installed, or there is no room for it.
            ToolUnavailable: it cannot be started, or not be confined as the settings want.
            ModelFault: it did not answer.
        """
        argv = await _to_its_end(self._engine.pool.submit(self._prepare))
        module = await asyncio.to_thread(import_module, "orchestrator_core.agents.acp_connection")
        folder = self._made()
        environment = {
            **self._agent.environment,
            **filtered_environment(
                self._environment,
                self._agent.passed | set(self._engine.settings.pass_environment),
            ),
            "TMPDIR": str(folder.temporary),
        }
        connection: AgentConnection = await module.AgentConnection.open(
            self._agent.name,
            argv,
            cwd=folder.theirs,
            env=environment,
            manners=self._agent.manners,
        )
        return connection

    async def tree(self) -> WorkTree:
        """A new copy of the workspace, empty yet."""
        return await _to_its_end(self._engine.pool.submit(self._made().tree))

    async def fill(
        self,
        tree: WorkTree,
        texts: Mapping[str, bytes | None],
        readable: Callable[[str], bool],
    ) -> None:
        """Make a copy hold the workspace as it is now.

        Args:
            tree: the copy.
            texts: what differs from the disk.
            readable: whether a file may be in it.

        Raises:
            AgentError: it cannot be made: the agent must not work anywhere else.
        """
        files = await self._engine.toolbox.code.glob(hidden=True)
        try:
            filling = self._engine.pool.submit(self._fill, tree, files, texts, readable)
            await _to_its_end(filling, tree.abandon)
        except OSError as error:
            raise AgentError(
                f"no copy of the workspace could be made for {self._agent.name}, and it works "
                f"nowhere else: {error}"
            ) from error

    async def leave(self) -> None:
        """Delete all that the agent had here."""
        folder, self._folder = self._folder, None
        if folder is not None:
            await asyncio.to_thread(folder.remove)

    def in_force(self) -> str:
        """What keeps the agent from the rest of the system, in a few words. Blocks once."""
        return self._confinement().in_force()

    def _confinement(self) -> Confinement:
        return self._engine.toolbox.shell.confinement.for_agent(self._agent.writes)

    def _made(self) -> AgentFolder:
        assert self._folder is not None, "the agent was not started"
        return self._folder

    def _prepare(self) -> list[str]:
        """Make the agent's folder, and the command line that keeps it there."""
        try:
            if self._folder is None:
                self._folder = AgentFolder(self._engine.scratch)
            for place in self._agent.makes:
                place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AgentError(f"{self._agent.name} has nowhere to work: {error}") from error
        writes = [self._folder.theirs, *self._agent.writes]
        return self._confinement().wrap(self._agent.argv, writes)

    def _fill(
        self,
        tree: WorkTree,
        files: list[str],
        texts: Mapping[str, bytes | None],
        readable: Callable[[str], bool],
    ) -> None:
        root = self._engine.workspace.root
        trusted = self._engine.toolbox.shell.trusted
        absent = _NEVER if trusted else (*_NEVER, *_SETTINGS)
        held = self._confinement().status().files
        tree.fill(
            root,
            (p for p in {*files, *tracked(root)} if not p.startswith(absent) and readable(p)),
            {p: data for p, data in texts.items() if not p.startswith(absent) and readable(p)},
            link=trusted and held,  # a link is a way out for whoever is not confined
        )
        past = history(root)
        if past is not None:
            take_snapshot(tree.path, past, self._made().ours, tree.links)


async def _to_its_end(work: Awaitable[T], hurry: Callable[[], None] = lambda: None) -> T:
    """Await work in a thread, even when cancelled: it must not go on where others delete.

    Args:
        work: what is done.
        hurry: called when it is cancelled, to have it end soon.
    """

    async def done() -> T:
        return await work

    task = asyncio.create_task(done())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        hurry()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # seen: the cancellation goes before
        raise
