"""What the roles of any backend share: the workspace, rights, budgets, and what is told of them."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from orchestrator_core.agents.conventions import RULES, Conventions
from orchestrator_core.agents.desk import Rights
from orchestrator_core.agents.permission_gate import PermissionGate
from orchestrator_core.agents.permissions import Permissions
from orchestrator_core.agents.verbs import patterns
from orchestrator_core.errors import ToolRejected
from orchestrator_core.redaction import Redactor
from orchestrator_core.settings_sources import files_that_set
from orchestrator_core.tools.code import FileText
from orchestrator_core.tools.registry import Permission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orchestrator_core.agents.budget import Budget, Budgets
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.agents.roles import Role
    from orchestrator_core.agents.untrusted import Marker
    from orchestrator_core.config import ModelSettings
    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.runtime.worker_pool import WorkStealingPool
    from orchestrator_core.tools.toolbox import Toolbox
    from orchestrator_core.workspace.documents import Workspace
    from orchestrator_core.workspace.draft import Draft
    from orchestrator_core.workspace.edits import Change

log = logging.getLogger(__name__)

T = TypeVar("T")

FILES_LOOKED_AT = 5_000
"""Of those that a task's globs match: their folders are looked through for conventions."""


@dataclass(frozen=True, slots=True)
class Job:
    """What somebody is prompted for.

    Attributes:
        role: who is prompted; only a Worker may change anything.
        mission_id: whose rules and budget count; empty for a plan that belongs to no mission.
        draft: the texts that it is about.
        files: what it is about, files or globs of files: their conventions are told.
        context: the task, if it is about one.
    """

    role: Role
    mission_id: str
    draft: Draft
    files: tuple[str, ...] = ()
    context: TaskContext | None = None

    def say(self, text: str) -> None:
        """Tell people in a few words what is being done."""
        if self.context is not None:
            self.context.say(text)


class RoleTalk(Protocol):
    """What is said for one job. Not to be used by two at once."""

    @property
    def marker(self) -> Marker:
        """Marks data in what is told."""
        ...

    async def ask(self, text: str) -> str:
        """Say something; answers what was said in the end.

        Raises:
            BudgetExceeded: it may cost more than is left.
            AgentError: it did not go well; the message says why.
        """
        ...

    async def carry_out(self, text: str) -> tuple[str, Sequence[str]]:
        """Have a Worker do something to the job's draft; answers what it said, and notes.

        Raises:
            BudgetExceeded, AgentError: as ``ask``; the task cannot be done.
        """
        ...


class RoleDesk(ABC):
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
    @abstractmethod
    def who(self) -> str:
        """The model or the agent, for people."""

    async def use(self, job: Job, work: Callable[[RoleTalk], Awaitable[T]]) -> T:
        """Have something done by whoever is prompted for a job, as soon as the budget has a place.

        Args:
            job: what for.
            work: does it; begins again from the start where that may help.

        Raises:
            AgentError: it did not go well; the message says why.
            OrchestratorError: as ``work`` does.
        """
        budget = self.budget(job.mission_id)
        if budget.full:
            job.say("waits until another agent has ended (orchestrator.budget.agents)")
        async with budget.agent():
            return await self._prompt(job, work)

    @abstractmethod
    async def _prompt(self, job: Job, work: Callable[[RoleTalk], Awaitable[T]]) -> T:
        """Do what :meth:`use` says."""

    @abstractmethod
    async def close(self) -> None:
        """Give up what is held."""

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

    def rights(self, job: Job) -> Rights:
        """What may be done in the workspace for a job. Blocks on the disk."""
        settings, root = self._engine.settings, self.workspace.root
        own = settings.workspace_permissions
        named_in = files_that_set(root, "permissions") if own else []
        permissions = Permissions.of(
            self.workspace,
            settings.permissions,
            own,
            workspace_trusted=bool(named_in) and self.toolbox.shell.trusts(named_in),
        )
        if job.role != "worker":
            permissions = permissions.narrowed(source="the role", permissions=(Permission.READ,))
        elif job.context is not None and job.context.task.files:
            task = job.context.task
            permissions = permissions.narrowed(source=f"task {task.id}", files=task.files)
        gate = self._gates.setdefault(job.mission_id, PermissionGate(self._asker))
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
