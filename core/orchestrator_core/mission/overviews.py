"""What ``status`` tells of the missions of a workspace, read once rather than at each question."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from orchestrator_core.mission.history import overview

if TYPE_CHECKING:
    from collections.abc import Collection

    from orchestrator_core.mission.history import MissionOverview
    from orchestrator_core.mission.lazy_journal import LazyJournal


class Overviews:
    """The missions in a journal. Safe from any thread; reading blocks on the disk.

    While this process is the one that writes, only its own missions change. What was read is kept,
    and kept up, so that nothing need be read while a mission runs: a reader would then wait for
    the thousands of events that are being written.
    """

    def __init__(self, journal: LazyJournal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._kept: list[MissionOverview] | None = None
        self._running: set[str] = set()
        self._changes = 0
        journal.when_forgotten(self.forgotten)

    def began(self, mission_id: str) -> None:
        """A mission runs from now on, perhaps one that is known from before."""
        with self._lock:
            self._running.add(mission_id)
            self._change([], without=(mission_id,))

    def ended(self, mission: MissionOverview) -> None:
        """A mission has ended as its last event says, or something of it was undone."""
        with self._lock:
            self._running.discard(mission.mission)
            self._change([mission], without=(mission.mission,))

    def lost(self, mission_id: str) -> None:
        """A mission ended in a way that is not known: all is read again the next time."""
        with self._lock:
            self._running.discard(mission_id)
            self._changes += 1
            self._kept = None

    def forgotten(self, missions: Collection[str]) -> None:
        """Missions are not in the journal any more."""
        with self._lock:
            self._change([], without=missions)

    def close(self) -> None:
        """Keep nothing: it may be much, and who holds this may be long in going."""
        with self._lock:
            self._changes += 1
            self._kept = None

    @property
    def kept(self) -> list[MissionOverview] | None:
        """What was read and still holds."""
        with self._lock:
            return self._kept

    def read(self) -> list[MissionOverview]:
        """Those that do not run here, the newest first.

        Raises:
            JournalDamaged: an event cannot be read.
            JournalError: the journal cannot be used.
        """
        with self._lock:
            if self._kept is not None:
                return self._kept
            changes, running = self._changes, frozenset(self._running)
        found = [
            overview(list(self._journal.events(summary.mission_id)))
            for summary in self._journal.missions()
            if summary.mission_id not in running
        ]
        with self._lock:
            if self._journal.is_open and changes == self._changes:
                self._kept = found
        return found

    def _change(self, added: list[MissionOverview], without: Collection[str]) -> None:
        self._changes += 1
        if self._kept is not None:
            found = [*added, *(each for each in self._kept if each.mission not in without)]
            self._kept = sorted(found, key=lambda each: each.started_at, reverse=True)
