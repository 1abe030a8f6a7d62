"""What a model's roles share besides the desk of all roles: the way to the model, and its tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.agents.conversation import Conversation
from orchestrator_core.agents.role_desk import RoleDesk
from orchestrator_core.agents.roles import system_prompt
from orchestrator_core.agents.tool_calls import RegistryTools
from orchestrator_core.agents.untrusted import Marker
from orchestrator_core.tools.registry import Permission

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator_core.agents.budget import Budget, Budgets
    from orchestrator_core.agents.chat import ToolCall
    from orchestrator_core.agents.desk import Desk
    from orchestrator_core.agents.model_gate import ModelGate
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.agents.roles import Role
    from orchestrator_core.mission.engine import Engine


class Talk(Struct, frozen=True):
    """A conversation, and what marks data in it."""

    conversation: Conversation
    marker: Marker


class ModelDesk(RoleDesk):
    """Made once for a backend; lives on the event loop.

    Args:
        engine: the workspace's services.
        gate: the way to the model.
        budgets: what each mission may spend.
        asker: whoever can ask the person.
    """

    def __init__(self, engine: Engine, gate: ModelGate, budgets: Budgets, asker: Asker) -> None:
        super().__init__(engine, budgets, asker)
        self._gate = gate

    @property
    def model_name(self) -> str:
        """Provider and model."""
        return self._gate.model.name

    async def converse(
        self,
        role: Role,
        budget: Budget,
        say: Callable[[str], None] = lambda _: None,
        *,
        files: Sequence[str] = (),
    ) -> Talk:
        """Begin a conversation of a role, about these files or globs of files."""
        marker = Marker()
        conventions = await self.conventions(files)
        prompt = await self.pool.submit(
            system_prompt, role, self.workspace, marker, conventions=conventions
        )
        conversation = Conversation(
            self._gate,
            self.clean(prompt),
            budget,
            context_tokens=self.settings.context_tokens,
            max_output_tokens=self.settings.max_output_tokens,
            on_call=lambda call: say(_told(call)),
            clean=self.clean,
        )
        return Talk(conversation, marker)

    def tools(self, place: Desk, talk: Talk, *, read_only: bool = False) -> RegistryTools:
        """The tools of a desk, with secrets kept out of what they answer."""
        permissions = (Permission.READ,) if read_only else tuple(Permission)
        return RegistryTools(place.tools(), permissions, talk.marker, self.clean)


def _told(call: ToolCall) -> str:
    """A call in a few words."""
    return f"{call.name} {call.arguments}"[:80]
