"""The journal: every event of every mission, appended and never changed.

Events are written by one thread in groups: what has gathered while one group went to the disk is
the next. A group is one transaction and one sync of the disk, however many events it has, and an
event's future is done only after that sync. So a mission's state is always the fold over what the
journal has, and a process killed at any moment loses no event that somebody was told is safe.

One live process may write; others read along.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from orchestrator_core.errors import JournalError
from orchestrator_core.events import AnyEvent
from orchestrator_core.mission import journal_file
from orchestrator_core.mission.owner_lock import OwnerLock
from orchestrator_core.mission.summaries import MissionSummary, summaries
from orchestrator_core.records import MissionStatus
from orchestrator_core.runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

log = logging.getLogger(__name__)

_COMPRESS_BYTES = 2048
_WRITE_ATTEMPTS = 3
_RETRY_S = 0.05
_INSERT = "INSERT INTO events (mission, sequence, kind, body) VALUES (?, ?, ?, ?)"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnyEvent).decode


class _Entry(NamedTuple):
    event: AnyEvent
    body: bytes
    future: Future[AnyEvent] | None


class Journal:
    """The events of one workspace. A context manager; safe from any thread.

    Opening and reading block on the disk; ``append`` does not.

    Args:
        folder: the workspace's ``.opencode``; made, with a ``.gitignore``, unless ``read_only``.
        read_only: read beside whoever owns the journal, or without any owner.
        clock: seconds since the epoch, for events that carry no time.

    Raises:
        JournalBusy: another live process owns it; its id is in the message.
        JournalDamaged: it cannot be read; :func:`journal_file.set_aside` makes room for another.
        JournalError: it cannot be opened, or a newer version of the program made it.
    """

    def __init__(
        self, folder: Path, *, read_only: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = folder / journal_file.FILE
        self._clock = clock
        self._changed = threading.Condition()
        self._pending: list[_Entry] = []
        self._last: Future[AnyEvent] | None = None
        self._sequences: dict[str, int] = {}
        self._closing = False
        self._stuck = False
        self._database_lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._lock: OwnerLock | None = None
        self._writer: threading.Thread | None = None
        if read_only:
            self._database = journal_file.open_for_reading(self._file)
            return
        _make_folder(folder)
        self._lock = OwnerLock(folder / journal_file.LOCK_FILE)
        try:
            self._database = journal_file.open_for_writing(self._file)
            rows = self._select("SELECT mission, MAX(sequence) FROM events GROUP BY mission")
        except BaseException:
            self._lock.release()
            raise
        self._sequences = dict(rows)
        self._writer = threading.Thread(target=self._write_groups, name="journal", daemon=True)
        self._writer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def read_only(self) -> bool:
        """Whether ``append`` is refused."""
        return self._lock is None

    def append(self, event: AnyEvent) -> Future[AnyEvent]:
        """Put an event behind all others; its order is settled when this returns.

        An event without a ``sequence`` gets the next one of its mission, one without ``at`` the
        present time.

        Returns:
            Done with the event as written, once it is safe on disk; ends with ``JournalError``
            when it could not be written. It is then tried again with the next ``append`` or
            ``flush``, so that the order stays. Cancelling the future changes nothing.

        Raises:
            JournalError: the journal is closed or read-only, or the event has text that is no
                Unicode.
        """
        future: Future[AnyEvent] = Future()
        with self._changed:
            if self._closing or self._lock is None:
                why = "closed" if self._closing else "read-only here"
                raise JournalError(f"the journal {self._file} is {why}: nothing can be added")
            if not event.sequence or not event.at:
                event = msgspec.structs.replace(
                    event,
                    sequence=event.sequence or self._sequences.get(event.mission_id, 0) + 1,
                    at=event.at or self._clock(),
                )
            try:
                body = _encode(event)
            except (UnicodeEncodeError, msgspec.MsgspecError) as error:
                raise JournalError(f"an event cannot be written as JSON: {error}") from error
            self._sequences[event.mission_id] = event.sequence
            self._pending.append(_Entry(event, body, future))
            self._last = future
            if len(self._pending) == 1 or self._stuck:
                self._stuck = False
                self._changed.notify_all()
        return future

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until all that was appended before is safe on disk.

        Raises:
            JournalError: it could not be written.
            TimeoutError: not within ``timeout_s``.
        """
        with self._changed:
            if self._stuck and self._pending:
                self._last = Future()
                self._pending[-1] = self._pending[-1]._replace(future=self._last)
                self._stuck = False
                self._changed.notify_all()
            last = self._last
        if last is not None:
            last.result(timeout_s)

    def events(self, mission_id: str | None = None) -> tuple[AnyEvent, ...]:
        """The events of one mission or of all, in the order they were appended.

        Raises:
            JournalDamaged: one cannot be read.
            JournalError: the journal cannot be used.
        """
        self._settle()
        query, values = "SELECT id, body FROM events", ()
        if mission_id is not None:
            query, values = f"{query} WHERE mission = ?", (mission_id,)
        return tuple(self._decoded(row, body) for row, body in self._select(query, values))

    def missions(self) -> tuple[MissionSummary, ...]:
        """What missions there are, the newest first; reads only their beginnings and ends.

        Raises:
            JournalDamaged: an event cannot be read.
            JournalError: the journal cannot be used.
        """
        self._settle()
        rows = self._select(
            "SELECT id, body FROM events WHERE kind IN ('accepted', 'done', 'undone') ORDER BY id"
        )
        return summaries(self._decoded(row, body) for row, body in rows)

    def prune(self, limit_bytes: int, *, keep: Iterable[str] = ()) -> tuple[str, ...]:
        """Forget the oldest missions until the journal fits into ``limit_bytes``.

        Missions without an end, those in ``keep`` and the newest one stay.

        Returns:
            The missions forgotten: they cannot be undone any more.

        Raises:
            JournalError: the journal is read-only or cannot be written.
        """
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
            self._run("DELETE FROM events WHERE mission = ?", (mission,))
            self._run("PRAGMA incremental_vacuum")
            forgotten.append(mission)
        return tuple(forgotten)

    def size_bytes(self) -> int:
        """What the journal takes on disk, apart from the write-ahead log."""
        ((pages,),) = self._select("PRAGMA page_count") or [(0,)]
        ((page_bytes,),) = self._select("PRAGMA page_size") or [(0,)]
        return pages * page_bytes

    def close(self) -> None:
        """Write what is left and let go of the workspace. Repeating it does nothing.

        Raises:
            JournalError: events could not be written and are lost.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._writer is not None:
            self._writer.join()
        with self._database_lock:
            if self._database is not None:
                self._database.close()
                self._database = None
        if self._lock is not None:
            self._lock.release()
        lost, self._pending = self._pending, []
        if lost:
            raise JournalError(f"{len(lost)} events could not be written to {self._file}")

    # The writer's thread

    def _write_groups(self) -> None:
        while True:
            with self._changed:
                while (not self._pending or self._stuck) and not self._closing:
                    self._changed.wait()
                group, self._pending = self._pending, []
            if not group:
                return
            error = self._write(group)
            if error is None:
                for entry in group:
                    if entry.future is not None:
                        entry.future.set_result(entry.event)
                continue
            log.error("%s", error)
            with self._changed:
                # They keep their place: a journal with a gap could not be replayed.
                self._pending[:0] = [entry._replace(future=None) for entry in group]
                self._stuck = True
                closing = self._closing
            for entry in group:
                if entry.future is not None:
                    entry.future.set_exception(JournalError(str(error)))
            if closing:
                return

    def _write(self, group: list[_Entry]) -> BaseException | None:
        """Write a group in one transaction, again if it fails; answer the last error."""
        rows = [
            (event.mission_id, event.sequence, _kind(event), _packed(body))
            for event, body, _ in group
        ]
        error: BaseException | None = None
        for attempt in range(_WRITE_ATTEMPTS):
            if attempt:
                time.sleep(_RETRY_S)
            try:
                with self._database_lock:
                    assert self._database is not None
                    _insert(self._database, rows)
            except sqlite3.Error as problem:
                error = journal_file.translated(problem, self._file)
            else:
                return None
        return error

    # Reading

    def _settle(self) -> None:
        """Have a read see all that was appended before."""
        if self._lock is not None and not self._closing:
            self.flush()

    def _select(self, query: str, values: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        with self._database_lock:
            if self._database is None and self._lock is None and not self._closing:
                self._database = journal_file.open_for_reading(self._file)
            if self._database is None:
                return []
            try:
                return self._database.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise journal_file.translated(error, self._file) from error

    def _run(self, statement: str, values: tuple[str, ...] = ()) -> None:
        if self._lock is None:
            raise JournalError(f"the journal {self._file} is read-only here")
        self._select(statement, values)

    def _decoded(self, row: int, body: bytes) -> AnyEvent:
        try:
            return _decode(zlib.decompress(body) if body[:1] == b"x" else body)
        except (msgspec.MsgspecError, zlib.error) as error:
            raise journal_file.damaged(self._file, f"event {row}: {error}") from error


def _insert(database: sqlite3.Connection, rows: list[tuple[str, int, str, bytes]]) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        database.executemany(_INSERT, rows)
        database.execute("COMMIT")
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _kind(event: AnyEvent) -> str:
    kind = event.__struct_config__.tag
    assert isinstance(kind, str)
    return kind


def _packed(body: bytes) -> bytes:
    return zlib.compress(body) if len(body) > _COMPRESS_BYTES else body


def _make_folder(folder: Path) -> None:
    """Make the folder; what is in it is no business of version control.

    A folder that exists may hold a person's own, versioned files: it is left as it is.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return
    except OSError as error:
        raise JournalError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        (folder / ".gitignore").write_text("*\n", "utf-8")
    except OSError as error:
        raise JournalError(f"{folder} cannot be written to: {error.strerror}") from error
