"""The golden journals cover all that a journal may hold."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from core.mission.tape import read_store
from orchestrator_core.events import AnyEvent, EditsIntended
from orchestrator_core.mission.fold import replay
from orchestrator_core.mission.journal import Journal
from orchestrator_core.mission.state import MissionState

JOURNALS = Path(__file__).parents[3] / "fixtures" / "journals"
GOLDEN = sorted(JOURNALS.glob("*.db"))


def events(golden: Path, folder: Path) -> tuple[AnyEvent, ...]:
    shutil.copy(golden, folder / "state.db")
    with Journal(folder, read_only=True) as journal:
        return journal.events()


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.stem)
def test_every_golden_journal_replays(golden: Path, tmp_path: Path) -> None:
    expected = golden.with_suffix(".json").read_bytes()
    states = msgspec.json.decode(expected, type=dict[str, MissionState], dec_hook=read_store)
    assert replay(events(golden, tmp_path)) == states


def test_every_kind_of_event_is_in_a_golden_journal(tmp_path: Path) -> None:
    kinds = {type(event) for golden in GOLDEN for event in events(golden, tmp_path)}
    missing = [kind.__name__ for kind in get_args(AnyEvent) if kind not in kinds]
    assert not missing, "add a scenario to make_golden_journal.py and run it"


def test_every_kind_of_change_is_in_a_golden_journal(tmp_path: Path) -> None:
    intended = [
        change
        for golden in GOLDEN
        for event in events(golden, tmp_path)
        if isinstance(event, EditsIntended)
        for change in event.changes
    ]
    assert {change.kind for change in intended} == {"modify", "create", "delete", "rename"}
    assert any(change.mode is not None for change in intended)
