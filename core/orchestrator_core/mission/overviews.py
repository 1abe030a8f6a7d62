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

    While this process is the one that writes, only its own missions change, so that what was read
    is kept, and kept up, until :meth:`forget`: to read a large mission again takes seconds.
    """

    def __init__(self, journal: LazyJournal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._kept: list[MissionOverview] | None = None
        self._changes = 0
        journal.on_forgotten = self.forget

    def forget(self) -> None:
        """A mission was undone, or ended in a way that is not known: read again the next time."""
        with self._lock:
            self._kept = None
            self._changes += 1

    def began(self, mission_id: str) -> None:
        """A mission runs from now on, perhaps one that is known from before."""
        with self._lock:
            self._changes += 1
            if self._kept is not None:
                self._kept = [each for each in self._kept if each.mission != mission_id]

    def ended(self, mission: MissionOverview) -> None:
        """A mission of this process has ended as its last event says."""
        with self._lock:
            self._changes += 1
            if self._kept is not None:
                found = [mission, *self._kept]
                self._kept = sorted(found, key=lambda each: each.started_at, reverse=True)

    @property
    def kept(self) -> list[MissionOverview] | None:
        """What was read and still holds."""
        with self._lock:
            return self._kept

    def read(self, running: Collection[str]) -> list[MissionOverview]:
        """Those that are not ``running`` here, the newest first.

        Raises:
            JournalDamaged: an event cannot be read.
            JournalError: the journal cannot be used.
        """
        with self._lock:
            if self._kept is not None:
                return self._kept
            changes = self._changes
        found = [
            overview(list(self._journal.events(summary.mission_id)))
            for summary in self._journal.missions()
            if summary.mission_id not in running
        ]
        with self._lock:
            if self._journal.is_open and changes == self._changes:
                self._kept = found
        return found
