"""What an agent's session works on in one use: its copy, what it may do there, and its turn."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orchestrator_core.tools.registry import Permission

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orchestrator_core.agents.acp_turn import Turn
    from orchestrator_core.agents.acp_worktree import WorkTree
    from orchestrator_core.agents.desk import Rights

_NOTES = 10


class Place:
    """One use of a session. Lives on the event loop.

    Args:
        tree: the copy of the workspace.
        root: the workspace.
        copies: the folder with all copies.
        rights: what the agent may do.
        turn: the turn that is under way.
        require_trust: raises where nobody has trusted the workspace to run commands.

    Attributes:
        refusals: what the agent was refused, for people.
    """

    def __init__(
        self,
        *,
        tree: WorkTree,
        root: Path,
        copies: Path,
        rights: Rights,
        turn: Turn,
        require_trust: Callable[[], None],
    ) -> None:
        self.tree = tree
        self.root = root
        self._copies = copies
        self._rights = rights
        self.turn = turn
        self.require_trust = require_trust
        self.refusals: list[str] = []
        self._writable: set[str] = set()

    async def require(
        self, tool: str, permission: Permission, paths: Sequence[str] = (), command: str = ""
    ) -> None:
        """Go on only with a call that is allowed; see :meth:`Rights.require`."""
        await self._rights.require(tool, permission, paths, command)

    async def require_write(self, path: str) -> None:
        """Go on only with a file that may be changed; nobody is asked twice about one.

        Raises:
            PermissionDenied: it may not.
        """
        if path not in self._writable:
            await self._rights.require("edit", Permission.WRITE, [path])
            self._writable.add(path)

    def note_refusal(self, reason: str) -> None:
        """Keep what was refused."""
        if len(self.turn.refused) < _NOTES:
            self.turn.refused.append(reason)
        if len(self.refusals) < _NOTES and reason not in self.refusals:
            self.refusals.append(reason)

    def astray(self, path: str) -> str:
        """Why the agent must not change a path: it is the workspace's own, or another's copy."""
        if self.tree.relative(path) is not None:
            return ""
        real = os.path.realpath(os.path.join(self.tree.path, path))  # noqa: PTH118
        for folder in (self.root, self._copies):
            if real.startswith(os.path.realpath(folder) + os.sep):
                return f"it changes {path}, which is outside its copy of the workspace"
        return ""
