"""What a shutdown tells of those that it closed."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Ending(enum.Enum):
    """How a handler came to its end."""

    DONE = "done"
    SLOW = "slow"
    """Done, but it took more than a second."""
    FAILED = "failed"
    STUCK = "stuck"
    """Not done within its deadline; it was left behind."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one handler.

    Attributes:
        name: the handler's.
        ending: how it ended.
        duration_s: how long it took, or was waited for.
        error: what it raised.
    """

    name: str
    ending: Ending
    duration_s: float
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class ShutdownReport:
    """What became of all handlers, in the order in which they were called.

    Attributes:
        reason: why everything was shut down.
        outcomes: one for each handler.
        duration_s: how long it took in all.
        forced: whether the last resort was called.
    """

    reason: str
    outcomes: tuple[Outcome, ...]
    duration_s: float
    forced: bool

    @property
    def clean(self) -> bool:
        """Whether every handler was done."""
        return all(outcome.ending in {Ending.DONE, Ending.SLOW} for outcome in self.outcomes)

    def __str__(self) -> str:
        bad = [
            f"{outcome.name} {outcome.ending.value} ({outcome.duration_s:.1f} s)"
            for outcome in self.outcomes
            if outcome.ending is not Ending.DONE
        ]
        summary = f"{len(self.outcomes)} closed in {self.duration_s:.2f} s ({self.reason})"
        return "; ".join([summary, *bad])
