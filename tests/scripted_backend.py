"""A backend whose work a test writes: the mission around it is the real one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orchestrator_core.config import Settings
from orchestrator_core.mission.agent import MissionRequest, Outcome
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import Places
from orchestrator_core.records import Mode, Plan, Task
from orchestrator_core.services import Services

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from orchestrator_core.agents.permission_gate import Asker
    from orchestrator_core.errors import TaskTextError
    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.agent import TaskContext
    from orchestrator_core.mission.engine import MissionProgress
    from orchestrator_core.records import Receipt

    Act = Callable[[TaskContext], Awaitable[None]]
    Mend = Callable[[TaskContext], Awaitable[bool]]
    Divide = Callable[[Task], tuple[Task, ...]]


class ScriptedBackend:
    """Carries out the request's plan; ``act`` does each task, ``mend`` repairs it."""

    name = "script"
    modes = tuple(Mode)
    immediate = True
    critic = None

    def __init__(self, act: Act, divide: Divide | None = None, mend: Mend | None = None) -> None:
        self._divide = divide
        self._mend = mend
        self.planner = self
        self.worker = self
        self._act = act

    def check_step(self, text: str) -> TaskTextError | None:
        """Any text will do."""

    async def plan(self, request: MissionRequest) -> Plan:
        """The request's."""
        assert request.plan is not None
        return request.plan

    async def divide(self, task: Task, mission_id: str) -> tuple[Task, ...]:
        """As the test has it; by default nothing is divided."""
        del mission_id
        return self._divide(task) if self._divide else ()

    async def perform(self, context: TaskContext) -> Outcome:
        """Have the test do it."""
        await self._act(context)
        return Outcome()

    async def repair(self, context: TaskContext, receipt: Receipt) -> bool:
        """As the test has it; by default nothing is repaired."""
        return await self._mend(context) if self._mend else False


class Recorder:
    """A listener that keeps what it is told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.progress: list[str] = []
        self.notices: list[str] = []
        self._told = asyncio.Event()

    def on_event(self, event: AnyEvent) -> None:
        """Keep it."""
        self.events.append(event)
        self._told.set()

    def on_progress(self, progress: MissionProgress) -> None:
        """Keep what it says."""
        self.progress.append(progress.message)
        self._told.set()

    def on_notice(self, text: str) -> None:
        """Keep it."""
        self.notices.append(text)

    def on_stats(self, stats: dict[str, object]) -> None:
        """Not kept."""

    async def until(self, kind: type[AnyEvent], timeout_s: float = 20.0) -> AnyEvent:
        """The first event of a kind, as soon as there is one."""
        async with asyncio.timeout(timeout_s):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self._told.clear()
                await self._told.wait()

    async def until_progress(self, text: str, timeout_s: float = 40.0) -> None:
        """Wait until progress says so: what passes in a moment is not always told."""
        async with asyncio.timeout(timeout_s):
            while not any(text in message for message in self.progress):
                self._told.clear()
                await self._told.wait()


def plan_of(*tasks: Task, title: str = "scripted") -> Plan:
    """A plan."""
    return Plan(title=title, tasks=tasks)


def request_for(
    *tasks: Task, plan_file: str = "", mode: Mode = Mode.NORMAL, dry_run: bool = False
) -> MissionRequest:
    """A request that the scripted backend carries out."""
    return MissionRequest(
        plan=plan_of(*tasks),
        backend=ScriptedBackend.name,
        plan_file=plan_file,
        mode=mode,
        dry_run=dry_run,
    )


@asynccontextmanager
async def opened(
    root: Path,
    settings: Settings,
    listener: Recorder | None = None,
    *,
    asker: Asker | None = None,
    backends: tuple[ScriptedBackend, ...] = (),
) -> AsyncGenerator[Orchestrator]:
    """The real orchestrator of ``root``, with its state beside it."""
    state = root.parent / f"{root.name}-state"
    places = Places.of(root, state=state, cache=state / "cache")
    services = await Services.open(root, settings, listener or Recorder(), places=places)
    engine = Orchestrator(services, backends=backends, asker=asker)
    try:
        yield engine
    finally:
        await engine.close()


def orchestrator(
    root: Path,
    act: Act | ScriptedBackend,
    settings: Settings | None = None,
    listener: Recorder | None = None,
) -> AbstractAsyncContextManager[Orchestrator]:
    """The real orchestrator of ``root`` with the scripted backend."""
    backend = act if isinstance(act, ScriptedBackend) else ScriptedBackend(act)
    return opened(root, settings or Settings(), listener, backends=(backend,))
