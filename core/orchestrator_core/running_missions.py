"""The missions that run in this process, from their beginning to their report."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from orchestrator_core.errors import RequestError
from orchestrator_core.mission.commander import Commander
from orchestrator_core.mission.mission import build_report
from orchestrator_core.mission_records import overview_of
from orchestrator_core.tools.code import FileText

if TYPE_CHECKING:
    from orchestrator_core.agents.choice import Backends
    from orchestrator_core.mission.agent import Backend
    from orchestrator_core.mission.commander import Planning
    from orchestrator_core.mission.hunk_review import HunkReview
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.records import Plan
    from orchestrator_core.services import Services
    from orchestrator_core.workspace.draft import Draft

_END_S = 3.0
"""Of the five seconds that a shutdown's step has."""


class RunningMissions(dict[str, "Mission"]):
    """Missions by their ids, the oldest first. Lives on the event loop.

    Args:
        services: what they run on; the shutdown ends them before anything else.
        backends: know what each spends.
        review: reads the journal again when a mission began or ended.
    """

    def __init__(self, services: Services, backends: Backends, review: HunkReview) -> None:
        super().__init__()
        self._services = services
        self._backends = backends
        self._review = review
        self._conducting: set[asyncio.Task[None]] = set()
        services.shutdown.register("missions", self._end_all, priority=1)

    def begin(self, mission: Mission, backend: Backend, plan: Plan | Planning | None) -> None:
        """Carry a plan out in the background.

        Args:
            mission: gets the report.
            backend: who plans and works.
            plan: what is to be done, or who makes that; None to go on with what the mission has.
        """
        self[mission.id] = mission
        if not mission.request.dry_run:
            self._services.overviews.began(mission.id)
        self._review.forget()
        conducting = asyncio.ensure_future(self._conduct(mission, backend, plan))
        self._conducting.add(conducting)
        conducting.add_done_callback(self._conducting.discard)

    def stop(self, mission_id: str | None, reason: str) -> list[str]:
        """Ask one mission, or all, to end; answers the ids of those that had not been asked yet.

        Raises:
            RequestError: no mission has that id.
        """
        if mission_id is not None and mission_id not in self:
            raise RequestError(f"no mission {mission_id} is running here")
        return [
            mission.id
            for mission in list(self.values())
            if mission_id in (None, mission.id) and mission.stop(reason)
        ]

    async def settle(self) -> None:
        """Wait for those that have told their end, but still see it to the disk.

        Who hears of an end may ask at once for what only an ended mission allows.
        """
        for mission in [each for each in self.values() if each.state.ended]:
            await mission.over()

    async def _conduct(
        self, mission: Mission, backend: Backend, plan: Plan | Planning | None
    ) -> None:
        services = self._services
        spent = partial(self._backends.budgets.spent, mission.id)
        commander = Commander(services.engine, mission, backend, spent, self._review.forget)
        started = time.monotonic()
        try:
            async with services.engine.concurrency.acquire(role="commander") as token:
                with token.kept(), services.mission_running(mission.id):
                    await (commander.resume() if plan is None else commander.run(plan))
            diff = await self._diff(commander.rehearsal) if commander.rehearsal else ""
            took_s = round(time.monotonic() - started, 3)
            stats = {**await services.figures.look(), **self._backends.ended(mission.id)}
        except BaseException as error:
            self.pop(mission.id, None)
            services.overviews.lost(mission.id)
            mission.crash(error)
            raise
        self.pop(mission.id, None)  # from here to the report in one step: it runs, or it is over
        for ended in overview_of(mission):
            services.overviews.ended(ended)
        mission.finish(build_report(mission, duration_s=took_s, stats=stats, diff=diff))

    async def _diff(self, rehearsal: Draft) -> str:
        """What a dry run would change, as a unified diff."""
        engine = self._services.engine
        files = [
            FileText(change.path, change.before.text if change.before else None, change.after_text)
            for change in await engine.pool.submit(rehearsal.changes)
        ]
        return await engine.toolbox.code.unified_diff(files) if files else ""

    async def _end_all(self) -> None:
        self.stop(None, "the server is shutting down")
        if self._conducting:
            await asyncio.wait(self._conducting, timeout=_END_S)
        for conducting in self._conducting:
            conducting.cancel()
