"""A model's tool calls, carried out by a registry; whatever goes wrong is told to the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import msgspec

from orchestrator_core.agents.chat import ToolCall, ToolResult, ToolSpec
from orchestrator_core.errors import BudgetExceeded, OrchestratorError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from orchestrator_core.agents.untrusted import Marker
    from orchestrator_core.tools.registry import Permission, ToolRegistry


class RegistryTools:
    """The tools of a registry that an agent has the permissions for.

    Args:
        registry: the tools.
        permissions: what the agent's role may do at all.
        marker: marks what tools answer as data.
        clean: takes out of their answers what no model may see.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        permissions: Collection[Permission],
        marker: Marker,
        clean: Callable[[str], str] = lambda text: text,
    ) -> None:
        self._registry = registry
        self._permissions = permissions
        self._marker = marker
        self._clean = clean
        self.specs = tuple(
            ToolSpec(tool.name, tool.description, tool.input_schema)
            for tool in registry.allowed(permissions)
        )

    async def call(self, call: ToolCall) -> ToolResult:
        """Carry a call out; see :class:`~agents.conversation.Toolset`."""
        try:
            arguments = _arguments(call.arguments)
            answer = await self._registry.call(call.name, arguments, self._permissions)
        except BudgetExceeded:
            raise
        except (OrchestratorError, ValueError) as error:
            return ToolResult(call, self._tell(f"error: {error}"), failed=True)
        text = answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
        return ToolResult(call, self._tell(text))

    def _tell(self, text: str) -> str:
        return self._marker.mark(self._clean(text))


def _arguments(written: str) -> dict[str, Any]:
    """What a model wrote as arguments.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        value: object = json.loads(written or "{}")
    except json.JSONDecodeError as error:
        raise ValueError(f"the arguments are no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("the arguments must be a JSON object")  # noqa: TRY004 - of the text
    return cast("dict[str, Any]", value)
