"""What the roles of any backend share: the workspace, rights, budgets, and what is told of them."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from orchestrator_core.agents.conventions import RULES, Conventions
from orchestrator_core.agents.desk import Rights
from orchestrator_core.agents.permission_gate import PermissionGate
from orchestrator_core.agents.permissions import Permissions
from orchestrator_core.agents.verbs import patterns
from orchestrator_core.config import files_that_set
from orchestrator_core.errors import ToolRejected
from orchestrator_core.redaction import Redactor
from orchestrator_core.tools.code import FileText
from orchestrator_core.tools.registry import Permission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.agents.budget import Budget, Budgets
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.config import ModelSettings
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.runtime.worker_pool import WorkStealingPool
    from orchestrator_core.tools.toolbox import Toolbox
    from orchestrator_core.workspace.documents import Workspace
    from orchestrator_core.workspace.edits import Change

log = logging.getLogger(__name__)

FILES_LOOKED_AT = 5_000
"""Of those that a task's globs match: their folders are looked through for conventions."""


class RoleDesk:
    """Made once for a backend; lives on the event loop.

    Args:
        engine: the workspace's services.
        budgets: what each mission may spend.
        asker: whoever can ask the person.
    """

    def __init__(self, engine: Engine, budgets: Budgets, asker: Asker) -> None:
        self._engine = engine
        self._asker = asker
        self._budgets = budgets
        self._gates: dict[str, PermissionGate] = {}
        self._redactor = Redactor(os.environ)

    @property
    def settings(self) -> ModelSettings:
        """As they are now."""
        return self._engine.settings.model

    @property
    def workspace(self) -> Workspace:
        """The documents."""
        return self._engine.workspace

    @property
    def toolbox(self) -> Toolbox:
        """The tools."""
        return self._engine.toolbox

    @property
    def pool(self) -> WorkStealingPool:
        """Where blocking work goes."""
        return self._engine.pool

    def budget(self, mission_id: str) -> Budget:
        """The budget of a mission; a plan that belongs to none has one of its own."""
        return self._budgets.of(mission_id)

    def rights(
        self,
        mission_id: str,
        *,
        read_only: bool = False,
        files: Sequence[str] = (),
        source: str = "the role",
    ) -> Rights:
        """What an agent of a mission may do in the workspace. Blocks on the disk."""
        settings, root = self._engine.settings, self.workspace.root
        own = settings.workspace_permissions
        named_in = files_that_set(root, "permissions") if own else []
        permissions = Permissions.of(
            self.workspace,
            settings.permissions,
            own,
            workspace_trusted=bool(named_in) and self.toolbox.shell.trusts(named_in),
        )
        if read_only or files:
            only = (Permission.READ,) if read_only else None
            permissions = permissions.narrowed(source=source, permissions=only, files=files)
        gate = self._gates.setdefault(mission_id, PermissionGate(self._asker))
        return Rights(permissions, gate)

    async def conventions(self, files: Sequence[str]) -> Conventions:
        """The workspace's conventions, as far as they concern files or globs of files."""
        code = self.toolbox.code
        found = await code.glob([f"**/{RULES}"])
        if len(found) <= 1 or not files:
            return Conventions.among(found, ())
        try:
            matched = await code.glob(patterns(files), limit=FILES_LOOKED_AT)
        except ToolRejected as error:
            log.info("%s", error)  # a glob of a plan that is none: it matches nothing
            matched = []
        return Conventions.among(found, [*matched, *files])

    def clean(self, text: str) -> str:
        """A text without secrets, for a model to read."""
        return self._redactor.text(text)

    async def diff(self, changes: Sequence[Change]) -> str:
        """Changes as one unified diff."""
        texts = [
            FileText(c.new_path or c.path, c.before.text if c.before else None, c.after_text)
            for c in changes
        ]
        return await self.toolbox.code.unified_diff(texts) if texts else ""

    def forget(self, mission_id: str) -> None:
        """A mission has ended."""
        self._gates.pop(mission_id, None)
