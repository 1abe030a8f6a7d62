"""The database of a manifest: opened where it is, made with the first record, written whole."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import threading
from typing import TYPE_CHECKING, Any, Self

from orchestrator_core.cleanup.age_clock import AgeClock, Reading
from orchestrator_core.errors import CleanupError
from orchestrator_core.runtime.sqlite_busy import when_free

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

log = logging.getLogger(__name__)

FILE = "manifest.db"
_BUSY_S = 10.0
_SCHEMA_VERSION = 1
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    folder BLOB NOT NULL, name BLOB NOT NULL, kind TEXT NOT NULL, inode INTEGER NOT NULL,
    size INTEGER NOT NULL, hash TEXT NOT NULL, used_s REAL NOT NULL,
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS least_used ON entries (kind, used_s, size);
CREATE INDEX IF NOT EXISTS growing ON entries (kind) WHERE hash = '';
CREATE TABLE IF NOT EXISTS quarantine (
    id TEXT PRIMARY KEY, path BLOB NOT NULL, kind TEXT NOT NULL, inode INTEGER NOT NULL,
    size INTEGER NOT NULL, hash TEXT NOT NULL, used_s REAL NOT NULL, moved_s REAL NOT NULL,
    purge INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (name TEXT PRIMARY KEY, ran_s REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clock (
    one INTEGER PRIMARY KEY CHECK (one = 1), boot TEXT NOT NULL, at_s REAL NOT NULL,
    age_s REAL NOT NULL
);
PRAGMA user_version = {_SCHEMA_VERSION};
COMMIT;
"""


class ManifestFile:
    """The SQLite file. A context manager; safe from any thread and process; blocks on the disk.

    One that is damaged is put aside: what was recorded in it stays for good.

    Args:
        folder: the ``.opencode``.
        clock: tells ages; its last reading is kept with each write.
    """

    def __init__(self, folder: Path, clock: AgeClock | None = None) -> None:
        self.folder = folder
        self._file = folder / FILE
        self._clock = clock or AgeClock()
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._inode = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Repeating it does nothing; any use opens it again."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def exists(self) -> bool:
        """Whether anything was ever recorded."""
        return self._file.exists()

    def now_s(self) -> float:
        """The present time of the manifest's clock."""
        return self._reading().age_s

    @contextlib.contextmanager
    def writing(self, *, durable: bool = False) -> Generator[sqlite3.Connection]:
        """All that happens inside is written, or nothing; several writes may share one.

        A killed process loses none of it; ``durable`` has a power failure lose none, either.

        Raises:
            CleanupError: the manifest cannot be written.
        """
        with self._lock, self._translated():
            database = self._open(make=True)
            assert database is not None
            if database.in_transaction:
                yield database
                return
            database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                now = self._reading()
                database.execute(
                    "REPLACE INTO clock VALUES (1, ?, ?, ?)", (now.boot, now.at_s, now.age_s)
                )
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # some errors end it by themselves
                    database.execute("ROLLBACK")
                raise

    def query(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        """Rows; none where there is no manifest.

        Raises:
            CleanupError: the manifest cannot be read.
        """
        with self._lock, self._translated():
            database = self._open(make=False)
            return [] if database is None else database.execute(query, tuple(values)).fetchall()

    def _reading(self) -> Reading:
        rows = self.query("SELECT boot, at_s, age_s FROM clock")
        return self._clock.read(Reading(*rows[0]) if rows else None)

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise CleanupError(f"{self._file} cannot be used: {error}") from error

    def _open(self, *, make: bool) -> sqlite3.Connection | None:
        """The connection; made anew where somebody took the file away."""
        try:
            found = os.lstat(self._file)
        except FileNotFoundError:
            found = None
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise CleanupError(f"{self._file} is no plain file: nothing is cleaned up here")
        if self._database is not None and found is not None and found.st_ino == self._inode:
            return self._database
        self.close()
        if found is None and not make:
            return None
        try:
            self._database = self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # What was recorded in it stays for good: nothing is removed without a record.
            aside = self._file.with_name(f"{FILE}.damaged")
            for suffix in ("-wal", "-shm"):  # SQLite would take them for the new one's
                with contextlib.suppress(FileNotFoundError):
                    self._file.with_name(FILE + suffix).replace(f"{aside}{suffix}")
            self._file.replace(aside)
            log.warning("%s is damaged: it was moved to %s", self._file, aside.name)
            self._database = self._connect()
        self._inode = self._file.stat().st_ino
        return self._database

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            # A record that a power failure takes back costs nothing: its file stays for good.
            when_free(lambda: database.execute("PRAGMA journal_mode = WAL"), _BUSY_S)
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA wal_autocheckpoint = 32")
            database.execute("PRAGMA journal_size_limit = 0")
            version: int = database.execute("PRAGMA user_version").fetchone()[0]
            if version > _SCHEMA_VERSION:
                raise CleanupError(
                    f"{self._file} was made by a newer version of this program: update it"
                )
            if version < _SCHEMA_VERSION:
                database.executescript(_SCHEMA)
        except BaseException:
            database.close()
            raise
        return database
