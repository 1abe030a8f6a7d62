"""Ages are never more than the true ones, whatever happens to the wall clock."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generated_folder import DAY_S, Desk
from orchestrator_core.cleanup.age_clock import AgeClock
from orchestrator_core.cleanup.entries import Kind

if TYPE_CHECKING:
    from pathlib import Path

YEAR_S = 365 * DAY_S


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S, 10 * YEAR_S, -10 * YEAR_S])
def test_a_jump_of_the_wall_clock_changes_no_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    desk = Desk(tmp_path, clock=AgeClock())  # the real one
    paths = [desk.put(f"sessions/{n}", Kind.SESSION) for n in range(3)]
    desk.put("cache/a", Kind.CACHE)
    now_s, now_ns = time.time(), time.time_ns()
    monkeypatch.setattr(time, "time", lambda: now_s + jump_s)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + int(jump_s * 1e9))
    for path in paths:
        os.utime(path, (now_s + jump_s, now_s + jump_s))
    desk.manifest.close()
    desk = Desk(tmp_path, clock=AgeClock())  # another process, after the jump
    assert not desk.cleaner.preview().steps
    assert not desk.cleaner.run().steps
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize("jump_s", [-10 * YEAR_S, -DAY_S, DAY_S, 10 * YEAR_S])
def test_a_jump_does_not_keep_what_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    desk = Desk(tmp_path)
    desk.put("sessions/a", Kind.SESSION)
    desk.passes(8)
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + jump_s)
    assert len(desk.cleaner.run().steps) == 1


def test_after_a_restart_of_the_computer_only_the_time_since_counts() -> None:
    before = AgeClock(lambda: 50.0, "first").read(None)
    assert before.age_s == 0
    later = AgeClock(lambda: 80.0, "first").read(before)
    assert later.age_s == 30
    restarted = AgeClock(lambda: 5.0, "second").read(later)
    assert restarted.age_s == 35


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e6)), max_size=20))
def test_an_age_grows_and_is_at_most_the_true_one(steps: list[tuple[bool, float]]) -> None:
    boot, since_boot_s, true_s = 0, 100.0, 0.0
    reading = AgeClock(lambda: since_boot_s, "0").read(None)
    for restarts, passed_s in steps:
        boot += restarts
        since_boot_s = passed_s if restarts else since_boot_s + passed_s
        true_s += passed_s
        after = AgeClock(lambda: since_boot_s, str(boot)).read(reading)
        assert reading.age_s <= after.age_s <= true_s + 1e-3
        reading = after


def test_the_real_clock_goes_on() -> None:
    clock = AgeClock()
    first = clock.read(None)
    assert clock.read(first).age_s >= 0
    assert AgeClock().read(first).boot == first.boot
