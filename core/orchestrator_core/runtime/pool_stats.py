"""What a worker pool did, counted where it happens and added up when somebody asks.

Each worker writes a meter of its own, so that counting takes no lock and shares no cache line.
Percentiles are exact over each worker's most recent tasks; no histogram has to be tuned.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

_WINDOW = 512
"""How many recent tasks of each worker the percentiles look at."""


class Percentiles(Struct, frozen=True):
    """Durations in seconds; all zero when nothing was measured yet."""

    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0

    @classmethod
    def of(cls, samples_ns: Iterable[int]) -> Percentiles:
        """The nearest-rank percentiles of the samples, those below zero counted as zero."""
        ordered = sorted(samples_ns)
        if not ordered:
            return cls()

        def rank(share: float) -> float:
            return max(0, ordered[min(len(ordered) - 1, int(share * len(ordered)))]) / 1e9

        return cls(rank(0.5), rank(0.9), rank(0.99), rank(1))


class PoolStats(Struct, frozen=True):
    """A snapshot of a worker pool.

    Two snapshots tell what happened between them: see ``utilization_since``.

    Attributes:
        total: workers.
        busy: workers that run a task now.
        queued: tasks that nobody has started, without cancelled ones.
        submitted: tasks ever accepted.
        executed: tasks that ran to their end, well or not.
        failed: those of them that raised.
        stolen: tasks taken from another worker's deque.
        steal_rate: ``stolen / executed``, 0 when nothing ran.
        utilization: share of its life that the average worker spent in tasks, 0 to 1.
        worker_utilization: the same for each worker.
        busy_s: time spent in tasks, over all workers; waiting for another task is not busy.
        available_s: time that workers could have been busy, over all of them.
        queue_wait: from submission to start, of recent tasks.
        run_time: from start to end, of recent tasks.
    """

    total: int
    busy: int
    queued: int
    submitted: int
    executed: int
    failed: int
    stolen: int
    steal_rate: float
    utilization: float
    worker_utilization: tuple[float, ...]
    busy_s: float
    available_s: float
    queue_wait: Percentiles
    run_time: Percentiles

    def utilization_since(self, earlier: PoolStats) -> float:
        """The busy share of the time since an earlier snapshot of the same pool, 0 to 1."""
        available_s = self.available_s - earlier.available_s
        return min(1.0, (self.busy_s - earlier.busy_s) / available_s) if available_s > 0 else 0.0


class RunningTask(Struct, frozen=True):
    """A task that a worker runs now.

    Attributes:
        worker: the worker's number.
        name: the task's function.
        started_ns: when it started, on the pool's clock: worker and start identify it.
        running_s: for how long it has run.
    """

    worker: int
    name: str
    started_ns: int
    running_s: float


class Meter:
    """One worker's counters. Its worker alone writes; anybody reads.

    Attributes:
        executed: tasks it finished.
        failed: tasks that raised.
        busy_ns: time in finished outermost tasks.
        blocked_ns: time that its tasks spent waiting for other tasks.
        since_ns: when the outermost running task started, 0 while there is none.
        blocked_since_ns: when the present wait for another task started, 0 while there is none.
        waits_ns: queue waits of recent tasks; below zero where one came after its worker was free.
        runs_ns: run times of recent tasks.
    """

    __slots__ = (
        "blocked_ns",
        "blocked_since_ns",
        "busy_ns",
        "executed",
        "failed",
        "runs_ns",
        "since_ns",
        "waits_ns",
    )

    def __init__(self) -> None:
        self.executed = 0
        self.failed = 0
        self.busy_ns = 0
        self.blocked_ns = 0
        self.since_ns = 0
        self.blocked_since_ns = 0
        self.waits_ns: deque[int] = deque(maxlen=_WINDOW)
        self.runs_ns: deque[int] = deque(maxlen=_WINDOW)

    @contextmanager
    def blocked(self, clock_ns: Callable[[], int]) -> Generator[None]:
        """Around a wait for another task, which is not busy time."""
        since_ns = self.blocked_since_ns = clock_ns()
        try:
            yield
        finally:
            self.blocked_since_ns = 0
            self.blocked_ns += clock_ns() - since_ns

    def busy_at(self, now_ns: int) -> int:
        """Nanoseconds in tasks up to now, the running one included, without waits."""
        since_ns, blocked_since_ns = self.since_ns, self.blocked_since_ns
        total_ns = self.busy_ns - self.blocked_ns
        if since_ns:
            total_ns += now_ns - since_ns
        if blocked_since_ns:
            total_ns -= now_ns - blocked_since_ns
        return max(0, total_ns)
