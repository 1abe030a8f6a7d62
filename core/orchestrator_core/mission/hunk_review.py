"""Accepting and rejecting what missions changed, hunk by hunk, once they have ended."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.errors import EditRefused, RequestError, StaleEdit
from orchestrator_core.events import HunksSettled
from orchestrator_core.mission.hunk_settlement import Settling
from orchestrator_core.mission.pending_hunks import PendingHunks
from orchestrator_core.mission.restore import remove_made_folders
from orchestrator_core.workspace.unified import diff_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.hunk_settlement import Settlement
    from orchestrator_core.mission.lazy_journal import LazyJournal
    from orchestrator_core.mission.pending_hunks import ReviewedMission

log = logging.getLogger(__name__)

_ATTEMPTS = 3


class SettleReport(Struct, frozen=True):
    """What became of the hunks that somebody accepted or rejected.

    Attributes:
        hunks: how many were settled.
        files: whose hunks they were.
        unsettled: what could not be taken back, each as ``path: why``.
        left: how many of what was asked for, the file or the mission, are pending still.
    """

    accepted: bool
    hunks: int
    files: tuple[str, ...]
    unsettled: tuple[str, ...]
    left: int


class HunkReview(PendingHunks):
    """The reviews of one workspace. Lives on the event loop.

    Args:
        engine: what missions run on.
        journal: has the events of the missions.
        open_journal: becomes the one that writes to it.

    Attributes:
        lock: held while hunks are settled; to be held while a mission is undone.
    """

    def __init__(
        self, engine: Engine, journal: LazyJournal, open_journal: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(engine, journal)
        self.lock = asyncio.Lock()
        self._open_journal = open_journal

    async def diff(self, *, mission_id: str = "", path: str = "", hunk: str = "") -> str:
        """Pending hunks as a unified diff; see :meth:`settle`.

        Raises:
            RequestError: there are none.
        """
        missions = await self._chosen(mission_id, path, hunk)
        plans = [
            (await self._engine.pool.submit(self._plan, mission, path, hunk, False))[1]
            for mission in missions
        ]
        changes = [change for plan in plans for change in plan.changes]
        return await self._engine.pool.submit(partial(diff_of, changes, inverted=True))

    async def settle(
        self, *, accept: bool, mission_id: str = "", path: str = "", hunk: str = ""
    ) -> SettleReport:
        """Accept hunks, or have them taken back where nobody has changed them since.

        Args:
            accept: whether they stay.
            mission_id: only those of this mission.
            path: only those in this file. Without both, those of the newest mission that has any.
            hunk: only this one; asks for ``mission_id`` and ``path``.

        Raises:
            RequestError: there are none.
            EditError: the applier would not take the edits back; nothing was changed.
            JournalBusy: another process works on this workspace.
        """
        async with self.lock:
            missions = await self._chosen(mission_id, path, hunk)
            await self._open_journal()
            settled: list[Settlement] = []
            unsettled: list[str] = []
            for mission in missions:  # the newest first: it may stand on the others
                settled += await self._settle_all(mission, path, hunk, accept=accept)
                unsettled += settled[-1].unsettled
        left = [await self.pending(mission_id=mission, path=path) for mission in missions]
        return SettleReport(
            accepted=accept,
            hunks=sum(each.hunks for each in settled),
            files=tuple(file.path for each in settled for file in each.files),
            unsettled=tuple(unsettled),
            left=sum(map(len, left)),
        )

    async def _chosen(self, mission_id: str, path: str, hunk: str) -> list[str]:
        """The missions that a request is about, the newest first.

        Raises:
            RequestError: nothing of them is pending.
        """
        found = await self.pending(mission_id=mission_id, path=path)
        missions = dict.fromkeys(each.mission for each in found if hunk in ("", each.hunk))
        if not missions:
            where = f" in {path}" if path else ""
            raise RequestError(
                f"that change is not pending any more{where}"
                if hunk
                else f"no change of a mission is pending{where}"
            )
        return list(missions) if path else [next(iter(missions))]

    async def _settle_all(
        self, mission_id: str, path: str, hunk: str, *, accept: bool
    ) -> list[Settlement]:
        """Settle, and go on with what that brought to light: a deleted file had hunks before."""
        settled = [await self._settle(mission_id, path, hunk, accept=accept)]
        while not (accept or hunk) and any(file.whole for file in settled[-1].files):
            settled.append(await self._settle(mission_id, path, hunk, accept=accept))
        return settled

    async def _settle(self, mission_id: str, path: str, hunk: str, *, accept: bool) -> Settlement:
        engine = self._engine
        async with engine.apply_lock:
            for _ in range(_ATTEMPTS):
                try:
                    mission, plan = await engine.pool.submit(
                        self._plan, mission_id, path, hunk, accept
                    )
                    if plan.kept:
                        await engine.pool.submit(engine.contents.put_all, plan.kept)
                    if plan.changes:
                        await engine.applier.apply(plan.changes, label="orchestrator: reject")
                    break
                except StaleEdit as error:
                    log.info("review: %s", error)  # somebody typed meanwhile: look again
            else:
                raise EditRefused(
                    f"it was given up after {_ATTEMPTS} attempts: the files keep changing"
                )
            if plan.files:
                await self._note(mission, plan, accept=accept)
        return plan

    async def _note(self, mission: ReviewedMission, plan: Settlement, *, accept: bool) -> None:
        engine = self._engine
        event = HunksSettled(
            mission_id=mission.id,
            sequence=mission.sequence + 1,
            at=engine.now(),
            accepted=accept,
            files=plan.files,
            changes=tuple(change.record() for change in plan.changes),
        )
        engine.listener.on_event(event)
        await engine.record(event)
        await self._went_on(mission, event)
        if not accept:
            made = {file.path for file in plan.files if file.whole}
            await engine.pool.submit(remove_made_folders, engine.workspace, mission.events, made)

    def _plan(
        self, mission_id: str, path: str, hunk: str, accept: bool
    ) -> tuple[ReviewedMission, Settlement]:
        """Plan to settle hunks of a mission as the files are now."""
        if (mission := self._known().get(mission_id)) is None:
            raise RequestError(f"mission {mission_id} cannot be reviewed any more")
        engine = self._engine
        settling = Settling(engine.workspace, engine.contents.get_all, accept=accept)
        for file in self._files(mission, path):
            settling.take(file, hunk)
        return mission, settling.plan()
