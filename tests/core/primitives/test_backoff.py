from __future__ import annotations

import pytest

from orchestrator_core.primitives.backoff import Backoff


def test_pauses_grow_to_the_ceiling_and_start_again_after_a_reset() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_jitter_takes_away_up_to_its_share() -> None:
    shares = iter([0.0, 0.5, 0.999])
    backoff = Backoff(1.0, 1.0, jitter=0.4, uniform=lambda: next(shares))
    assert [backoff.next_s() for _ in range(3)] == pytest.approx([1.0, 0.8, 0.6004])


@pytest.mark.parametrize(
    ("initial", "maximum", "factor", "jitter"),
    [(0.0, 1.0, 2.0, 0.0), (2.0, 1.0, 2.0, 0.0), (1.0, 1.0, 0.5, 0.0), (1.0, 1.0, 2.0, 1.5)],
)
def test_senseless_pauses_are_refused(
    initial: float, maximum: float, factor: float, jitter: float
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Backoff(initial, maximum, factor=factor, jitter=jitter)
