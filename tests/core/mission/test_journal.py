"""The journal gives back what was appended to it, and of which missions."""

import asyncio
import random
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from core.mission.journal_events import event, names
from orchestrator_core.errors import JournalError
from orchestrator_core.events import (
    MissionAccepted,
    MissionFinished,
    MissionPlanned,
    MissionUndone,
    TaskStarted,
)
from orchestrator_core.mission import group_writer
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.journal_rows import Row
from orchestrator_core.records import MissionStatus, Plan, Task


def test_events_come_back_in_order_numbered_by_mission(folder: Path) -> None:
    with Journal(folder, clock=lambda: 5.0) as journal:
        for mission in ("a", "b", "a"):
            journal.append(event(mission=mission))
        assert [(e.mission_id, e.sequence, e.at) for e in journal.events()] == [
            ("a", 1, 5.0),
            ("b", 1, 5.0),
            ("a", 2, 5.0),
        ]
    with Journal(folder, clock=lambda: 6.0) as journal:
        journal.append(event(mission="a"))
        assert [e.sequence for e in journal.events("a")] == [1, 2, 3]
        journal.append(TaskStarted(mission_id="c", task_id="T", sequence=7, at=9.0))
        assert [(e.sequence, e.at) for e in journal.events("c")] == [(7, 9.0)]
        assert journal.events("none") == ()


def test_reading_waits_for_no_group_that_is_being_written(folder: Path) -> None:
    with Journal(folder) as journal, ThreadPoolExecutor(1) as reader:
        journal.append(event())
        journal.flush()
        with journal._database_lock:  # as the writer has it, one group after the other
            read = reader.submit(journal.events)
            assert names(read.result(30)) == ["T1"]


def test_events_from_many_threads_have_no_gaps(folder: Path) -> None:
    with Journal(folder) as journal, ThreadPoolExecutor(8) as pool:
        futures = list(pool.map(journal.append, [event() for _ in range(500)]))
        for future in futures:
            future.result(30)
        assert [e.sequence for e in journal.events()] == list(range(1, 501))


def test_what_gathers_during_a_write_is_one_group(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on = threading.Event(), threading.Event()
    groups: list[int] = []
    insert = group_writer._insert

    def slow(database: sqlite3.Connection, rows: list[Row]) -> None:
        groups.append(sum(row.events for row in rows))
        writing.set()
        go_on.wait(30)
        insert(database, rows)

    monkeypatch.setattr(group_writer, "_insert", slow)
    with Journal(folder) as journal:
        first = journal.append(event())
        assert writing.wait(30)
        futures = [journal.append(event(f"{n}")) for n in range(300)]
        assert not first.done()
        assert not any(future.done() for future in futures)
        go_on.set()
        journal.flush(30)
        assert first.done()
        assert all(future.done() for future in futures)
        assert groups == [1, 300]
        assert names(journal.events())[1:] == [f"{n}" for n in range(300)]


async def test_an_event_can_be_awaited_and_a_cancelled_wait_disturbs_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    insert = group_writer._insert

    def slow(database: sqlite3.Connection, rows: list[Row]) -> None:
        go_on.wait(30)
        insert(database, rows)

    monkeypatch.setattr(group_writer, "_insert", slow)

    async def wait(task: str) -> None:
        await journal.append(event(task))

    with Journal(folder) as journal:
        waits = [asyncio.ensure_future(wait(f"{n}")) for n in range(5)]
        await asyncio.sleep(0)
        waits[2].cancel()
        await asyncio.sleep(0)
        go_on.set()
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(asyncio.CancelledError) == 1
        assert names(journal.events()) == ["0", "1", "2", "3", "4"]


def test_neighbours_of_one_mission_share_a_row_and_come_back_in_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_writer, "_ROW_BYTES", 250)  # three events
    missions = "aaaaabbacccc"
    first, go_on = threading.Event(), threading.Event()
    insert = group_writer._insert

    def held(database: sqlite3.Connection, rows: list[Row]) -> None:
        first.set()
        go_on.wait(30)
        insert(database, rows)

    monkeypatch.setattr(group_writer, "_insert", held)
    with Journal(folder) as journal:
        journal.append(event("first", "z"))
        assert first.wait(30)
        for number, mission in enumerate(missions):
            journal.append(event(f"{number}", mission))
        journal.append(MissionFinished(mission_id="c", status=MissionStatus.DONE))
        journal.append(event("last", "c"))
        go_on.set()
        journal.flush(30)
        rows = journal._select("SELECT mission, sequence, kind FROM events ORDER BY id")
        assert rows[1:] == [
            ("a", 3, "several"),
            ("a", 5, "several"),
            ("b", 2, "several"),
            ("a", 6, "taskStarted"),
            ("c", 3, "several"),
            ("c", 4, "taskStarted"),
            ("c", 5, "done"),
            ("c", 6, "taskStarted"),
        ]
        told = [e.mission_id for e in journal.events()]
        assert "".join(told) == f"z{missions}cc"
        assert [e.sequence for e in journal.events("c")] == [1, 2, 3, 4, 5, 6]
    with Journal(folder) as journal:
        journal.append(event("next", "a"))
        assert [e.sequence for e in journal.events("a")] == [1, 2, 3, 4, 5, 6, 7]


def test_a_journal_of_single_rows_is_still_read(folder: Path) -> None:
    with Journal(folder):
        pass
    database = sqlite3.connect(folder / "state.db")
    with database:
        database.execute("PRAGMA user_version = 1")
        row = ("m", 1, "taskStarted", msgspec.json.encode(event("T", "m")))
        database.execute(
            "INSERT INTO events (mission, sequence, kind, body) VALUES (?, ?, ?, ?)", row
        )
    database.close()
    with Journal(folder) as journal:
        journal.append(event("next", "m"))
        assert [e.task_id for e in journal.events() if isinstance(e, TaskStarted)] == ["T", "next"]


def test_long_events_are_compressed_and_come_back(folder: Path) -> None:
    plan = Plan("long", tuple(Task(f"T{n}", "the same title every time") for n in range(5000)))
    with Journal(folder) as journal:
        journal.append(MissionPlanned(mission_id="m", plan=plan))
        (planned,) = journal.events()
        assert isinstance(planned, MissionPlanned)
        assert planned.plan == plan
        assert journal.size_bytes() < 100_000


def test_text_that_is_no_unicode_is_refused_and_leaves_no_gap(folder: Path) -> None:
    with Journal(folder) as journal:
        for n in range(20):
            with pytest.raises(JournalError, match="cannot be written as JSON"):
                journal.append(event("\ud800"))
            journal.append(event(f"{n}"))
        assert [e.sequence for e in journal.events()] == list(range(1, 21))
        assert names(journal.events()) == [f"{n}" for n in range(20)]


def test_a_closed_or_read_only_journal_takes_nothing(folder: Path) -> None:
    journal = Journal(folder)
    journal.append(event())
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="is closed"):
        journal.append(event())
    with Journal(folder, read_only=True) as reader:
        assert reader.read_only
        with pytest.raises(JournalError, match="read-only"):
            reader.append(event())
        assert len(reader.events()) == 1


def test_closing_writes_what_was_appended_and_ends_the_thread(folder: Path) -> None:
    before = threading.active_count()
    with Journal(folder) as journal:
        for n in range(1000):
            journal.append(event(f"{n}"))
    assert threading.active_count() == before
    with Journal(folder, read_only=True) as journal:
        assert len(journal.events()) == 1000


@pytest.fixture
def three_missions(folder: Path) -> Iterator[Journal]:
    with Journal(folder, clock=iter(map(float, range(1, 10_000))).__next__) as journal:
        for mission in ("old", "mid", "new"):
            journal.append(MissionAccepted(mission_id=mission, text=f"text of {mission}"))
            for n in range(1000):
                journal.append(event(f"{n}{random.Random(n).randbytes(100).hex()}", mission))
        for mission in ("old", "mid"):
            journal.append(
                MissionFinished(mission_id=mission, status=MissionStatus.DONE, reason=mission)
            )
        journal.append(MissionUndone(mission_id="old"))
        yield journal


def test_missions_are_listed_the_newest_first(three_missions: Journal) -> None:
    new, mid, old = three_missions.missions()
    assert (new.mission_id, new.text, new.status) == ("new", "text of new", "running")
    assert (mid.status, mid.accepted_at, mid.finished_at) == ("done", 1002.0, 3005.0)
    assert (old.status, old.reason) == ("undone", "old")


def test_pruning_forgets_the_oldest_that_have_ended(three_missions: Journal) -> None:
    size = three_missions.size_bytes()
    assert three_missions.prune(size) == ()
    assert three_missions.prune(size - 1, keep=["old"]) == ("mid",)
    assert three_missions.size_bytes() < size * 0.8
    assert three_missions.prune(0) == ("old",)
    assert [summary.mission_id for summary in three_missions.missions()] == ["new"]
    assert len(three_missions.events()) == 1001
