"""What a mission spends on models, kept with its events: it counts when the mission goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.events import BudgetSpent
from orchestrator_core.records import MissionStatus, Shortage

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.errors import BudgetExceeded
    from orchestrator_core.events import AnyEvent
    from orchestrator_core.mission.mission import Mission
    from orchestrator_core.records import Spent


class Spending:
    """One mission's spending. Lives on the event loop.

    Args:
        mission: is stopped when its budget is spent.
        spent: what it has spent so far; None where it has called no model.
        emit: journals an event.
    """

    def __init__(
        self,
        mission: Mission,
        spent: Callable[[], Spent | None],
        emit: Callable[[AnyEvent], object],
    ) -> None:
        self._mission = mission
        self._spent = spent
        self._emit = emit
        self._told: int | None = None  # requests
        self._shortage: Shortage | None = None

    def tell(self) -> None:
        """Journal what was spent, where that has changed."""
        self._tell(None)

    def close(self, status: MissionStatus) -> None:
        """Journal what was spent in all, and what a mission was stopped for the lack of."""
        self._tell(self._shortage if status is MissionStatus.CANCELLED else None)

    def ran_short(self, error: BudgetExceeded) -> str:
        """End the mission, whose budget is spent, unless it ends already; answer why."""
        reason = str(error)
        if not self._mission.request.dry_run:
            reason += f": /resume {self._mission.id}, or task --resume {self._mission.id}"
        if self._mission.stop(reason):
            self._shortage = Shortage(error.measure, error.more)
        return reason

    def _tell(self, shortage: Shortage | None) -> None:
        spent = self._spent()
        if spent is not None and (shortage or spent.requests != self._told):
            self._told = spent.requests
            self._emit(BudgetSpent(mission_id=self._mission.id, spent=spent, shortage=shortage))
