"""The journal keeps every event that it said was safe, whatever happens to its process."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator_core.errors import JournalBusy, JournalDamaged, JournalError
from orchestrator_core.events import (
    AnyEvent,
    MissionAccepted,
    MissionFinished,
    MissionPlanned,
    MissionUndone,
    TaskStarted,
)
from orchestrator_core.mission import group_writer, journal_file
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.journal_file import set_aside
from orchestrator_core.records import MissionStatus, Plan, Task

CHILD = Path(__file__).with_name("journal_child.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "root" / ".opencode"


def event(task: str = "T1", mission: str = "m") -> TaskStarted:
    return TaskStarted(mission_id=mission, task_id=task)


def names(events: tuple[AnyEvent, ...]) -> list[str]:
    return [e.task_id for e in events if isinstance(e, TaskStarted)]


def child(*arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, arguments)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Each write of a group raises the first of these and takes it away."""
    left: list[Exception] = []
    insert = group_writer._insert

    def faulty(database: sqlite3.Connection, rows: list[group_writer.Row]) -> None:
        if left:
            raise left.pop(0)
        insert(database, rows)

    monkeypatch.setattr(group_writer, "_insert", faulty)
    monkeypatch.setattr(group_writer, "_RETRY_S", 0.0)
    return left


# Writing and reading


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

    def slow(database: sqlite3.Connection, rows: list[group_writer.Row]) -> None:
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

    def slow(database: sqlite3.Connection, rows: list[group_writer.Row]) -> None:
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

    def held(database: sqlite3.Connection, rows: list[group_writer.Row]) -> None:
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
        with pytest.raises(JournalError, match="cannot be written as JSON"):
            journal.append(event("\ud800"))
        journal.append(event())
        assert [e.sequence for e in journal.events()] == [1]


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


# The folder


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


# Faults


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

    def fail_late(_database: sqlite3.Connection, _rows: list[group_writer.Row]) -> None:
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

    def fail_late(_database: sqlite3.Connection, _rows: list[group_writer.Row]) -> None:
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


# The owner


def test_a_second_opener_is_told_who_holds_it(folder: Path) -> None:
    with Journal(folder) as journal:
        with pytest.raises(JournalBusy, match=rf"process {os.getpid()}\b"):
            Journal(folder)
        journal.append(event()).result(30)
        with Journal(folder, read_only=True) as reader:
            assert len(reader.events()) == 1
            journal.append(event()).result(30)
            assert len(reader.events()) == 2
    Journal(folder).close()


def test_a_dead_owner_keeps_nothing(folder: Path) -> None:
    owner = child("append", folder, 1_000_000)
    assert owner.stdout is not None
    owner.stdout.readline()
    with pytest.raises(JournalBusy, match=rf"process {owner.pid}\b"):
        Journal(folder)
    owner.send_signal(signal.SIGKILL)
    owner.communicate(timeout=30)
    with Journal(folder) as journal:
        assert journal.events()


def race(folder: Path, contenders: int = 3) -> None:
    """Several processes open one journal at the same moment: exactly one may."""
    children = [child("contend", folder) for _ in range(contenders)]
    for process in children:  # all are ready, none has begun
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in children:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.stdout.readline() for process in children if process.stdout]
    for process in children:
        process.communicate(timeout=30)
    winners = [c for c, answer in zip(children, answers, strict=True) if answer == "owner\n"]
    assert len(winners) == 1, answers
    busy = f"busy process {winners[0].pid}\n"
    assert [answer for answer in answers if answer != "owner\n"] == [busy] * (contenders - 1)


@pytest.mark.parametrize("attempt", range(3))
def test_of_servers_started_at_the_same_moment_one_writes(tmp_path: Path, attempt: int) -> None:
    race(tmp_path / ".opencode")


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_of_servers_started_at_the_same_moment_one_writes_fifty_times(tmp_path: Path) -> None:
    for attempt in range(50):
        race(tmp_path / str(attempt) / ".opencode", contenders=2)


def killed_at(folder: Path, count: int) -> None:
    """Kill the process that writes when it has said that ``count`` events are safe."""
    writer = child("append", folder, 1_000_000)
    assert writer.stdout is not None
    safe = 0
    for line in writer.stdout:
        safe = int(line)
        if safe >= count:
            break
    writer.send_signal(signal.SIGKILL)
    rest, _ = writer.communicate(timeout=30)
    # Reading by lines may have cut the first one short: it is then less than its number, or empty.
    safe = max([safe, *(int(line) for line in rest.split("\n")[:-1] if line)])
    with Journal(folder) as journal:
        sequences = [e.sequence for e in journal.events()]
        assert sequences == list(range(1, len(sequences) + 1))
        assert len(sequences) >= safe
        journal.append(event())
        assert journal.events()[-1].sequence == len(sequences) + 1


@pytest.mark.parametrize("seed", range(4))
def test_killed_while_it_writes_it_has_all_that_it_said_was_safe(folder: Path, seed: int) -> None:
    killed_at(folder, random.Random(seed).randrange(1, 400))


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_killed_two_hundred_times_it_has_all_that_it_said_was_safe(tmp_path: Path) -> None:
    rng = random.Random(200)
    for attempt in range(200):
        killed_at(tmp_path / str(attempt) / ".opencode", rng.randrange(1, 2000))


# Damage and versions


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


# Missions


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
