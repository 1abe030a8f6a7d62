"""How many may do something at once, moved by how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from orchestrator_core.runtime.circuit import CircuitState


class SlotLimit:
    """Slots in use and their limit, which rises after successes and falls after failures.

    Additive in both directions and counted in streaks: ``raise_after`` successes in a row add a
    slot, ``lower_after`` failures in a row take one away. Not thread-safe: its owner's lock
    guards it.

    Args:
        limit: slots at the start.
        minimum: it never falls below.
        maximum: it never rises above.
        raise_after: successes in a row for one more slot.
        lower_after: failures in a row for one slot less.

    Attributes:
        active: slots in use; above the limit only after the limit fell.
    """

    __slots__ = (
        "_failures",
        "_lower_after",
        "_maximum",
        "_minimum",
        "_raise_after",
        "_successes",
        "active",
        "limit",
    )

    def __init__(
        self,
        limit: int,
        *,
        minimum: int = 1,
        maximum: int = 50,
        raise_after: int = 3,
        lower_after: int = 2,
    ) -> None:
        if not 1 <= minimum <= limit <= maximum:
            raise ValueError(f"a limit of {limit} is not within {minimum} to {maximum}")
        self.limit = limit
        self.active = 0
        self._minimum = minimum
        self._maximum = maximum
        self._raise_after = raise_after
        self._lower_after = lower_after
        self._successes = 0
        self._failures = 0

    @property
    def free(self) -> int:
        """Slots that can be taken now."""
        return self.limit - self.active

    def record(self, succeeded: bool | None) -> None:
        """How a use of a slot went; None says nothing."""
        if succeeded is None:
            return
        self._successes = self._successes + 1 if succeeded else 0
        self._failures = 0 if succeeded else self._failures + 1
        if self._successes >= self._raise_after:
            self._successes = 0
            self.limit = min(self._maximum, self.limit + 1)
        elif self._failures >= self._lower_after:
            self._failures = 0
            self.limit = max(self._minimum, self.limit - 1)


class LimitStats(Struct, frozen=True):
    """One limit, as it stands.

    Attributes:
        active: slots in use.
        limit: slots there are.
        waiting: requests in the queue that want one.
        circuit: whether calls are let through.
    """

    active: int
    limit: int
    waiting: int
    circuit: CircuitState
