"""What is pending of the missions of a workspace, read once and followed as texts change.

Nothing of it is in memory alone: what was settled is in the journal, and what stands where follows
from the texts. What was read and computed is kept, so that an editor may ask at every keystroke.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator_core.errors import WorkspaceError
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
from orchestrator_core.mission.hunk_settlement import PendingHunk, pending
from orchestrator_core.mission.hunks import follow, names, steps_of
from orchestrator_core.records import MissionStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.file_hunks import FileHunks
    from orchestrator_core.mission.lazy_journal import LazyJournal
    from orchestrator_core.mission.summaries import MissionSummary

PENDING_S = 3 * 86_400.0
"""What nobody has settled for so long after its mission ended counts as accepted."""

_REVIEWABLE = (MissionStatus.DONE, MissionStatus.FAILED, MissionStatus.CANCELLED)
_TELLING = (
    *(MissionAccepted, MissionPlanned, TaskDivided, TaskStarted),
    *(EditsIntended, EditsApplied, EditsReverted, HunksSettled),
)
"""The events that a review is told from: the others of a large mission need not be kept."""

_FILES_KEPT = 64


def reviewable(missions: Iterable[MissionSummary], now: float) -> list[str]:
    """Those that have ended, not too long ago, and were not undone."""
    return [
        each.mission_id
        for each in missions
        if each.status in _REVIEWABLE and each.finished_at >= now - PENDING_S
    ]


class ReviewedMission:
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


class PendingHunks:
    """The hunks that nobody has settled. Lives on the event loop; texts are compared in the pool.

    Args:
        engine: what missions run on.
        journal: has the events of the missions.

    Attributes:
        on_changed: called when what is pending may have changed but for the texts.
        generation: another number after each such change.
    """

    def __init__(self, engine: Engine, journal: LazyJournal) -> None:
        self.generation = 0
        self.on_changed: Callable[[], None] = lambda: None
        self._engine = engine
        self._journal = journal
        self._missions: dict[str, ReviewedMission] | None = None
        self._followed: OrderedDict[tuple[str, str], list[FileHunks]] = OrderedDict()
        self._kept = threading.Lock()
        self._mark: object = None
        journal.when_forgotten(self._drop)

    def forget(self) -> None:
        """A mission began, ended or was undone: read the journal the next time."""
        with self._kept:
            self._missions = None
            self.generation += 1
            self._followed.clear()
        self.on_changed()

    def _drop(self, missions: Collection[str]) -> None:
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

    async def _went_on(self, mission: ReviewedMission, event: HunksSettled) -> None:
        """Something of a mission was settled."""
        settled = await self._engine.pool.submit(ReviewedMission, [*mission.events, event])
        with self._kept:
            self.generation += 1
            if self._missions is not None and mission.id in self._missions:
                self._missions[mission.id] = settled
        self.on_changed()

    def _concerned(
        self, missions: Iterable[ReviewedMission], mission_id: str, path: str
    ) -> list[ReviewedMission]:
        """Those that may have hunks."""
        return [
            mission
            for mission in missions
            if mission_id in ("", mission.id) and (not path or path in mission.names)
        ]

    def _look_at_mark(self) -> None:
        """Forget what was read before another process wrote to the journal. From any thread."""
        mark = self._journal.mark()
        with self._kept:
            if mark != self._mark:
                self._mark = mark
                self._missions = None
                self.generation += 1
                self._followed.clear()

    def _known(self) -> Mapping[str, ReviewedMission]:
        """The missions that can be reviewed. Blocks on the disk where they were forgotten."""
        self._look_at_mark()
        while (known := self._missions) is None:
            generation = self.generation
            known = {name: ReviewedMission(events) for name, events in self._read().items()}
            with self._kept:
                if generation == self.generation:
                    self._missions = known
        return known

    def _read(self) -> Mapping[str, Sequence[AnyEvent]]:
        """The events of the missions that can be reviewed, the newest first."""
        ids = reviewable(self._journal.missions(), self._engine.now())
        return {each: self._journal.events(each) for each in ids}

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

    def _files(self, mission: ReviewedMission, path: str) -> list[FileHunks]:
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
