"""Reviewing what missions changed, hunk by hunk: which are pending, accepting and rejecting them.

A review begins when a mission has ended. Nothing of it is in memory alone: what was settled is in
the journal, and what stands where follows from the texts. What was read and computed is kept until
:meth:`HunkReview.forget`, so that an editor may ask at every keystroke.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from orchestrator_core.errors import EditRefused, RequestError, StaleEdit, WorkspaceError
from orchestrator_core.events import (
    EditsApplied,
    EditsIntended,
    EditsReverted,
    HunksSettled,
    MissionAccepted,
    MissionPlanned,
    TaskDivided,
    TaskStarted,
)
from orchestrator_core.mission.hunk_settlement import PendingHunk, Settling, pending
from orchestrator_core.mission.hunks import follow, names, steps_of
from orchestrator_core.mission.restore import remove_made_folders
from orchestrator_core.records import MissionStatus
from orchestrator_core.workspace.unified import diff_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.hunk_settlement import Settlement
    from orchestrator_core.mission.hunks import FileHunks
    from orchestrator_core.mission.summaries import MissionSummary

    Read = Callable[[], Mapping[str, Sequence[AnyEvent]]]

log = logging.getLogger(__name__)

PENDING_S = 3 * 86_400.0
"""What nobody has settled for so long after its mission ended counts as accepted."""

_REVIEWABLE = (MissionStatus.DONE, MissionStatus.FAILED, MissionStatus.CANCELLED)
_TELLING = (
    *(MissionAccepted, MissionPlanned, TaskDivided, TaskStarted),
    *(EditsIntended, EditsApplied, EditsReverted, HunksSettled),
)
"""The events that a review is told from: the others of a large mission need not be kept."""

_ATTEMPTS = 3
_FILES_KEPT = 64


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


def reviewable(missions: Iterable[MissionSummary], now: float) -> list[str]:
    """Those that have ended, not too long ago, and were not undone."""
    return [
        each.mission_id
        for each in missions
        if each.status in _REVIEWABLE and each.finished_at >= now - PENDING_S
    ]


class _Mission:
    """One mission that can be reviewed."""

    def __init__(self, events: Sequence[AnyEvent]) -> None:
        self.id = events[0].mission_id
        self.sequence = events[-1].sequence
        self.events = [event for event in events if isinstance(event, _TELLING)]
        self.steps = steps_of(events)
        self.names = names(self.steps)
        self.titles: dict[str, str] = {}
        for event in events:
            if isinstance(event, MissionPlanned | TaskDivided):
                tasks = event.plan.tasks if isinstance(event, MissionPlanned) else event.parts
                self.titles.update((task.id, task.title) for task in tasks)


class HunkReview:
    """The reviews of one workspace. Lives on the event loop; texts are compared in the pool.

    Args:
        engine: what missions run on.
        read: the events of the missions that can be reviewed, by id, the newest first. Called in
            the pool.
        open_journal: becomes the one that writes to the journal.
        mark: another value each time another process has written to the journal.

    Attributes:
        on_changed: called when what is pending may have changed but for the texts.
        lock: held while hunks are settled; to be held while a mission is undone.
        generation: another number after each such change.
    """

    def __init__(
        self,
        engine: Engine,
        read: Read,
        open_journal: Callable[[], Awaitable[None]],
        mark: Callable[[], object],
    ) -> None:
        self.lock = asyncio.Lock()
        self.generation = 0
        self.on_changed: Callable[[], None] = lambda: None
        self._engine = engine
        self._read = read
        self._open_journal = open_journal
        self._mark_now = mark
        self._missions: dict[str, _Mission] | None = None
        self._followed: OrderedDict[tuple[str, str], list[FileHunks]] = OrderedDict()
        self._kept = threading.Lock()
        self._mark: object = None

    def forget(self) -> None:
        """A mission began, ended or was undone: read the journal the next time."""
        with self._kept:
            self._missions = None
            self.generation += 1
            self._followed.clear()
        self.on_changed()

    def forgotten(self, missions: Collection[str]) -> None:
        """Missions are not in the journal any more. From any thread."""
        with self._kept:
            self.generation += 1
            for mission in missions:
                if self._missions is not None:
                    self._missions.pop(mission, None)

    async def pending(self, *, mission_id: str = "", path: str = "") -> list[PendingHunk]:
        """The hunks that nobody has settled, of the newest mission first.

        Args:
            mission_id: only of this mission.
            path: only in this file; those of a file that was deleted are in no other.

        Raises:
            ContentsUnavailable: the texts that they are told from cannot be read.
            JournalError: the journal cannot be read.
        """
        if path and not self.concerns(path):
            return []
        return await self._engine.pool.submit(self._pending, mission_id, path)

    def concerns(self, path: str) -> bool:
        """Whether a file may have pending hunks; where that is not known yet, it may."""
        self._look_at_mark()
        known = self._missions
        return known is None or bool(self._concerned(list(known.values()), "", path))

    async def standing(self, path: str) -> tuple[str, list[PendingHunk]]:
        """What a file holds now, and the pending hunks in just this text; see :meth:`pending`."""
        return await self._engine.pool.submit(self._standing, path)

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

    async def _note(self, mission: _Mission, plan: Settlement, *, accept: bool) -> None:
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
        settled = await engine.pool.submit(_Mission, [*mission.events, event])
        with self._kept:
            self.generation += 1
            if self._missions is not None and mission.id in self._missions:
                self._missions[mission.id] = settled
        self.on_changed()
        if not accept:
            made = {file.path for file in plan.files if file.whole}
            await engine.pool.submit(remove_made_folders, engine.workspace, mission.events, made)

    def _plan(
        self, mission_id: str, path: str, hunk: str, accept: bool
    ) -> tuple[_Mission, Settlement]:
        """Plan to settle hunks of a mission as the files are now."""
        if (mission := self._known().get(mission_id)) is None:
            raise RequestError(f"mission {mission_id} cannot be reviewed any more")
        engine = self._engine
        settling = Settling(engine.workspace, engine.contents.get_all, accept=accept)
        for file in self._files(mission, path):
            settling.take(file, hunk)
        return mission, settling.plan()

    def _concerned(
        self, missions: Iterable[_Mission], mission_id: str, path: str
    ) -> list[_Mission]:
        """Those that may have hunks."""
        return [
            mission
            for mission in missions
            if mission_id in ("", mission.id) and (not path or path in mission.names)
        ]

    def _look_at_mark(self) -> None:
        """Forget what was read before another process wrote to the journal. From any thread."""
        mark = self._mark_now()
        with self._kept:
            if mark != self._mark:
                self._mark = mark
                self._missions = None
                self.generation += 1
                self._followed.clear()

    def _known(self) -> Mapping[str, _Mission]:
        """The missions that can be reviewed. Blocks on the disk where they were forgotten."""
        self._look_at_mark()
        while (known := self._missions) is None:
            generation = self.generation
            known = {name: _Mission(events) for name, events in self._read().items()}
            with self._kept:
                if generation == self.generation:
                    self._missions = known
        return known

    def _pending(self, mission_id: str, path: str) -> list[PendingHunk]:
        found: list[PendingHunk] = []
        missions = list(self._known().values())
        for mission in self._concerned(missions, mission_id, path):
            for file in self._files(mission, path):
                with suppress(WorkspaceError):  # it is no text any more
                    document = self._engine.workspace.find(file.path)
                    found += pending(mission.id, file, mission.titles, document)
        return found

    def _standing(self, path: str) -> tuple[str, list[PendingHunk]]:
        while True:
            text = self._engine.workspace.read(path).text
            found = self._pending("", path)
            if self._engine.workspace.read(path).text == text:
                return text, found

    def _files(self, mission: _Mission, path: str) -> list[FileHunks]:
        """The files of a mission, followed to its end; with a path the one that is there."""
        key = (f"{mission.id}.{mission.sequence}", path)
        with self._kept:
            files = self._followed.get(key)
        if files is None:
            wanted = names(mission.steps, path) if path else mission.names
            files = follow(mission.steps, self._engine.contents.get_all, paths=wanted)
            if path:  # all the texts of a large mission would be too much to keep
                files = [file for file in files if file.path == path]
                with self._kept:
                    self._followed[key] = files
                    if len(self._followed) > _FILES_KEPT:
                        self._followed.popitem(last=False)
        return files
