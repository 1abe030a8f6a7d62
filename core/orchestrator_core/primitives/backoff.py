"""Growing pauses between attempts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """Exponentially growing pauses up to a ceiling, with jitter.

    The n-th pause is ``min(maximum_s, initial_s * factor ** n)``, less up to ``jitter`` of
    itself at random, so that many who wait do not return together ("Exponential backoff and
    jitter", AWS Architecture Blog 2015). Not thread-safe: one owner.

    Args:
        initial_s: the first pause, more than zero.
        maximum_s: no pause is longer.
        factor: growth from one pause to the next, at least 1.
        jitter: the share that may be taken off, from 0 to 1.
        uniform: randomness in [0, 1).
    """

    __slots__ = ("_factor", "_initial_s", "_jitter", "_maximum_s", "_pause_s", "_uniform")

    def __init__(
        self,
        initial_s: float,
        maximum_s: float,
        *,
        factor: float = 2.0,
        jitter: float = 0.0,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        if not 0 < initial_s <= maximum_s:
            raise ValueError(f"pauses from {initial_s} s to {maximum_s} s make no sense")
        if factor < 1 or not 0 <= jitter <= 1:
            raise ValueError(f"factor {factor} must be >= 1 and jitter {jitter} within 0 to 1")
        self._initial_s = initial_s
        self._maximum_s = maximum_s
        self._factor = factor
        self._jitter = jitter
        self._uniform = uniform
        self._pause_s = initial_s

    def next_s(self) -> float:
        """The pause to make now; the one after it is longer."""
        pause_s = self._pause_s
        self._pause_s = min(self._maximum_s, pause_s * self._factor)
        return pause_s * (1 - self._jitter * self._uniform()) if self._jitter else pause_s

    def reset(self) -> None:
        """Start again from the first pause: something succeeded."""
        self._pause_s = self._initial_s
