"""The manifest: what this program created in ``.opencode``, and what lies in the quarantine.

One small SQLite file, ``.opencode/manifest.db``, apart from the journal: whoever writes a file
records it there, server or not, and a damaged journal does not make the program forget which
files are its own. Cleanup removes what is in here and nothing else, so a manifest that is lost
or damaged means that nothing is removed.

Paths are bytes, relative to ``.opencode``: a name need not be text.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from orchestrator_core.cleanup.entries import Entry, Kind, Quarantined
from orchestrator_core.cleanup.manifest_file import ManifestFile

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENTRY = "folder, name, kind, inode, size, hash, used_s"


class Manifest(ManifestFile):
    """The manifest of one ``.opencode``. A context manager; safe from any thread and process.

    It is made with the first record. All methods block on the disk.

    Args:
        folder: the ``.opencode``.
        clock: tells ages.
    """

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

    def _select(self, where: str, values: Iterable[Any] = ()) -> list[Entry]:
        query = f"SELECT {_ENTRY} FROM entries {where}"  # noqa: S608 - constants
        rows: list[tuple[bytes, bytes, str, int, int, str, float]] = self.query(query, values)
        return [
            Entry(b"/".join(filter(None, (folder, name))), Kind(kind), inode, size, digest, used_s)
            for folder, name, kind, inode, size, digest, used_s in rows
        ]


def _marks(kinds: Iterable[Kind]) -> tuple[str, list[str]]:
    values = [str(kind) for kind in kinds]
    return ", ".join("?" * len(values)), values
