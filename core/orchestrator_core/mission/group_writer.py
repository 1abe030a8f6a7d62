"""Group commit: many threads add rows, one thread writes them to SQLite in groups.

What has gathered while one group went to the disk is the next group. A group is one transaction
and one sync of the disk, however many events it has: under load the sync's cost is shared, and an
idle writer writes a single event at once. Neighbouring events of one mission share a row, too,
which takes a fraction of the time and of the space that a row each would.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import zlib
from typing import TYPE_CHECKING, TypeAlias

from orchestrator_core.errors import JournalError
from orchestrator_core.mission.journal_file import MILESTONES, SEVERAL, translated
from orchestrator_core.runtime.future import Future

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_ATTEMPTS = 3
_RETRY_S = 0.05
_COMPRESS_BYTES = 2048
_COMPRESS_LEVEL = 3  # a third of the usual level's time, for a few percent more bytes
_ROW_EVENTS = 128


Row: TypeAlias = tuple[str, int, str, bytes]
"""An event as a row: its mission, its sequence, its kind, and its JSON."""


class Saved(Future[None]):
    """Done once a group is safe on disk. Many await it, so none of them can cancel it."""

    def cancel(self) -> bool:
        """Change nothing: the group is written whoever waits for it."""
        return self.cancelled()


class GroupWriter:
    """Writes rows from its own thread until it is closed. Safe from any thread.

    Args:
        database: where the rows go.
        database_lock: held while the database is used.
        file: what messages call the database.
    """

    def __init__(
        self, database: sqlite3.Connection, database_lock: threading.Lock, file: Path
    ) -> None:
        self._database = database
        self._database_lock = database_lock
        self._file = file
        self._lock = threading.Lock()  # taken by itself: a condition's way in is twice as long
        self._changed = threading.Condition(self._lock)
        self._rows: list[Row] = []
        self._gathering = Saved()
        self._writing: Saved | None = None
        self._stuck = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def add(self, row: Row) -> Saved:
        """Put a row behind all others.

        Returns:
            Done when it is safe on disk; ends with ``JournalError`` when it could not be written.
            It is then tried again, in its place, with the next ``add`` or ``flush``.
        """
        with self._lock:
            self._rows.append(row)
            if len(self._rows) == 1 or self._stuck:
                self._stuck = False
                self._changed.notify()
            return self._gathering

    def flush(self, timeout_s: float | None) -> None:
        """Wait until all rows added before are safe on disk.

        Raises:
            JournalError: they could not be written.
            TimeoutError: not within ``timeout_s``.
        """
        with self._lock:
            if self._rows:
                self._stuck = False
                self._changed.notify()
                saved = self._gathering
            else:
                saved = self._writing
        if saved is not None:
            saved.result(timeout_s)

    def close(self) -> int:
        """Write what is left and end the thread; answers how many rows could not be written."""
        with self._lock:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        return len(self._rows)

    def _run(self) -> None:
        while True:
            with self._lock:
                while (not self._rows or self._stuck) and not self._closing:
                    self._changed.wait()
                if not self._rows:
                    return
                rows, self._rows = self._rows, []
                saved, self._gathering = self._gathering, Saved()
                self._writing = saved
            error = self._write(rows)
            with self._lock:
                self._writing = None
                if error is not None:
                    # Whoever added a row meanwhile waits for it: try again with that one.
                    self._stuck = not self._rows
                    # They keep their place: a journal with a gap could not be replayed.
                    self._rows[:0] = rows
                closing = self._closing
            if error is None:
                saved.set_result(None)
                continue
            log.error("%s", error)
            saved.set_exception(error)
            if closing:
                return

    def _write(self, rows: list[Row]) -> BaseException | None:
        """Write a group, again if it fails; answer the last error."""
        error: BaseException | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_RETRY_S)
            try:
                with self._database_lock:
                    _insert(self._database, rows)
            except sqlite3.Error as problem:
                error = translated(problem, self._file)
            except Exception as problem:  # noqa: BLE001 - whoever waits must be told of any error
                error = JournalError(f"{self._file} cannot be written: {problem!r}")
            else:
                return None
        return error


def _insert(database: sqlite3.Connection, rows: list[Row]) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        database.executemany(
            "INSERT INTO events (mission, sequence, kind, body) VALUES (?, ?, ?, ?)", _shared(rows)
        )
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _shared(rows: list[Row]) -> list[Row]:
    """The rows with neighbours of one mission made into one; what is looked for by its kind stays."""
    shared: list[Row] = []
    start = 0
    while start < len(rows):
        mission, sequence, kind, body = rows[start]
        end = start + 1
        if kind not in MILESTONES:
            last = min(len(rows), start + _ROW_EVENTS)
            while end < last and rows[end][0] == mission and rows[end][2] not in MILESTONES:
                end += 1
        if end - start > 1:
            sequence, kind = rows[end - 1][1], SEVERAL
            body = b"[%b]" % b",".join([row[3] for row in rows[start:end]])
        if len(body) > _COMPRESS_BYTES:
            body = zlib.compress(body, _COMPRESS_LEVEL)
        shared.append((mission, sequence, kind, body))
        start = end
    return shared
