"""A journal that is opened for writing when the first mission needs it, and not before."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.errors import JournalDamaged, JournalError
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.journal_file import FILE, LOCK_FILE, set_aside
from orchestrator_core.mission.owner_lock import holder_of
from orchestrator_core.records import MissionStatus
from orchestrator_core.workspace.text_file import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.summaries import MissionSummary
    from orchestrator_core.primitives.string_pool import StringPool
    from orchestrator_core.runtime.future import Future

log = logging.getLogger(__name__)

LIMIT_BYTES = 1_000_000
"""What the journal may take when it is opened: half of what ``.opencode`` may."""


class LazyJournal:
    """The journal of one workspace. Safe from any thread; all but ``append`` block on the disk.

    Reading leaves no trace in a workspace where no mission has run, and keeps no other process
    from writing.

    Args:
        folder: the workspace's ``.opencode``.
        strings: what the ids in events are shared through.
    """

    def __init__(self, folder: Path, strings: StringPool | None = None) -> None:
        self._strings = strings
        self._folder = folder
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._told: list[Callable[[Sequence[str]], None]] = []

    def open(self) -> Path | None:
        """Become the one that writes; repeating it does nothing.

        A damaged journal is put aside and a new one begun; one that has grown too large forgets
        its oldest missions.

        Returns:
            Where a damaged journal is now; None if there was none.

        Raises:
            JournalBusy: another live process works on this workspace.
            JournalError: it cannot be opened.
        """
        with self._lock:
            if self._journal is not None:
                return None
            aside: Path | None = None
            try:
                journal = Journal(self._folder, strings=self._strings)
            except JournalDamaged:
                aside = set_aside(self._folder)
                journal = Journal(self._folder, strings=self._strings)
            try:
                journal.prune(LIMIT_BYTES)
            except JournalError as error:
                log.warning("the journal could not be shortened: %s", error)
            self._journal = journal
            return aside

    def append(self, event: AnyEvent) -> Future[None]:
        """See :meth:`Journal.append`; only after :meth:`open`."""
        assert self._journal is not None
        return self._journal.append(event)

    @property
    def is_open(self) -> bool:
        """Whether this process is the one that writes."""
        return self._journal is not None

    def missions(self) -> tuple[MissionSummary, ...]:
        """What missions there are, the newest first."""
        if self._journal is not None:
            return self._journal.missions()
        with Journal(self._folder, read_only=True) as journal:
            return journal.missions()

    def events(self, mission_id: str | None = None) -> tuple[AnyEvent, ...]:
        """The events of one mission or of all, the oldest first."""
        if self._journal is not None:
            return self._journal.events(mission_id)
        with Journal(self._folder, read_only=True, strings=self._strings) as journal:
            return journal.events(mission_id)

    def events_of(self, mission_id: str | None) -> tuple[AnyEvent, ...]:
        """The events of a mission, by default the newest; none where there is no such."""
        if mission_id is None:
            mission_id = next((each.mission_id for each in self.missions()), "")
        return self.events(mission_id)

    def cut_short(self, running: Collection[str]) -> list[list[AnyEvent]]:
        """The events of each mission without an end that is not ``running``, the newest first.

        Reads no more than the beginnings and ends of all others.
        """
        return [
            list(self.events(each.mission_id))
            for each in self.missions()
            if each.status is MissionStatus.RUNNING and each.mission_id not in running
        ]

    def mark(self) -> object:
        """Another value each time another process has written to the journal."""
        if self.is_open:
            return None  # nobody else can
        seen = [signature(self._folder / f"{FILE}{part}") for part in ("", "-wal")]
        # Whoever reads makes an empty log, and takes it away again.
        return [(each.size_bytes, each.modified_ns) for each in seen if each and each.size_bytes]

    def excess(self, limit_bytes: int) -> tuple[str, ...]:
        """See :meth:`Journal.excess`; none where another process works on the journal."""
        if self._journal is not None:
            return self._journal.excess(limit_bytes)
        if self.owner() is not None:
            return ()
        with Journal(self._folder, read_only=True) as journal:
            return journal.excess(limit_bytes)

    def lines(self, missions: Sequence[str]) -> Iterator[bytes]:
        """The events of missions as lines of JSON."""
        for mission in missions:
            for event in self.events(mission):
                yield msgspec.json.encode(event) + b"\n"

    def forget(self, missions: Sequence[str]) -> None:
        """See :meth:`Journal.forget`.

        Raises:
            JournalBusy: another live process works on the journal.
        """
        self.open()
        assert self._journal is not None
        self._journal.forget(missions)
        for tell in self._told:
            tell(missions)

    def when_forgotten(self, tell: Callable[[Sequence[str]], None]) -> None:
        """Have somebody told, in any thread, which missions were dropped from the journal."""
        self._told.append(tell)

    def owner(self) -> int | None:
        """The live process that writes to the journal now, if there is one."""
        return holder_of(self._folder / LOCK_FILE)

    def close(self) -> None:
        """Write what is left and give the workspace free; repeating it does nothing."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
