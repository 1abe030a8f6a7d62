"""What could not be written is told, and keeps its place."""

import sqlite3
import threading
from pathlib import Path

import pytest

from core.mission.journal_events import event, names
from orchestrator_core.errors import JournalError
from orchestrator_core.mission import group_writer
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.journal_rows import Row


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Each write of a group raises the first of these and takes it away."""
    left: list[Exception] = []
    insert = group_writer._insert

    def faulty(database: sqlite3.Connection, rows: list[Row]) -> None:
        if left:
            raise left.pop(0)
        insert(database, rows)

    monkeypatch.setattr(group_writer, "_insert", faulty)
    monkeypatch.setattr(group_writer, "_RETRY_S", 0.0)
    return left


def test_a_passing_fault_is_not_noticed(folder: Path, failures: list[Exception]) -> None:
    with Journal(folder) as journal:
        failures += [sqlite3.OperationalError("disk I/O error")] * 2
        journal.append(event()).result(30)
        assert len(journal.events()) == 1


def test_a_lasting_fault_is_told_and_the_events_keep_their_place(
    folder: Path, failures: list[Exception]
) -> None:
    with Journal(folder) as journal:
        failures += [sqlite3.OperationalError("database or disk is full")] * 6
        with pytest.raises(JournalError, match="disk is full"):
            journal.append(event("1")).result(30)
        with pytest.raises(JournalError, match="disk is full"):
            journal.flush(30)
        journal.append(event("2")).result(30)
        assert names(journal.events()) == ["1", "2"]


def test_events_that_failed_stay_before_those_that_came_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended = threading.Event()
    insert = group_writer._insert

    def fail_late(_database: sqlite3.Connection, _rows: list[Row]) -> None:
        appended.wait(30)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(group_writer, "_RETRY_S", 0.0)
    monkeypatch.setattr(group_writer, "_insert", fail_late)
    with Journal(folder) as journal:
        first = journal.append(event("1"))
        journal.append(event("2"))
        journal.append(event("3"))
        appended.set()
        assert isinstance(first.exception(30), JournalError)
        monkeypatch.setattr(group_writer, "_insert", insert)
        journal.append(event("4"))
        assert names(journal.events()) == ["1", "2", "3", "4"]


def test_events_that_came_during_a_failing_write_are_not_forgotten(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, appended = threading.Event(), threading.Event()

    def fail_late(_database: sqlite3.Connection, _rows: list[Row]) -> None:
        writing.set()
        appended.wait(30)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(group_writer, "_RETRY_S", 0.0)
    with Journal(folder) as journal:
        with monkeypatch.context() as failing:
            failing.setattr(group_writer, "_insert", fail_late)
            first = journal.append(event("1"))
            assert writing.wait(30)
            second = journal.append(event("2"))
            appended.set()
            for future in (first, second):
                assert isinstance(future.exception(30), JournalError)
        journal.flush(30)
        assert names(journal.events()) == ["1", "2"]


def test_any_error_of_the_writer_reaches_who_waits(folder: Path, failures: list[Exception]) -> None:
    with Journal(folder) as journal:
        failures += [ValueError("unforeseen")] * 3
        with pytest.raises(JournalError, match="unforeseen"):
            journal.append(event()).result(30)
        journal.flush(30)
        assert len(journal.events()) == 1


def test_events_that_are_lost_at_the_end_are_told(folder: Path, failures: list[Exception]) -> None:
    journal = Journal(folder)
    failures += [sqlite3.OperationalError("disk I/O error")] * 1000
    saved = journal.append(event())
    with pytest.raises(JournalError, match="1 events could not be written"):
        journal.close()
    assert isinstance(saved.exception(30), JournalError)
    Journal(folder).close()  # the workspace is free again
