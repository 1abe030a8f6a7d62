"""A circuit breaker: after repeated failures, stop calling for a while, then try carefully.

The pattern is Nygard's ("Release It!", 2007). Closed lets everything through. Enough failures in
a row open it, and calls are refused. After a pause it is half open: one probe at a time is let
through; enough successes close it, one failure opens it again.
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class CircuitState(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitBreaker:
    """Counts outcomes and says who may pass. Not thread-safe: its owner's lock guards it.

    Args:
        failures: so many in a row open it.
        open_s: how long it then refuses everything.
        successes: so many probes in a row close it again.
        clock_s: monotonic.
    """

    __slots__ = (
        "_clock_s",
        "_failures",
        "_failures_to_open",
        "_generation",
        "_open_s",
        "_opened_at_s",
        "_probing",
        "_state",
        "_successes",
        "_successes_to_close",
    )

    def __init__(
        self,
        *,
        failures: int = 5,
        open_s: float = 30.0,
        successes: int = 2,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures_to_open = failures
        self._open_s = open_s
        self._successes_to_close = successes
        self._clock_s = clock_s
        self._state = CircuitState.CLOSED
        self._failures = 0
        self._successes = 0
        self._opened_at_s = 0.0
        self._probing = False
        self._generation = 0  # tells outcomes of calls from before a change of state

    @property
    def state(self) -> CircuitState:
        """The state now; an open circuit becomes half open by the passing of time."""
        if self._state is CircuitState.OPEN and self.retry_after_s() <= 0:
            self._change(CircuitState.HALF_OPEN)
        return self._state

    def retry_after_s(self) -> float:
        """How long it will still refuse everything; 0 if it does not."""
        if self._state is not CircuitState.OPEN:
            return 0.0
        return max(0.0, self._opened_at_s + self._open_s - self._clock_s())

    def admits(self) -> bool:
        """Whether a call may pass now."""
        state = self.state
        return state is CircuitState.CLOSED or (
            state is CircuitState.HALF_OPEN and not self._probing
        )

    def enter(self) -> int:
        """Let one call pass; give what this returns to ``leave`` with the call's outcome."""
        assert self.admits(), "ask admits first, under the same lock"
        self._probing = self._state is CircuitState.HALF_OPEN
        return self._generation

    def leave(self, entered: int, succeeded: bool | None) -> None:
        """The outcome of a call: well, badly, or None if it says nothing (it was cancelled).

        An outcome from before the last change of state is of no interest any more.
        """
        if entered != self._generation:
            return
        self._probing = False
        if succeeded:
            self._failures = 0
            self._successes += 1
            if (
                self._state is CircuitState.HALF_OPEN
                and self._successes >= self._successes_to_close
            ):
                self._change(CircuitState.CLOSED)
        elif succeeded is not None:
            self._failures += 1
            if self._state is CircuitState.HALF_OPEN or self._failures >= self._failures_to_open:
                self._opened_at_s = self._clock_s()
                self._change(CircuitState.OPEN)

    def _change(self, state: CircuitState) -> None:
        self._state = state
        self._failures = self._successes = 0
        self._probing = False
        self._generation += 1
