"""The records of running tasks, used again from mission to mission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.mission.task_store import TaskStatus
from orchestrator_core.primitives.object_pool import ObjectPool, PoolCounts
from orchestrator_core.records import TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE = 200
PREWARM = 50


class TaskPool:
    """Makes the :class:`TaskStatus` of planned tasks. Thread-safe.

    Args:
        pooling: whether records are used again; otherwise each is made when it is needed.
        debug: find misuse; see :class:`ObjectPool`.
    """

    def __init__(self, *, pooling: bool = True, debug: bool = False) -> None:
        self._pool = (
            ObjectPool(lambda: TaskStatus(""), _reset, size=SIZE, prewarm=PREWARM, debug=debug)
            if pooling
            else None
        )

    def new(self, task_id: str, title: str, state: TaskState) -> TaskStatus:
        """The record of a task of which nothing has happened yet."""
        if self._pool is None:
            return TaskStatus(task_id, title, state)
        status = self._pool.acquire()
        status.id = task_id
        status.title = title
        status.state = state
        return status

    def take_back(self, records: Sequence[TaskStatus]) -> None:
        """Take records back that nobody uses any more."""
        if self._pool is not None:
            self._pool.release_all(records)

    def stats(self) -> PoolCounts:
        """The figures; all zero where nothing is pooled."""
        return PoolCounts() if self._pool is None else self._pool.stats()


def _reset(status: TaskStatus) -> None:
    status.id = ""
    status.title = ""
    status.state = TaskState.PENDING
    status.attempt = 0
    status.intended = ()
    status.applied = ()
    status.reverted = False
    status.receipt = None
    status.reason = ""
    status.notes = ()
    status.started_at = 0.0
    status.finished_at = 0.0
