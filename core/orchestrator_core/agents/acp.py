"""A backend that plans, works and reviews with an agent that speaks the Agent Client Protocol.

The agent is a program of the person's: opencode, claude-code, gemini, codex, or any command line
(``orchestrator.agent.command``, or the variable ``OPENCODE_ORCHESTRATOR_AGENT``); by default the
first that is on ``PATH``. It is started when it is first needed, in a process group of its own, and
ended with this process, or when nobody has used it for some minutes.

::

    AcpBackend           planner, worker, critic: acp_roles over an AcpDesk
      SessionPool        which session; five a role, ten uses, five idle minutes, looked at a minute
        AgentHouse       the agent's folder, confinement, environment; fills copies
          WorkTree       a copy of the workspace that is a git snapshot (acp_snapshot)
        AgentConnection  handshake, sessions, turns, cancelling (the SDK is imported here)
          AgentProcess   process, pipes, bounds
          AgentClient    what the agent asks: files, permission

An agent works on a copy of the workspace, never in it: where no copy can be made the task fails.
What it changed there becomes the task's draft, and goes the way of any other work. Where the
system can (Landlock), writes are confined to the copies and the agent's own folders; every
receipt's notes say what was in force. In a workspace that nobody trusts, its files that make
agents run code are left out, and what an agent asks to run is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.agents.acp_desk import AcpDesk
from orchestrator_core.agents.acp_house import AgentHouse
from orchestrator_core.agents.acp_roles import AcpCritic, AcpPlanner, AcpWorker
from orchestrator_core.agents.acp_sessions import SessionPool
from orchestrator_core.records import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator_core.agents.agent_choice import Agent
    from orchestrator_core.agents.budget import Budgets
    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.mission.engine import Engine

NAME = "acp"


class AcpBackend:
    """Planner, Worker and Reviewer with one agent. Lives on the event loop; closed by its owner.

    Args:
        engine: the workspace's services.
        agent: which agent.
        budgets: what each mission may spend.
        asker: whoever can ask the person about a call that is not settled.
        environment: this process's.

    Attributes:
        sessions: the agent's.
    """

    name = NAME
    modes = (Mode.NORMAL, Mode.RACE, Mode.FRACTAL)

    def __init__(
        self,
        engine: Engine,
        agent: Agent,
        budgets: Budgets,
        asker: Asker,
        environment: Mapping[str, str],
    ) -> None:
        house = AgentHouse(engine, agent, environment)
        self.sessions = SessionPool(house)
        self._desk = AcpDesk(
            engine, budgets, asker, house=house, sessions=self.sessions, agent_name=agent.name
        )
        self.planner = AcpPlanner(self._desk)
        self.worker = AcpWorker(self._desk)
        self._critic = AcpCritic(self._desk)

    @property
    def critic(self) -> AcpCritic | None:
        """Who reads diffs, unless the settings say that nobody does."""
        return self._critic if self._desk.settings.review else None

    def forget(self, mission_id: str) -> None:
        """A mission has ended: what was kept for it can go."""
        self._desk.forget(mission_id)

    async def close(self) -> None:
        """End the agent, and delete all that it had."""
        await self.sessions.close()
