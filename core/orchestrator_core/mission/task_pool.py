"""The records of running tasks, used again from mission to mission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_core.mission.task_store import PENDING, TaskStatus, new_records
from orchestrator_core.primitives.object_pool import ObjectPool, PoolCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator_core.records import Task

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

    def new(self, tasks: Sequence[Task]) -> list[TaskStatus]:
        """The records of tasks of which nothing has happened yet."""
        if self._pool is None:
            return new_records(tasks)
        records = self._pool.acquire_all(len(tasks))
        for record, task in zip(records, tasks, strict=True):
            record.id = task.id
            record.title = task.title
            record.state = task.state
        return records

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
    status.state = PENDING
    status.attempt = 0
    status.intended = ()
    status.applied = ()
    status.reverted = False
    status.receipt = None
    status.reason = ""
    status.notes = ()
    status.started_at = 0.0
    status.finished_at = 0.0
