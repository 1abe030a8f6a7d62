"""The manifest: what this program created in ``.opencode``, and what lies in the quarantine.

One small SQLite file, ``.opencode/manifest.db``, apart from the journal: whoever writes a file
records it there, server or not, and a damaged journal does not make the program forget which
files are its own. Cleanup removes what is in here and nothing else, so a manifest that is lost
or damaged means that nothing is removed.

Paths are bytes, relative to ``.opencode``: a name need not be text.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import threading
from typing import TYPE_CHECKING, Any, Self

from orchestrator_core.cleanup.age_clock import AgeClock, Reading
from orchestrator_core.cleanup.entries import Entry, Kind, Quarantined
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
_ENTRY = "folder, name, kind, inode, size, hash, used_s"


class Manifest:
    """The manifest of one ``.opencode``. A context manager; safe from any thread and process.

    It is made with the first record. All methods block on the disk.

    Args:
        folder: the ``.opencode``.
        clock: tells ages.
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

    def add(self, entries: Iterable[Entry]) -> None:
        """Record files, in place of what was recorded for their paths.

        Raises:
            CleanupError: the manifest cannot be written.
        """
        with self.writing() as database:
            database.executemany(
                f"REPLACE INTO entries ({_ENTRY}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
                [
                    (*os.path.split(e.path), e.kind, e.inode, e.size, e.hash, e.used_s)
                    for e in entries
                ],
            )

    def forget(self, entries: Iterable[Entry]) -> None:
        """These files are no longer, or no longer ours; what was recorded since then stays.

        Raises:
            CleanupError: the manifest cannot be written.
        """
        with self.writing() as database:
            database.executemany(
                "DELETE FROM entries WHERE folder = ? AND name = ? AND inode = ?",
                [(*os.path.split(entry.path), entry.inode) for entry in entries],
            )

    def use(self, path: str | bytes) -> None:
        """A file was used: among those of its kind it is now the last to go.

        Raises:
            CleanupError: the manifest cannot be written.
        """
        now_s = self.now_s()
        with self.writing() as database:
            database.execute(
                "UPDATE entries SET used_s = ? WHERE folder = ? AND name = ?",
                (now_s, *os.path.split(os.fsencode(path))),
            )

    def get(self, path: bytes) -> Entry | None:
        """What is recorded for a path."""
        rows = self._select("WHERE folder = ? AND name = ?", os.path.split(path))
        return rows[0] if rows else None

    def used_before(self, kinds: Iterable[Kind], limit_s: float) -> list[Entry]:
        """Files of some kinds that were last used before ``limit_s``, the longest unused first."""
        marks, values = _marks(kinds)
        return self._select(
            f"WHERE kind IN ({marks}) AND used_s < ? ORDER BY used_s, folder, name",
            (*values, limit_s),
        )

    def growing(self) -> list[Entry]:
        """Files whose writers had not finished them when they were recorded."""
        return self._select("INDEXED BY growing WHERE hash = '' ORDER BY folder, name")

    def totals(self) -> dict[Kind, tuple[int, int]]:
        """How many files of each kind there are, and their bytes as recorded."""
        rows = self.query("SELECT kind, COUNT(*), SUM(size) FROM entries GROUP BY kind")
        return {Kind(kind): (count, size) for kind, count, size in rows}

    def folders(self) -> list[bytes]:
        """The folders that recorded files lie in."""
        # From one to the next by the index: DISTINCT would read every row.
        rows = self.query(
            "WITH RECURSIVE steps(folder) AS (SELECT MIN(folder) FROM entries UNION ALL"
            " SELECT (SELECT MIN(folder) FROM entries WHERE folder > steps.folder)"
            " FROM steps WHERE folder IS NOT NULL)"
            " SELECT folder FROM steps WHERE folder IS NOT NULL"
        )
        return [folder for (folder,) in rows]

    def names(self, folder: bytes) -> set[str]:
        """The names recorded in a folder, as ``os.listdir`` tells them."""
        # One text costs a tenth of one row a file.
        query = "SELECT CAST(group_concat(name, '/') AS BLOB) FROM entries WHERE folder = ?"
        ((names,),) = self.query(query, (folder,)) or [(None,)]
        return set(os.fsdecode(names).split("/")) if names else set()

    def quarantined(self) -> list[Quarantined]:
        """What lies in the quarantine, the oldest first."""
        rows = self.query(
            "SELECT id, path, kind, inode, size, hash, used_s, moved_s, purge FROM quarantine"
            " ORDER BY moved_s, id"
        )
        return [
            Quarantined(
                name, Entry(path, Kind(kind), inode, size, digest, used_s), moved_s, bool(purge)
            )
            for name, path, kind, inode, size, digest, used_s, moved_s, purge in rows
        ]

    def quarantine(self, items: Iterable[Quarantined]) -> None:
        """Note what is about to be moved into the quarantine, before it is moved.

        Raises:
            CleanupError: the manifest cannot be written.
        """
        with self.writing(durable=True) as database:
            database.executemany(
                "REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (q.id, q.entry.path, q.entry.kind, q.entry.inode, q.entry.size, q.entry.hash,
                     q.entry.used_s, q.moved_s, q.purge)
                    for q in items
                ],
            )  # fmt: skip

    def leave_quarantine(self, ids: Iterable[str]) -> None:
        """These are no longer in the quarantine.

        Raises:
            CleanupError: the manifest cannot be written.
        """
        with self.writing() as database:
            database.executemany("DELETE FROM quarantine WHERE id = ?", [(i,) for i in ids])

    def last_runs(self) -> dict[str, float]:
        """When each job last ran."""
        return dict(self.query("SELECT name, ran_s FROM jobs"))

    def ran(self, names: Iterable[str]) -> None:
        """These jobs ran now.

        Raises:
            CleanupError: the manifest cannot be written.
        """
        now_s = self.now_s()
        with self.writing() as database:
            database.executemany("REPLACE INTO jobs VALUES (?, ?)", [(n, now_s) for n in names])

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

    def _select(self, where: str, values: Iterable[Any] = ()) -> list[Entry]:
        query = f"SELECT {_ENTRY} FROM entries {where}"  # noqa: S608 - constants
        rows: list[tuple[bytes, bytes, str, int, int, str, float]] = self.query(query, values)
        return [
            Entry(b"/".join(filter(None, (folder, name))), Kind(kind), inode, size, digest, used_s)
            for folder, name, kind, inode, size, digest, used_s in rows
        ]

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


def _marks(kinds: Iterable[Kind]) -> tuple[str, list[str]]:
    values = [str(kind) for kind in kinds]
    return ", ".join("?" * len(values)), values
