"""What is on record of a workspace's missions, those that run and those that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from orchestrator_core.errors import RequestError
from orchestrator_core.events import MissionAccepted, MissionFinished
from orchestrator_core.mission import history, transcript
from orchestrator_core.mission.finding_places import located
from orchestrator_core.mission.first_change import Place, first_change
from orchestrator_core.mission.history import TaskRecord
from orchestrator_core.mission.task_reports import report_now
from orchestrator_core.mission.transcript import Transcript
from orchestrator_core.runtime.usage import ProcessUsage, usage_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.finding_places import Located
    from orchestrator_core.mission.history import MissionOverview
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.records import FoundAt
    from orchestrator_core.services import Services


class LastStats(Struct, frozen=True):
    """What ``stats`` shows.

    Attributes:
        mission: the last mission that ended; empty if there is none.
        at: when it ended, in seconds since the epoch.
        stats: as ``$/orchestrator/poolStats`` has them.
        live: the process that works on the workspace now, if there is one.
    """

    mission: str = ""
    at: float = 0.0
    stats: dict[str, object] = {}
    live: ProcessUsage | None = None


class MissionRecords:
    """Answers questions about missions; changes nothing. To be used on the orchestrator's loop.

    Args:
        services: of the workspace.
        running: the missions that run here, the oldest first; the orchestrator's own dictionary.
    """

    def __init__(self, services: Services, running: dict[str, Mission]) -> None:
        self._services = services
        self._running = running

    async def status(self) -> list[MissionOverview]:
        """The missions of the workspace, the newest first."""
        # Those that run come first: one that ends while the others are read is in both.
        live = [
            known for mission in reversed(self._running.values()) for known in overview_of(mission)
        ]
        known = {mission.mission for mission in live}
        return [*live, *(past for past in await self._past() if past.mission not in known)]

    async def task_records(self, plan_file: str) -> dict[str, TaskRecord]:
        """What missions that carried out a plan file say of its tasks, each the newest.

        Those of the newest mission come first.
        """
        records: dict[str, TaskRecord] = {}
        now = self._services.engine.now()
        for mission in reversed(self._running.values()):
            if mission.request.plan_file == plan_file:
                for task in mission.state.tasks.values():
                    record = TaskRecord(
                        mission=mission.id, status=mission.state.status, task=report_now(task, now)
                    )
                    records.setdefault(task.id, record)
        for past in await self._past():
            if past.plan_file == plan_file:
                for report in past.tasks:
                    record = TaskRecord(mission=past.mission, status=past.status, task=report)
                    records.setdefault(report.id, record)
        return records

    async def first_change(self, mission_id: str, task_id: str) -> Place | None:
        """Where a task of a mission changed something first, as far as that still stands."""
        events = history.by_mission(await self.journalled()).get(mission_id, [])
        engine = self._services.engine
        return await engine.pool.submit(
            first_change, events, task_id, engine.contents, engine.workspace
        )

    async def locate(self, found: Sequence[FoundAt]) -> list[Located | None]:
        """Where what checks found is now; None for what is nowhere any more."""
        engine = self._services.engine

        def look() -> list[Located | None]:
            return [located(each, engine.contents, engine.workspace) for each in found]

        return await engine.pool.submit(look)

    async def transcript(self, mission_id: str | None = None, task_id: str = "") -> Transcript:
        """What is on record of a mission, or of one task of it, for people to read.

        Args:
            mission_id: which mission, running or not; the newest by default.
            task_id: only this task.

        Raises:
            RequestError: there is no such mission or task.
        """
        pool = self._services.engine.pool
        events = await pool.submit(self._services.journal.events_of, mission_id)
        if not events or not isinstance(events[0], MissionAccepted):
            raise RequestError(f"there is no mission {mission_id or 'yet'}: `status` lists them")
        name = events[0].mission_id
        if task_id and task_id not in history.state_of(events).tasks:
            raise RequestError(f"mission {name} has no task {task_id}")
        return Transcript(name, await pool.submit(transcript.page, events, task_id))

    async def last_stats(self) -> LastStats:
        """The figures at the end of the last mission, and what works on the workspace now."""
        found = LastStats()
        for event in await self.journalled():
            if isinstance(event, MissionFinished) and event.stats:
                found = LastStats(mission=event.mission_id, at=event.at, stats=event.stats)
        pid = await self._services.engine.pool.submit(self._services.journal.owner)
        return found if pid is None else msgspec.structs.replace(found, live=usage_of(pid))

    async def journalled(self) -> tuple[AnyEvent, ...]:
        """All events of the workspace, the oldest first."""
        return await self._services.engine.pool.submit(self._services.journal.events)

    async def _past(self) -> list[MissionOverview]:
        """The missions that do not run, the newest first."""
        overviews = self._services.overviews
        if (kept := overviews.kept) is not None:
            return kept
        return await self._services.engine.pool.submit(overviews.read)


def overview_of(mission: Mission) -> tuple[MissionOverview, ...]:
    """What ``status`` says of a mission of this process, if it is in the journal."""
    accepted = mission.events[0] if mission.events else None
    if mission.request.dry_run or not isinstance(accepted, MissionAccepted):
        return ()
    return (history.overview_of(accepted, mission.state, mission.reports),)
