"""The journal's file: opening, schema, migration, damage.

A file is one of ours by SQLite's ``application_id``; ``user_version`` is the schema's version,
which :data:`MIGRATIONS` takes from any older one to the newest.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from orchestrator_core.errors import JournalDamaged, JournalError
from orchestrator_core.mission.owner_lock import OwnerLock

if TYPE_CHECKING:
    from pathlib import Path

FILE = "state.db"
LOCK_FILE = "state.lock"

APPLICATION_ID = 0x4F43_4F4A  # "OCOJ"

MIGRATIONS: tuple[str, ...] = (
    # 1. Bodies are JSON, or zlib of it where it is long: they begin with "{" or "x". The index
    # has only what a list of missions is made from, so that other events pay nothing for it.
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        mission TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        kind TEXT NOT NULL,
        body BLOB NOT NULL
    );
    CREATE INDEX milestones ON events (mission, kind)
        WHERE kind IN ('accepted', 'done', 'undone');
    """,
    # 2. Events of one mission that were written together may share a row: its body is an array
    # of theirs and begins with "[" (or "x"), its sequence is the last one's.
    "",
)
"""``MIGRATIONS[n]`` takes version n to n + 1. Those released are never changed."""

MILESTONES = frozenset({"accepted", "done", "undone"})
"""Kinds that are looked for by kind: each has a row of its own."""

SEVERAL = "several"
"""The kind of a row that holds several events."""

BUSY_S = 10.0

# Checkpoints every 128 pages keep the write-ahead log well below the folder's 2 MB.
_SETTINGS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 128;
PRAGMA journal_size_limit = 524288;
"""


def make_folder(folder: Path) -> None:
    """Make the journal's folder; what is in it is no business of version control.

    A folder that exists may hold a person's own, versioned files: it is left as it is.

    Raises:
        JournalError: it cannot be made.
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


def open_for_writing(file: Path) -> sqlite3.Connection:
    """Open the journal, make it where there is none, bring its schema up to date.

    Raises:
        JournalDamaged: it cannot be read.
        JournalError: it cannot be opened, or was made by a newer version.
    """
    database = _connect(file, read_only=False)
    try:
        version = _version(database, file)
        if version == 0:
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.executescript(_SETTINGS)
        for number, migration in enumerate(MIGRATIONS[version:], version + 1):
            database.executescript(
                f"BEGIN IMMEDIATE; {migration};"
                f"PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {number}; COMMIT;"
            )
    except BaseException as error:
        database.close()
        raise translated(error, file) from error
    return database


def open_for_reading(file: Path) -> sqlite3.Connection | None:
    """Open the journal beside its owner; None where there is none yet.

    Raises:
        JournalDamaged: it cannot be read.
        JournalError: it cannot be opened, or was made by a newer version.
    """
    if not file.exists():
        return None
    database = _connect(file, read_only=True)
    try:
        if _version(database, file) == 0:
            database.close()
            return None
    except BaseException as error:
        database.close()
        raise translated(error, file) from error
    return database


def set_aside(folder: Path) -> Path | None:
    """Move a damaged journal out of the way, so that a new one can begin.

    Returns:
        Where it is now; None where there was none.

    Raises:
        JournalBusy: a live server works with it.
    """
    if not (folder / FILE).exists():
        return None
    with OwnerLock(folder / LOCK_FILE):
        number = 1
        while (folder / f"{FILE}.damaged-{number}").exists():
            number += 1
        aside = folder / f"{FILE}.damaged-{number}"
        for suffix in ("-wal", "-shm"):
            # They belong to the damaged file: SQLite would take them for the new one's.
            log = folder / f"{FILE}{suffix}"
            if log.exists():
                log.replace(folder / f"{aside.name}{suffix}")
        (folder / FILE).replace(aside)
        return aside


def translated(error: BaseException, file: Path) -> BaseException:
    """SQLite's error as ours; any other as it is."""
    if isinstance(error, sqlite3.OperationalError):
        return JournalError(f"the journal {file} cannot be used: {error}")
    if isinstance(error, sqlite3.DatabaseError):
        return damaged(file, str(error))
    return error


def damaged(file: Path, why: str) -> JournalDamaged:
    """The error for a journal that cannot be read."""
    return JournalDamaged(
        f"the journal {file} is damaged ({why}): it can be put aside to begin a new one; "
        "missions in it can then not be undone"
    )


def _connect(file: Path, *, read_only: bool) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    try:
        return sqlite3.connect(
            f"{file.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise translated(error, file) from error


def _version(database: sqlite3.Connection, file: Path) -> int:
    """The schema's version; 0 for an empty file.

    Raises:
        JournalDamaged: it is not a journal, or SQLite finds it broken.
        JournalError: a newer version of the program made it.
    """
    problem: str = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise damaged(file, problem)
    database.execute("BEGIN")  # all three as of one moment: its owner may just be making it
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    application: int = database.execute("PRAGMA application_id").fetchone()[0]
    tables: int = database.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]
    database.execute("COMMIT")
    if application != APPLICATION_ID and (application or version or tables):
        raise damaged(file, "it is not a journal of this program")
    if version > len(MIGRATIONS):
        raise JournalError(
            f"the journal {file} was made by a newer version of this program "
            f"(schema {version}, this one knows {len(MIGRATIONS)}): update the program"
        )
    return version
