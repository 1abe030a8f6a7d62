"""What goes when, and that each limit can be switched off."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from generated_folder import Desk, lines
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.files import record
from orchestrator_core.cleanup.jobs import jobs_for
from orchestrator_core.config import CleanupLimits

if TYPE_CHECKING:
    from pathlib import Path

OFF = CleanupLimits(
    session_days=0,
    files=0,
    cache_hours=0,
    cache_bytes=0,
    node_modules=False,
    compress=False,
    history_days=0,
    log_days=0,
    log_bytes=0,
    journal_bytes=0,
    quarantine_days=0,
    budget_bytes=0,
    budget_files=0,
)
TEXT = lines(random.Random(1), 5_000)


def only(**limits: object) -> CleanupLimits:
    return msgspec.structs.replace(OFF, **limits)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, OFF)


def ours(desk: Desk) -> set[str]:
    return {name for name in desk.tree() if not name.startswith("quarantine/")}


@pytest.mark.parametrize(
    ("limits", "name", "kind", "days"),
    [
        ({"session_days": 7}, "sessions/a/state.json", Kind.SESSION, 7),
        ({"cache_hours": 24}, "cache/a", Kind.CACHE, 1),
        ({"cache_hours": 24}, "documents/a", Kind.DOCUMENT, 1),
        ({"history_days": 30}, "archive/a.md", Kind.HISTORY, 30),
        ({"log_days": 30}, "logs/a.log.1", Kind.LOG, 30),
    ],
)
def test_what_was_not_used_for_long_goes(
    desk: Desk, limits: dict[str, float], name: str, kind: Kind, days: float
) -> None:
    desk.put(name, kind, TEXT)
    desk.passes(100)
    assert not desk.cleaner.run().steps, "every limit is off"

    desk.limits = only(**limits)
    desk.manifest.use(name)
    desk.passes(days - 0.1)
    assert not desk.cleaner.run().steps
    desk.passes(0.2)
    report = desk.cleaner.run()

    assert [step.path for step in report.steps] == [name]
    assert ours(desk) == set()
    regenerable = kind in {Kind.CACHE, Kind.DOCUMENT}
    assert report.quarantined == (0 if regenerable else 1)
    desk.assert_agrees()


def test_above_a_number_the_longest_unused_files_go(desk: Desk) -> None:
    desk.limits = only(files=3)
    for number in range(5):
        desk.put(f"sessions/{number}", Kind.SESSION)
        desk.passes(0.01)
    desk.manifest.use("sessions/0")
    desk.cleaner.run()
    assert ours(desk) == {"sessions/0", "sessions/3", "sessions/4"}


def test_above_their_size_the_longest_unused_caches_go(desk: Desk) -> None:
    desk.limits = only(cache_bytes=12_000)
    for number in range(4):
        desk.put(f"cache/{number}", Kind.CACHE, TEXT)
        desk.passes(0.01)
    desk.cleaner.run()
    assert ours(desk) == {"cache/2", "cache/3"}


def test_finished_logs_and_old_plans_are_compressed(desk: Desk) -> None:
    desk.limits = only(compress=True)
    desk.put("logs/a.log.1", Kind.LOG, TEXT).chmod(0o600)
    desk.put("archive/old.md", Kind.HISTORY, TEXT)
    desk.put("archive/short.md", Kind.HISTORY, b"short")
    desk.passes(0.3)
    desk.put("archive/new.md", Kind.HISTORY, TEXT)

    report = desk.cleaner.run()

    assert ours(desk) == {
        "logs/a.log.1.gz",
        "archive/old.md.gz",
        "archive/short.md",
        "archive/new.md",
    }
    packed = desk.folder / "logs/a.log.1.gz"
    assert gzip.decompress(packed.read_bytes()) == TEXT
    assert packed.stat().st_mode & 0o777 == 0o600
    assert report.freed_bytes == 2 * (len(TEXT) - packed.stat().st_size)
    desk.assert_agrees()
    assert not desk.cleaner.run().steps


def test_what_is_compressed_already_is_not_compressed_twice(desk: Desk) -> None:
    desk.limits = only(compress=True)
    desk.put("logs/a.log.1", Kind.LOG, TEXT)
    desk.put("logs/a.log.1.gz", Kind.LOG, gzip.compress(TEXT))
    desk.put("logs/b.log.1", Kind.LOG, TEXT)
    desk.put("logs/b.log.1.gz", Kind.LOG, gzip.compress(TEXT)[:-1])
    desk.passes(0.01)
    desk.cleaner.run()
    assert ours(desk) == {"logs/a.log.1.gz", "logs/b.log.1.gz", "logs/b.log.1.1.gz"}


def test_a_compressed_file_keeps_its_age(desk: Desk) -> None:
    desk.limits = only(compress=True, history_days=30)
    desk.put("archive/old.md", Kind.HISTORY, TEXT)
    desk.passes(29)
    desk.cleaner.run()
    desk.passes(2)
    assert [step.path for step in desk.cleaner.run().steps] == ["archive/old.md.gz"]


def test_a_log_that_was_left_behind_is_put_aside_when_it_is_large(desk: Desk) -> None:
    desk.limits = only(compress=True, log_bytes=10_000)
    path = desk.put("logs/server.log", None, TEXT)
    record(desk.manifest, path, Kind.LOG, growing=True)
    assert not desk.cleaner.run().steps
    with path.open("ab") as stream:
        stream.write(TEXT * 2)
        stream.flush()
        assert not desk.cleaner.run().steps, "it is open"
    desk.cleaner.run()
    assert ours(desk) == {"logs/server.log.gz"}
    assert gzip.decompress((desk.folder / "logs/server.log.gz").read_bytes()) == TEXT * 3


def test_the_quarantine_is_emptied_after_its_days(desk: Desk) -> None:
    desk.limits = only(session_days=7, quarantine_days=7)
    desk.put("sessions/a", Kind.SESSION)
    desk.passes(8)
    assert desk.cleaner.run().quarantined == 1
    desk.passes(6)
    assert not desk.cleaner.run().steps
    desk.passes(2)
    assert [step.action for step in desk.cleaner.run().steps] == ["expire"]
    assert not desk.tree()
    desk.assert_agrees()


def test_within_the_budget_the_oldest_leave_the_quarantine_first(desk: Desk) -> None:
    desk.limits = only(session_days=7)
    for number in range(30):
        desk.put(f"sessions/{number:02}", Kind.SESSION)
        desk.passes(0.01)
    desk.passes(8)
    desk.cleaner.run()
    first = desk.manifest.quarantined()
    assert len(first) == 30
    desk.limits = only(session_days=7, budget_files=40)  # 30 for all of ours, 7 of them fixed

    desk.cleaner.run()

    left = desk.manifest.quarantined()
    assert len(left) == 23
    assert {item.entry.path for item in left} == {item.entry.path for item in first[7:]}
    desk.assert_agrees()


def test_the_budget_sends_the_longest_unused_to_the_quarantine(desk: Desk) -> None:
    for number in range(12):
        desk.put(f"archive/{number:02}", Kind.HISTORY, TEXT)
        desk.passes(0.01)
    desk.limits = only(budget_bytes=500_000)  # 300,000 in use, 262,144 of them set aside

    desk.cleaner.run()

    assert ours(desk) == {f"archive/{number:02}" for number in range(5, 12)}
    assert len(desk.manifest.quarantined()) == 5


def test_without_room_on_the_disk_nothing_is_written(desk: Desk) -> None:
    desk.limits = only(compress=True, session_days=7)
    desk.put("logs/a.log.1", Kind.LOG, TEXT)
    desk.put("sessions/a", Kind.SESSION)
    desk.passes(8)
    desk.free_bytes = 1_000
    report = desk.cleaner.run()
    assert [step.path for step in report.steps] == ["sessions/a"]
    assert "1,000 bytes left" in report.note


def test_a_job_without_a_limit_has_no_policy() -> None:
    assert not any(job.policies for job in jobs_for(OFF))
    assert all(job.policies for job in jobs_for(CleanupLimits()))
