"""The journal: every event of every mission, appended and never changed.

Events are written in groups (``mission.group_writer``), and an event's future is done only after
its group was synced to the disk. So a process killed at any moment loses no event that somebody
was told is safe, and what is acted on only after its event is safe can always be told from the
journal.

One live process may write; others read along.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, Self, get_args

import msgspec

from orchestrator_core.errors import JournalError
from orchestrator_core.events import AnyEvent
from orchestrator_core.mission import journal_file
from orchestrator_core.mission.group_writer import GroupWriter
from orchestrator_core.mission.journal_rows import events_of
from orchestrator_core.mission.owner_lock import OwnerLock
from orchestrator_core.mission.summaries import MissionSummary, summaries
from orchestrator_core.primitives.string_pool import StringPool
from orchestrator_core.records import MissionStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from orchestrator_core.runtime.future import Future

_KINDS = {kind: str(kind.__struct_config__.tag) for kind in get_args(AnyEvent)}


class Journal:
    """The events of one workspace. A context manager; safe from any thread.

    Opening and reading block on the disk; ``append`` does not.

    Args:
        folder: the workspace's ``.opencode``; made, with a ``.gitignore``, unless ``read_only``.
        read_only: read beside whoever owns the journal, or without any owner.
        strings: what the ids in events are shared through; one of its own by default.
        clock: seconds since the epoch, for events that carry no time.

    Raises:
        JournalBusy: another live process owns it; its id is in the message.
        JournalDamaged: it cannot be read; :func:`journal_file.set_aside` makes room for another.
        JournalError: it cannot be opened, or a newer version of the program made it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        read_only: bool = False,
        strings: StringPool | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._strings = StringPool() if strings is None else strings
        self._file = folder / journal_file.FILE
        self._clock = clock
        self._order = threading.Lock()
        self._sequences: dict[str, int] = {}
        self._closed = False
        # A connection for each direction: through one, a reader would wait for as long as events
        # come, for the writer takes the lock again the moment that it has let go of it.
        self._reading = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._database_lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._owner_lock: OwnerLock | None = None
        self._writer: GroupWriter | None = None
        if read_only:
            self._reader = journal_file.open_for_reading(self._file)
            return
        journal_file.make_folder(folder)
        self._owner_lock = OwnerLock(folder / journal_file.LOCK_FILE)
        try:
            self._database = journal_file.open_for_writing(self._file)
            rows = self._select("SELECT mission, MAX(sequence) FROM events GROUP BY mission")
        except BaseException:
            self._close()
            raise
        self._sequences = dict(rows)
        self._writer = GroupWriter(self._order, self._database, self._database_lock, self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def read_only(self) -> bool:
        """Whether ``append`` is refused."""
        return self._owner_lock is None

    def append(self, event: AnyEvent) -> Future[None]:
        """Put an event behind all others; its order is settled when this returns.

        An event without a ``sequence`` gets the next one of its mission, one without ``at`` the
        present time.

        Returns:
            Done once the event is safe on disk; ends with ``JournalError`` when it could not be
            written. It is then tried again, in its place, with the next ``append`` or ``flush``.
            Cancelling the future changes nothing.

        Raises:
            JournalError: the journal is closed or read-only, or the event has text that is no
                Unicode.
        """
        mission, sequence = event.mission_id, event.sequence
        order = self._order
        order.acquire()  # half the price of a ``with``
        try:
            writer = self._writer
            if writer is None:
                why = "closed" if self._closed else "read-only here"
                raise JournalError(f"the journal {self._file} is {why}: nothing can be added")
            if not sequence or not event.at:
                sequence = sequence or self._sequences.get(mission, 0) + 1
                at = event.at or self._clock()
                event = msgspec.structs.replace(event, sequence=sequence, at=at)
            saved = writer.add(mission, sequence, _KINDS[type(event)], event)
            self._sequences[mission] = sequence
            return saved
        except (UnicodeEncodeError, msgspec.MsgspecError) as error:
            raise JournalError(f"an event cannot be written as JSON: {error}") from error
        finally:
            order.release()

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until all that was appended before is safe on disk.

        Raises:
            JournalError: it could not be written.
            TimeoutError: not within ``timeout_s``.
        """
        writer = self._writer
        if writer is not None:
            writer.flush(timeout_s)

    def events(self, mission_id: str | None = None) -> tuple[AnyEvent, ...]:
        """The events of one mission or of all, in the order they were appended.

        Raises:
            JournalDamaged: one cannot be read.
            JournalError: the journal cannot be used.
        """
        self.flush()
        query, values = "SELECT id, body FROM events", ()
        if mission_id is not None:
            query, values = f"{query} WHERE mission = ?", (mission_id,)
        rows = self._select(query, values)
        return tuple(event for row, body in rows for event in self._decoded(row, body))

    def missions(self) -> tuple[MissionSummary, ...]:
        """What missions there are, the newest first; reads only their beginnings and ends.

        Raises:
            JournalDamaged: an event cannot be read.
            JournalError: the journal cannot be used.
        """
        self.flush()
        rows = self._select(
            "SELECT id, body FROM events WHERE kind IN ('accepted', 'done', 'undone') ORDER BY id"
        )
        return summaries(event for row, body in rows for event in self._decoded(row, body))

    def prune(self, limit_bytes: int, *, keep: Iterable[str] = ()) -> tuple[str, ...]:
        """Forget the oldest missions until the journal fits into ``limit_bytes``.

        Missions without an end, those in ``keep`` and the newest one stay.

        Returns:
            The missions forgotten: they cannot be undone any more.

        Raises:
            JournalError: the journal is read-only or cannot be written.
        """
        if self.size_bytes() <= limit_bytes:
            return ()  # the usual case, in which no mission need be read
        kept = set(keep)
        ended = [
            summary.mission_id
            for summary in self.missions()[:0:-1]
            if summary.status is not MissionStatus.RUNNING and summary.mission_id not in kept
        ]
        forgotten: list[str] = []
        for mission in ended:
            if self.size_bytes() <= limit_bytes:
                break
            self._change("PRAGMA incremental_vacuum;", mission)
            forgotten.append(mission)
        return tuple(forgotten)

    def excess(self, limit_bytes: int) -> tuple[str, ...]:
        """The oldest finished missions without which the journal fits into ``limit_bytes``.

        The newest mission is never among them.

        Raises:
            JournalError: the journal cannot be used.
        """
        over = self.size_bytes() - limit_bytes
        if over <= 0:
            return ()
        weights = dict(
            self._select("SELECT mission, SUM(LENGTH(body)) FROM events GROUP BY mission")
        )
        found: list[str] = []
        for summary in self.missions()[:0:-1]:
            if over > 0 and summary.status is not MissionStatus.RUNNING:
                found.append(summary.mission_id)
                over -= weights.get(summary.mission_id, 0)
        return tuple(found)

    def forget(self, missions: Iterable[str]) -> None:
        """Drop missions, and give their space back to the disk.

        Raises:
            JournalError: the journal is read-only or cannot be written.
        """
        for mission in missions:
            self._change("PRAGMA incremental_vacuum;", mission)
        self._change("PRAGMA wal_checkpoint(TRUNCATE);")

    def size_bytes(self) -> int:
        """What the journal takes on disk, apart from the write-ahead log.

        Raises:
            JournalError: the journal cannot be used.
        """
        self.flush()
        ((pages,),) = self._select("PRAGMA page_count") or [(0,)]
        ((page_bytes,),) = self._select("PRAGMA page_size") or [(0,)]
        return pages * page_bytes

    def close(self) -> None:
        """Write what is left and let go of the workspace. Repeating it does nothing.

        Raises:
            JournalError: events could not be written and are lost.
        """
        with self._order:
            if self._closed:
                return
            self._closed = True
            writer, self._writer = self._writer, None
        lost = writer.close() if writer is not None else 0
        self._close()
        if lost:
            raise JournalError(f"{lost} events could not be written to {self._file}")

    def _close(self) -> None:
        """Close the connections, the one that tidies up last, and let go of the workspace."""
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
        with self._database_lock:
            if self._database is not None:
                self._database.close()
                self._database = None
        if self._owner_lock is not None:
            self._owner_lock.release()

    def _select(self, query: str, values: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        with self._reading:
            if self._reader is None and not self._closed:
                self._reader = journal_file.open_for_reading(self._file)
            if self._reader is None:
                return []
            try:
                return self._reader.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise journal_file.translated(error, self._file) from error

    def _change(self, script: str, *forgotten: str) -> None:
        """Drop missions, and run a script to its end: one step of a vacuum gives back one page."""
        with self._database_lock:
            if self._database is None:
                raise JournalError(f"the journal {self._file} is read-only here, or closed")
            try:
                for mission in forgotten:
                    self._database.execute("DELETE FROM events WHERE mission = ?", (mission,))
                self._database.executescript(script)
            except sqlite3.Error as error:
                raise journal_file.translated(error, self._file) from error

    def _decoded(self, row: int, body: bytes) -> list[AnyEvent]:
        """The events of a row."""
        try:
            return events_of(body, self._strings)
        except (msgspec.MsgspecError, zlib.error) as error:
            raise journal_file.damaged(self._file, f"event {row}: {error}") from error
