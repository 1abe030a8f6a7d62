"""The content that undo needs, kept by its hash in the user's own state folder.

One SQLite file shared by all workspaces and processes of the user: putting many contents is one
transaction, and costs one sync of the disk. Contents are compressed. When they outgrow the limit,
those longest unused are dropped, but never one that a running mission has pinned.

A pin outlives its process on purpose: a mission that crashed is still to be resumed or undone.
One that nobody took off for ``PIN_DAYS`` days counts no more.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
import zlib
from typing import TYPE_CHECKING, Self

from orchestrator_core.errors import ContentsUnavailable
from orchestrator_core.runtime.sqlite_busy import when_free
from orchestrator_core.workspace.text_file import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

log = logging.getLogger(__name__)

LIMIT_BYTES = 256 * 2**20
PIN_DAYS = 30

_FILE = "contents.db"
_BUSY_S = 30.0
_ROOM = 0.8  # dropping leaves this share of the limit, so that not every put has to drop
_SCHEMA = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = 1048576;
CREATE TABLE IF NOT EXISTS contents (
    hash TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    used_at REAL NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS least_used ON contents (used_at, hash, size);
CREATE TABLE IF NOT EXISTS pins (
    hash TEXT NOT NULL,
    owner TEXT NOT NULL,
    pinned_at REAL NOT NULL,
    PRIMARY KEY (hash, owner)
) WITHOUT ROWID;
"""


class ContentStore:
    """Contents by their SHA-256. A context manager; safe from any thread, in many processes.

    All methods block on the disk.

    Args:
        folder: made if it does not exist; usually below platformdirs' user state folder.
        limit_bytes: compressed contents above this are dropped, the longest unused first.
        clock: seconds since the epoch.

    Raises:
        ContentsUnavailable: the folder cannot be made, read or written to.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit_bytes: int = LIMIT_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = folder / _FILE
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = self._open()
        except OSError as error:
            raise self._unavailable(error.strerror) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Repeating it does nothing."""
        with self._lock:
            self._database.close()

    def put(self, data: bytes, *, pin: str = "") -> str:
        """Keep one content; see ``put_all``."""
        return self.put_all([data], pin=pin)[0]

    def put_all(self, contents: Iterable[bytes], *, pin: str = "") -> list[str]:
        """Keep contents: when it returns, all of them are on disk; when it raises, none is.

        Args:
            contents: the bytes.
            pin: who needs them until ``unpin``: a mission's id, unique among all workspaces.

        Returns:
            Their hashes, in order.

        Raises:
            ContentsUnavailable: they cannot be written: the disk is full, say.
        """
        # Compressed before the transaction, which keeps other processes from writing.
        packed = [(sha256(data), zlib.compress(data, 3)) for data in contents]
        now = self._clock()
        with self._transaction() as database:
            for digest, data in packed:
                if pin:
                    database.execute("REPLACE INTO pins VALUES (?, ?, ?)", (digest, pin, now))
                database.execute(
                    "INSERT INTO contents VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (hash) DO UPDATE SET used_at = excluded.used_at",
                    (digest, len(data), now, data),
                )
            dropped = self._drop_unused(database, now)
        if dropped:
            self._give_back_space()
        return [digest for digest, _ in packed]

    def get(self, digest: str) -> bytes | None:
        """The content with this hash; None if it was dropped, or is damaged.

        Raises:
            ContentsUnavailable: the store cannot be read.
        """
        with self._transaction() as database:
            row: tuple[bytes] | None = database.execute(
                "UPDATE contents SET used_at = ? WHERE hash = ? RETURNING data",
                (self._clock(), digest),
            ).fetchone()
        if row is None:
            return None
        try:
            data = zlib.decompress(row[0])
        except zlib.error:
            data = b""
        if sha256(data) == digest:
            return data
        log.warning("the content %s in %s is damaged and was dropped", digest, self._file)
        with self._transaction() as database:
            database.execute("DELETE FROM contents WHERE hash = ?", (digest,))
        return None

    def get_all(self, digests: Iterable[str]) -> dict[str, bytes]:
        """Those contents that are kept of many, for the price of one sync of the disk.

        Raises:
            ContentsUnavailable: the store cannot be read.
        """
        now = self._clock()
        query = "UPDATE contents SET used_at = ? WHERE hash = ? RETURNING hash, data"
        rows: list[tuple[str, bytes]] = []
        with self._transaction() as database:
            for digest in set(digests):
                rows += database.execute(query, (now, digest)).fetchall()
        found: dict[str, bytes] = {}
        for digest, packed in rows:
            with contextlib.suppress(zlib.error):  # damaged: as good as dropped
                data = zlib.decompress(packed)
                if sha256(data) == digest:
                    found[digest] = data
        return found

    def has(self, digest: str) -> bool:
        """Whether the content with this hash is kept.

        Raises:
            ContentsUnavailable: the store cannot be read.
        """
        with self._transaction() as database:
            query = "SELECT 1 FROM contents WHERE hash = ?"
            return database.execute(query, (digest,)).fetchone() is not None

    def unpin(self, pin: str) -> None:
        """What this mission needed may be dropped from now on, as far as no other needs it.

        Raises:
            ContentsUnavailable: the store cannot be written.
        """
        with self._transaction() as database:
            database.execute("DELETE FROM pins WHERE owner = ?", (pin,))

    def size_bytes(self) -> int:
        """Compressed size of all contents.

        Raises:
            ContentsUnavailable: the store cannot be read.
        """
        with self._transaction() as database:
            return _size(database)

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.OperationalError as error:
            raise self._unavailable(error) from error
        except sqlite3.DatabaseError:
            # What it held cannot be read any more; undo then says what it cannot restore.
            aside = self._file.with_name(f"{_FILE}.damaged-{self._clock():.0f}")
            self._file.replace(aside)
            log.warning("%s is damaged: it was moved to %s", self._file, aside.name)
        try:
            return self._connect()
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            when_free(lambda: database.executescript(_SCHEMA), _BUSY_S)
        except sqlite3.Error:
            database.close()
            raise
        return database

    @contextlib.contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """All that happens inside is written, or nothing.

        Raises:
            ContentsUnavailable: for any error of SQLite.
        """
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    yield self._database
                    self._database.execute("COMMIT")
                except BaseException:
                    if self._database.in_transaction:  # some errors end it by themselves
                        self._database.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._unavailable(error) from error

    def _unavailable(self, why: object) -> ContentsUnavailable:
        return ContentsUnavailable(
            f"what undo needs cannot be kept or read in {self._file}: {why}. Check the space on "
            "its disk and its permissions"
        )

    def _drop_unused(self, database: sqlite3.Connection, now: float) -> bool:
        """Drop what nobody has pinned until there is room. Whether anything was dropped."""
        excess = _size(database) - self._limit_bytes
        if excess <= 0:
            return False
        excess += int(self._limit_bytes * (1 - _ROOM))
        database.execute("DELETE FROM pins WHERE pinned_at < ?", (now - PIN_DAYS * 86_400,))
        unused: list[tuple[str, int]] = database.execute(
            "SELECT hash, size FROM contents WHERE hash NOT IN (SELECT hash FROM pins)"
            " AND used_at < ? ORDER BY used_at",
            (now,),  # what is being put in this very transaction stays
        ).fetchall()
        dropped: list[tuple[str]] = []
        for digest, size in unused:
            if excess <= 0:
                break
            dropped.append((digest,))
            excess -= size
        database.executemany("DELETE FROM contents WHERE hash = ?", dropped)
        return bool(dropped)

    def _give_back_space(self) -> None:
        with self._lock:
            try:
                # One step of it gives back one page; only a script is run to its end.
                self._database.executescript("PRAGMA incremental_vacuum")
            except sqlite3.Error as error:
                # The contents are safe; the file only stays larger than it need be.
                log.info("%s could not be made smaller: %s", self._file, error)


def _size(database: sqlite3.Connection) -> int:
    total: int | None = database.execute("SELECT SUM(size) FROM contents").fetchone()[0]
    return total or 0
