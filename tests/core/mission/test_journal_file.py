"""The journal's folder and file: made, damaged, put aside, of another version."""

import os
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.mission.journal_events import event
from orchestrator_core.errors import JournalBusy, JournalDamaged, JournalError
from orchestrator_core.mission import journal_file
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.journal_file import set_aside


def test_a_new_folder_is_hidden_from_version_control_and_an_old_one_left(tmp_path: Path) -> None:
    Journal(tmp_path / "new" / ".opencode").close()
    assert (tmp_path / "new" / ".opencode" / ".gitignore").read_text() == "*\n"
    old = tmp_path / "old" / ".opencode"
    (old / "agents").mkdir(parents=True)
    Journal(old).close()
    assert not (old / ".gitignore").exists()


def test_reading_where_nothing_is_makes_nothing(folder: Path) -> None:
    with Journal(folder, read_only=True) as journal:
        assert (journal.events(), journal.missions(), journal.size_bytes()) == ((), (), 0)
        assert not folder.exists()
        with Journal(folder) as owner:
            owner.append(event()).result(30)
            assert len(journal.events()) == 1  # it has come to be


def test_a_folder_that_cannot_be_made_is_a_journal_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="cannot be made"):
        Journal(tmp_path / "file" / ".opencode")


def write(folder: Path, data: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / "state.db").write_bytes(data)


def filled(folder: Path) -> Path:
    with Journal(folder) as journal:
        for n in range(250):
            for mission in ("a", "b"):  # no two neighbours of one mission: each has its row
                journal.append(event(f"{n}", mission))
    return folder / "state.db"


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_journal_is_damage(folder: Path, read_only: bool) -> None:
    write(folder, b"this is not a database " * 100)
    with pytest.raises(JournalDamaged, match=r"state\.db is damaged .*put aside"):
        Journal(folder, read_only=read_only)
    assert (folder / "state.db").read_bytes().startswith(b"this is not")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_journal_is_damage(folder: Path, keep: float) -> None:
    file = filled(folder)
    os.truncate(file, int(file.stat().st_size * keep))
    with pytest.raises(JournalDamaged):
        Journal(folder)


def test_a_database_of_another_program_is_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    database = sqlite3.connect(folder / "state.db")
    database.execute("CREATE TABLE theirs (x)")
    database.close()
    with pytest.raises(JournalDamaged, match="not a journal of this program"):
        Journal(folder)


def test_a_journal_that_is_just_being_made_is_no_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True)
    owners: list[Journal] = []

    class Overtaken(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            result = super().execute(sql, *values)
            if sql == "PRAGMA application_id" and not owners:
                monkeypatch.undo()
                owners.append(Journal(folder))
            return result

    with closing(sqlite3.connect(folder / journal_file.FILE)) as begun:
        begun.execute("PRAGMA journal_mode = WAL")
        begun.execute("PRAGMA user_version = 0")
        monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Overtaken))
        assert journal_file.open_for_reading(folder / journal_file.FILE) is None
    assert owners[0].missions() == ()
    owners[0].close()


@pytest.mark.parametrize(
    "body", [b"{}", b"x\x9c broken", b'{"kind": "unknown"}', b"", b"[{}]", b"["]
)
def test_an_event_that_cannot_be_read_is_damage(folder: Path, body: bytes) -> None:
    file = filled(folder)
    database = sqlite3.connect(file)
    with database:
        database.execute("UPDATE events SET body = ? WHERE id = 2", (body,))
    database.close()
    with Journal(folder) as journal, pytest.raises(JournalDamaged, match="event 2"):
        journal.events()


def test_a_damaged_journal_is_put_aside_and_a_new_one_begins(folder: Path) -> None:
    assert set_aside(folder) is None
    write(folder, b"damage" * 1000)
    (folder / "state.db-wal").write_bytes(b"its log")
    aside = set_aside(folder)
    assert aside is not None
    assert aside.name == "state.db.damaged-1"
    assert aside.read_bytes() == b"damage" * 1000
    assert not (folder / "state.db-wal").exists()
    with Journal(folder) as journal:
        journal.append(event()).result(30)
        with pytest.raises(JournalBusy):
            set_aside(folder)
    assert set_aside(folder) == folder / "state.db.damaged-2"


@pytest.mark.parametrize("read_only", [False, True])
def test_a_journal_of_a_newer_version_is_not_touched(folder: Path, read_only: bool) -> None:
    file = filled(folder)
    database = sqlite3.connect(file)
    database.execute(f"PRAGMA user_version = {len(journal_file.MIGRATIONS) + 1}")
    database.close()
    with pytest.raises(JournalError, match=r"newer version .*update the program"):
        Journal(folder, read_only=read_only)


def test_a_journal_of_an_older_version_is_migrated(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(folder)
    newer = (*journal_file.MIGRATIONS, "ALTER TABLE events ADD COLUMN note TEXT")
    monkeypatch.setattr(journal_file, "MIGRATIONS", newer)
    with Journal(folder) as journal:
        assert len(journal.events()) == 500
        journal.append(event()).result(30)
        assert journal._select("SELECT COUNT(*) FROM events WHERE note IS NULL") == [(501,)]
        assert journal._select("PRAGMA user_version") == [(len(newer),)]
