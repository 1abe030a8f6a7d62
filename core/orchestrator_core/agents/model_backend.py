"""A backend that plans, works and reviews with a model, whoever provides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.agents.model_desk import ModelDesk
from orchestrator_core.agents.model_gate import ModelGate
from orchestrator_core.agents.model_roles import ModelCritic, ModelPlanner, ModelWorker
from orchestrator_core.records import Mode

if TYPE_CHECKING:
    from orchestrator_core.agents.budget import Budgets
    from orchestrator_core.agents.chat import ChatModel
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.mission.engine import Engine


class ModelBackend:
    """Planner, Worker and Reviewer on one model.

    Args:
        name: what the person calls the backend.
        engine: the workspace's services.
        gate: the way to the model.
        budgets: what each mission may spend.
        asker: whoever can ask the person about a call that is not settled.
    """

    modes = (Mode.NORMAL, Mode.RACE, Mode.FRACTAL)

    def __init__(
        self, name: str, engine: Engine, gate: ModelGate, budgets: Budgets, asker: Asker
    ) -> None:
        self.name = name
        self._gate = gate
        self._desk = ModelDesk(engine, gate, budgets, asker)
        self.planner = ModelPlanner(self._desk)
        self.worker = ModelWorker(self._desk)
        self._critic = ModelCritic(self._desk)

    @classmethod
    def on(
        cls, name: str, engine: Engine, model: ChatModel, budgets: Budgets, asker: Asker
    ) -> ModelBackend:
        """The backend on a model."""
        return cls(name, engine, ModelGate(model, engine.concurrency), budgets, asker)

    @property
    def critic(self) -> ModelCritic | None:
        """Who reads diffs, unless the settings say that nobody does."""
        return self._critic if self._desk.settings.review else None

    def forget(self, mission_id: str) -> None:
        """A mission has ended: what was kept for it can go."""
        self._desk.forget(mission_id)

    async def close(self) -> None:
        """Give up the connections."""
        await self._gate.close()
