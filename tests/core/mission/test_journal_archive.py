"""Finished missions leave a journal that has grown too large, for a compressed file."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import msgspec
import pytest

from generated_folder import Desk
from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.config import CleanupLimits
from orchestrator_core.errors import JournalError
from orchestrator_core.events import AnyEvent, MissionAccepted, MissionFinished
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.lazy_journal import LazyJournal
from orchestrator_core.mission.overviews import Overviews
from orchestrator_core.records import MissionStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MISSIONS = 12
LIMITS = CleanupLimits(journal_bytes=60_000)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[LazyJournal]:
    folder = tmp_path / ".opencode"
    with Journal(folder) as journal:
        for number in range(MISSIONS):
            name = f"m{number:02}"
            text = "".join(f"{number * 7919 + n:x} " for n in range(4_000))
            journal.append(MissionAccepted(mission_id=name, text=text))
            if number != 1:  # it was cut short: it can be resumed
                journal.append(MissionFinished(mission_id=name, status=MissionStatus.DONE))
    lazy = LazyJournal(folder)
    yield lazy
    lazy.close()


def test_the_oldest_finished_missions_go_to_the_archive(
    tmp_path: Path, journal: LazyJournal
) -> None:
    before = journal.events()
    desk = Desk(tmp_path, LIMITS, journal=journal)
    overviews = Overviews(journal)
    journal.open()
    assert len(overviews.read()) == MISSIONS

    preview = desk.cleaner.preview()
    report = desk.cleaner.run()

    assert preview.steps == report.steps
    (step,) = report.steps
    assert step.action == "archive"
    kept = {event.mission_id for event in journal.events()}
    assert {each.mission for each in overviews.kept or ()} == kept
    assert {"m01", f"m{MISSIONS - 1}"} <= kept
    assert "m00" not in kept
    lines = gzip.decompress((desk.folder / step.path).read_bytes()).splitlines()
    archived = [msgspec.json.decode(line, type=AnyEvent) for line in lines]
    assert archived == [event for event in before if event.mission_id not in kept]
    assert (desk.folder / "state.db").stat().st_size <= LIMITS.journal_bytes * 1.2
    assert desk.manifest.totals()[Kind.HISTORY][0] == 1
    assert not desk.cleaner.run().steps
    desk.assert_agrees()


def test_the_journal_of_another_live_process_is_left_alone(
    tmp_path: Path, journal: LazyJournal
) -> None:
    desk = Desk(tmp_path, LIMITS, journal=journal)
    with Journal(tmp_path / ".opencode"):
        assert not desk.cleaner.run().steps
    assert desk.cleaner.run().steps


def test_what_cannot_be_archived_stays_in_the_journal(tmp_path: Path, journal: LazyJournal) -> None:
    desk = Desk(tmp_path, LIMITS, journal=journal)
    desk.put("archive", None, b"a person's file, where the archive would be")
    report = desk.cleaner.run()
    assert not report.steps
    assert len(journal.missions()) == MISSIONS
    assert (desk.folder / "archive").read_bytes().startswith(b"a person's")


def test_a_damaged_journal_keeps_nothing_else_from_being_cleaned(
    tmp_path: Path, journal: LazyJournal
) -> None:
    desk = Desk(tmp_path, LIMITS, journal=journal)
    (desk.folder / "state.db").write_bytes(b"no database" * 10_000)
    desk.put("sessions/a", Kind.SESSION)
    desk.passes(8)
    report = desk.cleaner.run()
    assert [step.path for step in report.steps] == ["sessions/a"]
    assert [kept.path for kept in report.kept] == ["state.db"]


def test_missions_that_cannot_leave_the_journal_are_not_archived(
    tmp_path: Path, journal: LazyJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path, LIMITS, journal=journal)

    def refuse(_: object) -> None:
        raise JournalError("no room")

    monkeypatch.setattr(journal, "forget", refuse)
    report = desk.cleaner.run()
    assert not report.steps
    assert report.kept[0].reason == "no room"
    assert list((desk.folder / "archive").iterdir()) == []
    assert len(journal.missions()) == MISSIONS
