"""The backends of a workspace: what is there, what ``auto`` takes, each made when first used.

``auto`` takes the built-in backend for whatever the verb language understands: that is exact,
costs nothing, and needs no model. For any other text it takes the first that is there: the
editor's model, then a configured API or local server, then an agent on ``PATH``.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from orchestrator_core.agents.acp_folder import sweep
from orchestrator_core.agents.acp_rooms import sharing
from orchestrator_core.agents.agent_choice import Agent, found
from orchestrator_core.agents.api_choice import Api, LazyApi, configured
from orchestrator_core.agents.budget import Budgets
from orchestrator_core.agents.builtin import BuiltinBackend
from orchestrator_core.agents.grammar import check_step
from orchestrator_core.errors import RequestError
from orchestrator_core.records import Step, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from orchestrator_core.agents.chat import ChatModel
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.agents.prompted_roles import PromptedBackend
    from orchestrator_core.agents.role_desk import RoleDesk
    from orchestrator_core.config import Settings
    from orchestrator_core.mission.agent import Backend
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.records import Plan
    from orchestrator_core.tools.trust import TrustStore

AUTO = "auto"
EDITOR = "editor"
LLM = "llm"
ACP = "acp"


class Offer(Struct, frozen=True):
    """A backend, whether it can be used, and what it would use or what it lacks."""

    name: str
    usable: bool
    detail: str


def survey(
    settings: Settings,
    root: Path,
    trust: TrustStore,
    environment: Mapping[str, str],
    editor: ChatModel | None = None,
) -> list[Offer]:
    """What is there, in the order in which ``auto`` takes it. Blocks on the disk."""
    trusts = partial(trust.is_trusted, root)
    api = configured(settings.model, root, trusts, environment)
    if isinstance(api, Api):
        llm = Offer(LLM, usable=True, detail=api.shown)
    else:
        llm = Offer(LLM, usable=False, detail=api)
    if editor is not None:
        offered = Offer(EDITOR, usable=True, detail="the editor's own model")
    else:
        offered = Offer(EDITOR, usable=False, detail="no editor offers its model")
    agent = found(settings.agent, root, trusts, environment)
    if isinstance(agent, Agent):
        shown = f"{agent.shown}; {sharing(settings.confinement)}"
        acp = Offer(ACP, usable=True, detail=shown)
    else:
        acp = Offer(ACP, usable=False, detail=agent)
    builtin = Offer(BuiltinBackend.name, usable=True, detail="needs no model and no network")
    return [offered, llm, acp, builtin]


def preferred(offers: Sequence[Offer], setting: str) -> Offer:
    """What a text is given to that the verb language does not understand."""
    if setting != AUTO:
        named = [offer for offer in offers if offer.name == setting]
        return (
            named[0] if named else Offer(setting, usable=False, detail="there is no such backend")
        )
    return next(offer for offer in offers if offer.usable)


class Backends:
    """Lives on the event loop; closed by its owner.

    Args:
        engine: the workspace's services.
        trust: which files' words count.
        own: further backends, by their names.
        editor: the editor's model, if it offers one.
        asker: whoever can ask the person; nobody by default.
        environment: has the keys.

    Attributes:
        budgets: what each mission may spend, whatever backend it has.
        editor: the editor's model, as long as it offers one.
    """

    def __init__(
        self,
        engine: Engine,
        trust: TrustStore,
        own: Iterable[Backend] = (),
        *,
        editor: ChatModel | None = None,
        asker: Asker | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._engine = engine
        self.budgets = Budgets(lambda: engine.settings.budget)
        self._trust = trust
        self.editor = editor
        self._environment = os.environ if environment is None else environment
        builtin: Backend = BuiltinBackend(engine.toolbox)
        self._made = {backend.name: backend for backend in (builtin, *own)}
        self._asker = asker
        self._models: list[PromptedBackend] = []
        engine.pool.submit(sweep, engine.scratch)

    def offers(self) -> list[Offer]:
        """What is there. Blocks on the disk."""
        root = self._engine.workspace.root
        return survey(self._engine.settings, root, self._trust, self._environment, self.editor)

    def chosen(self, name: str, text: str) -> str:
        """The backend that ``auto`` stands for with this text; any other name is itself."""
        if name != AUTO:
            return name
        if text and check_step(text) is None:
            return BuiltinBackend.name
        return preferred(self.offers(), AUTO).name

    def lacking(self, name: str) -> str:
        """Why nobody takes a text that no verb understands; empty where a backend does.

        Blocks on the disk.
        """
        if name not in (AUTO, BuiltinBackend.name) and name in self._made:
            return ""
        offers = {offer.name: offer for offer in self.offers()}
        offer = preferred(list(offers.values()), name)
        if name == BuiltinBackend.name:
            return "orchestrator.backend is builtin"
        if offer.name == BuiltinBackend.name:
            offer = offers[LLM]
        return "" if offer.usable and offer.name != BuiltinBackend.name else offer.detail

    def for_plan(self, name: str, plan: Plan) -> str:
        """The backend that ``auto`` stands for with this plan; any other name is itself."""
        left = [task for task in plan.tasks if task.state is not TaskState.DONE]
        texts = [s.text for task in left for s in task.steps or (Step(task.title),)]
        verbs = all(check_step(text) is None for text in texts)
        return BuiltinBackend.name if name == AUTO and verbs else self.chosen(name, "")

    def get(self, name: str) -> Backend:
        """The backend of that name, made if it is not yet.

        Raises:
            RequestError: there is none, or it cannot be used; the message says why.
        """
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    async def close(self) -> None:
        """Give up what the backends hold."""
        while self._models:
            await self._models.pop().close()

    def ended(self, mission_id: str) -> dict[str, object]:
        """What a mission that has ended spent on models, for its figures; forgotten with that."""
        spent = self.budgets.spent(mission_id)
        self.budgets.forget(mission_id)
        for backend in self._models:
            backend.forget(mission_id)
        return {} if spent is None else {"spent": msgspec.to_builtins(spent)}

    def _make(self, name: str) -> Backend:
        if name == EDITOR and self.editor is not None:
            return self._on(EDITOR, self.editor)
        settings, root = self._engine.settings, self._engine.workspace.root
        trusts = partial(self._trust.is_trusted, root)
        if name == LLM:
            api = configured(settings.model, root, trusts, self._environment)
            if isinstance(api, Api):
                return self._on(LLM, LazyApi(api, settings.model.silent_s, self._environment))
        if name == ACP:
            agent = found(settings.agent, root, trusts, self._environment)
            if isinstance(agent, Agent):
                return self._with(agent)
        offers = self.offers()
        for offer in offers:
            if offer.name == name:
                raise RequestError(f"backend {name} cannot be used: {offer.detail}")
        known = ", ".join(sorted({*self._made, *(offer.name for offer in offers), AUTO}))
        raise RequestError(f"there is no backend {name!r}; there is: {known}")

    def _on(self, name: str, model: ChatModel) -> PromptedBackend:
        # Whoever never asks a model does not wait for what models need.
        from orchestrator_core.agents.model_desk import ModelDesk  # noqa: PLC0415
        from orchestrator_core.agents.model_gate import ModelGate  # noqa: PLC0415

        gate = ModelGate(model, self._engine.concurrency)
        return self._at(name, ModelDesk(self._engine, gate, self.budgets, self._who_asks()))

    def _with(self, agent: Agent) -> PromptedBackend:
        from orchestrator_core.agents.acp_desk import AcpDesk  # noqa: PLC0415 - as above

        return self._at(
            ACP, AcpDesk(self._engine, agent, self.budgets, self._who_asks(), self._environment)
        )

    def _who_asks(self) -> Asker:
        from orchestrator_core.agents.permission_gate import NobodyToAsk  # noqa: PLC0415

        return self._asker or NobodyToAsk()

    def _at(self, name: str, desk: RoleDesk) -> PromptedBackend:
        from orchestrator_core.agents.prompted_roles import PromptedBackend  # noqa: PLC0415

        backend = PromptedBackend(name, desk)
        self._models.append(backend)
        return backend
