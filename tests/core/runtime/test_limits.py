from __future__ import annotations

import pytest

from orchestrator_core.runtime.limits import SlotLimit


def test_three_successes_in_a_row_add_a_slot() -> None:
    limit = SlotLimit(10)
    for succeeded in (True, True, False, True, True):
        limit.record(succeeded)
    assert limit.limit == 10
    limit.record(None)
    limit.record(True)
    assert limit.limit == 11


def test_two_failures_in_a_row_take_a_slot() -> None:
    limit = SlotLimit(10)
    for succeeded in (False, True, False):
        limit.record(succeeded)
    assert limit.limit == 10
    limit.record(False)
    assert limit.limit == 9


def test_it_stays_within_its_bounds() -> None:
    limit = SlotLimit(2, maximum=3)
    for _ in range(30):
        limit.record(True)
    assert limit.limit == 3
    for _ in range(30):
        limit.record(False)
    assert limit.limit == 1


def test_a_limit_out_of_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="within 1 to 50"):
        SlotLimit(51)
