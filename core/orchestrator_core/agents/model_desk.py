"""What a model's roles share besides the desk of all roles: the way to the model, and its tools."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orchestrator_core.agents.conversation import Conversation
from orchestrator_core.agents.desk import Desk
from orchestrator_core.agents.role_desk import RoleDesk
from orchestrator_core.agents.role_talk import require_done
from orchestrator_core.agents.roles import system_prompt
from orchestrator_core.agents.run_line import run_line
from orchestrator_core.agents.tool_calls import RegistryTools
from orchestrator_core.agents.untrusted import Marker
from orchestrator_core.tools.registry import Permission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.agents.budget import Budgets
    from orchestrator_core.agents.chat import ToolCall
    from orchestrator_core.agents.model_gate import ModelGate
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.agents.role_desk import Job, RoleTalk
    from orchestrator_core.mission.engine import Engine

T = TypeVar("T")

PLANNER_TURNS = 30
REVIEWER_TURNS = 15


class ModelTalk:
    """A conversation over the tools of a desk; see :class:`~agents.role_desk.RoleTalk`."""

    def __init__(
        self, conversation: Conversation, marker: Marker, tools: RegistryTools, turns: int
    ) -> None:
        self.marker = marker
        self._conversation = conversation
        self._tools = tools
        self._turns = turns

    async def ask(self, text: str) -> str:
        """Say something, and carry out what the model calls."""
        return await self._conversation.work(text, self._tools, turns=self._turns)

    async def carry_out(self, text: str) -> tuple[str, tuple[str, ...]]:
        """The tools have changed the draft by the time it has ended."""
        return require_done(await self.ask(text)), ()


class ModelDesk(RoleDesk):
    """Made once for a backend; lives on the event loop.

    Args:
        engine: the workspace's services.
        gate: the way to the model; owned from now on.
        budgets: what each mission may spend.
        asker: whoever can ask the person.
    """

    def __init__(self, engine: Engine, gate: ModelGate, budgets: Budgets, asker: Asker) -> None:
        super().__init__(engine, budgets, asker)
        self._gate = gate

    @property
    def who(self) -> str:
        """Provider and model."""
        return self._gate.model.name

    async def _prompt(self, job: Job, work: Callable[[RoleTalk], Awaitable[T]]) -> T:
        """Begin a conversation; see :meth:`RoleDesk.use`. Its calls are tried again one by one."""
        marker = Marker()
        conversation = await self._converse(job, marker)
        rights = await self.pool.submit(self.rights, job)
        run = partial(run_line, job.context) if job.role == "worker" and job.context else None
        registry = Desk(job.draft, self.toolbox, self.pool, rights, run).tools()
        permissions = tuple(Permission) if job.role == "worker" else (Permission.READ,)
        tools = RegistryTools(registry, permissions, marker, self.clean)
        turns = {
            "planner": PLANNER_TURNS,
            "worker": self.settings.turns,
            "reviewer": REVIEWER_TURNS,
        }
        return await work(ModelTalk(conversation, marker, tools, turns[job.role]))

    async def close(self) -> None:
        """Give up the connections."""
        await self._gate.close()

    async def _converse(self, job: Job, marker: Marker) -> Conversation:
        conventions = await self.conventions(job.files)
        prompt = await self.pool.submit(
            system_prompt, job.role, self.workspace, marker, conventions=conventions
        )
        return Conversation(
            self._gate,
            self.clean(prompt),
            self.budget(job.mission_id),
            context_tokens=self.settings.context_tokens,
            max_output_tokens=self.settings.max_output_tokens,
            on_call=lambda call: job.say(_told(call)),
            clean=self.clean,
        )


def _told(call: ToolCall) -> str:
    """A call in a few words."""
    return f"{call.name} {call.arguments}"[:80]
