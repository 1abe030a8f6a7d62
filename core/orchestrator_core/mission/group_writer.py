"""Group commit: many threads add events, one thread writes them to SQLite in groups.

What has gathered while one group went to the disk is the next group. A group is one transaction
and one sync of the disk, however many events it has: under load the sync's cost is shared, and an
idle writer writes a single event at once. Neighbouring events of one mission share a row, too,
which takes a fraction of the time and of the space that a row each would. Each is encoded
into its row: nothing is made for an event alone.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from orchestrator_core.errors import JournalError
from orchestrator_core.mission.journal_file import MILESTONES, translated
from orchestrator_core.mission.journal_rows import Row
from orchestrator_core.runtime.future import Future

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_ATTEMPTS = 3
_RETRY_S = 0.05
_ROW_BYTES = 64 * 1024

_encode_into = msgspec.json.Encoder().encode_into


class Saved(Future[None]):
    """Done once a group is safe on disk. Many await it, so none of them can cancel it."""

    def cancel(self) -> bool:
        """Change nothing: the group is written whoever waits for it."""
        return self.cancelled()


class GroupWriter:
    """Writes events from its own thread until it is closed. Safe from any thread.

    Args:
        order: held by whoever adds an event: it settles which comes first.
        database: where the rows go.
        database_lock: held while the database is used.
        file: what messages call the database.
    """

    def __init__(
        self,
        order: threading.Lock,
        database: sqlite3.Connection,
        database_lock: threading.Lock,
        file: Path,
    ) -> None:
        self._order = order
        self._database = database
        self._database_lock = database_lock
        self._file = file
        self._changed = threading.Condition(order)
        self._encoded = bytearray()  # room for one event: cheaper than bytes for each
        self._rows: list[Row] = []
        self._open: Row | None = None  # the last of them, if it takes more
        self._gathering = Saved()
        self._writing: Saved | None = None
        self._asleep = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def add(self, mission: str, sequence: int, kind: str, event: object) -> Saved:
        """Put an event behind all others; the caller holds ``order``.

        Returns:
            Done when it is safe on disk; ends with ``JournalError`` when it could not be written.
            It is then tried again, in its place, with the next ``add`` or ``flush``.

        Raises:
            UnicodeEncodeError, msgspec.MsgspecError: it cannot be JSON, and was not added.
        """
        encoded = self._encoded
        _encode_into(event, encoded)
        encoded += b","
        row = self._open
        alone = kind in MILESTONES
        if row is None or alone or row.mission != mission:
            row = Row(mission, kind)
            self._rows.append(row)
            self._open = None if alone else row
            if self._asleep:
                self._wake()
        body = row.body
        body += encoded  # in one step: an interrupt leaves no half of an event
        row.sequence = sequence
        row.events += 1
        if len(body) > _ROW_BYTES:
            self._open = None
        return self._gathering

    def flush(self, timeout_s: float | None) -> None:
        """Wait until all rows added before are safe on disk.

        Raises:
            JournalError: they could not be written.
            TimeoutError: not within ``timeout_s``.
        """
        with self._order:
            if self._rows:
                self._wake()
                saved = self._gathering
            else:
                saved = self._writing
        if saved is not None:
            saved.result(timeout_s)

    def close(self) -> int:
        """Write what is left and end the thread; answers how many events could not be written."""
        with self._order:
            self._closing = True
            self._wake()
        self._thread.join()
        return sum(row.events for row in self._rows)

    def _wake(self) -> None:
        self._asleep = False
        self._changed.notify()

    def _run(self) -> None:
        stuck = False
        while True:
            with self._order:
                self._asleep = (stuck or not self._rows) and not self._closing
                while self._asleep:
                    self._changed.wait()
                if not self._rows:
                    return
                rows, self._rows, self._open = self._rows, [], None
                saved, self._gathering = self._gathering, Saved()
                self._writing = saved
            error = self._write(rows)
            with self._order:
                self._writing = None
                # Whoever added a row meanwhile waits for it: try again with that one.
                stuck = error is not None and not self._rows
                if error is not None:
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
    values = [row.values() for row in rows]
    database.execute("BEGIN IMMEDIATE")
    try:
        database.executemany(
            "INSERT INTO events (mission, sequence, kind, body) VALUES (?, ?, ?, ?)", values
        )
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
