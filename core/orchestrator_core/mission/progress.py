"""How far a mission is, told to people as it gets further."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator_core.mission.engine import MissionProgress

if TYPE_CHECKING:
    from orchestrator_core.mission.engine import Engine

INTERVAL_S = 0.05
"""Between two reports: people see no more than a few times a second."""


class Progress:
    """One mission's progress. Lives on the event loop; close it at the end.

    Args:
        engine: its listener is told; its pool says how busy the workers are.
        mission_id: whose progress it is.

    Attributes:
        total: tasks in all.
        ended: tasks that have ended.
    """

    def __init__(self, engine: Engine, mission_id: str) -> None:
        self.total = 0
        self.ended = 0
        self._engine = engine
        self._mission_id = mission_id
        self._shares: dict[str, float] = {}  # of running tasks: how far each is, 0 to 1
        self._doing: dict[str, str] = {}  # of these: what an agent does, in a few words
        self._told_at = -INTERVAL_S
        self._telling: asyncio.TimerHandle | None = None
        self._pool_before = engine.pool.stats()

    def begins(self, task_id: str) -> None:
        """A task is worked on from now on."""
        self._shares[task_id] = 0.0

    def advances(self, task_id: str, done: int, total: int) -> None:
        """So much of a running task is done."""
        self._shares[task_id] = done / total if total else 0.0
        self.report()

    def does(self, task_id: str, text: str) -> None:
        """An agent tells in a few words what it is doing for a running task."""
        self._doing[task_id] = text
        self.report()

    def leaves(self, task_id: str) -> None:
        """A task is not worked on any more: it ended, or it waits for its parts."""
        self._shares.pop(task_id, None)
        self._doing.pop(task_id, None)

    def report(self) -> None:
        """Tell soon how far the mission is."""
        if self._telling is None:
            wait_s = self._told_at + INTERVAL_S - self._engine.clock()
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(max(0.0, wait_s), self.tell)

    def tell(self) -> None:
        """Tell now how far the mission is."""
        self._telling = None
        self._told_at = self._engine.clock()
        done = self.ended + sum(self._shares.values())
        self._engine.listener.on_progress(
            MissionProgress(
                mission_id=self._mission_id,
                done=self.ended,
                total=self.total,
                fraction=done / self.total if self.total else 1.0,
                message=self._message(),
            )
        )

    def close(self) -> None:
        """Tell nothing any more."""
        if self._telling is not None:
            self._telling.cancel()

    def _message(self) -> str:
        """``3/8 tasks, 4 workers, 92 % busy``; between two tasks nobody works."""
        message = f"{self.ended}/{self.total} tasks"
        if working := len(self._shares):
            workers = "1 worker" if working == 1 else f"{working} workers"
            busy = self._engine.pool.stats().utilization_since(self._pool_before)
            message += f", {workers}, {busy * 100:.0f} % busy"
        for task_id, text in [*self._doing.items()][-1:]:
            message += f"; {task_id}: {text}"
        return message
