"""The work-stealing pool: everything that blocks or computes runs here.

Work comes in through ``submit`` and out as a ``Future``, which a thread waits for with
``result`` and a coroutine with ``await``. Inside a task, ``submit`` spawns children that
normally stay with the same worker, and ``result`` of a child that nobody has started runs it on
the spot. That is why nesting cannot deadlock the pool: a worker only ever blocks on a task that
another worker is running, and never starts unrelated work in the middle of a task, which could
wait for the very task beneath it.
"""

# The pool fills in its tasks' fields by itself, see ``submit``.
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

from __future__ import annotations

import os
import threading
import time
import weakref
from functools import cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self, TypeVar

from msgspec import Struct

from orchestrator_core.errors import PoolClosed
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.runtime.deadlines import DeadlineTimer
from orchestrator_core.runtime.future import PENDING
from orchestrator_core.runtime.pool_stats import Percentiles, PoolStats, RunningTask
from orchestrator_core.runtime.pool_task import PoolTask, PoolWorker, TimedTask, here
from orchestrator_core.runtime.process_lane import ProcessLane
from orchestrator_core.runtime.scheduling import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.runtime.future import Future

T = TypeVar("T")

_STRIPES = 256
"""The locks that a pool's tasks share. A lock of its own would be the dearest part of a task to
make, and to hand from one processor's cache to the other's. Two threads that meet at one may go on
to meet once in so many tasks: with few stripes that is felt, with more they fall out of the cache.
"""

_blank: Callable[[], PoolTask[Any]] = partial(object.__new__, PoolTask)


class CloseReport(Struct, frozen=True):
    """How a pool ended.

    Attributes:
        cancelled: queued tasks that were cancelled.
        stuck: tasks that did not stop in time; their threads end with the process at the latest.
    """

    cancelled: int = 0
    stuck: tuple[RunningTask, ...] = ()


class WorkStealingPool:
    """Threads that run tasks and steal from one another when they have none.

    Thread-safe. Use it as a context manager; leaving it cancels what is queued. After a fork the
    child's copy is closed.

    Args:
        workers: threads; by default one for each processor this process may use, and at least
            two, so that one task that blocks does not hold up all others.
        stealing: False deals tasks out round-robin without stealing.
        name: prefix of the threads' names.
        processes: for ``submit_cpu``; by default as many as processors.
        clock_ns: monotonic; queue waits and run times are read from it.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        stealing: bool = True,
        name: str = "orchestrator",
        processes: int | None = None,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        count = workers if workers is not None else max(2, processors())
        self._scheduler: Scheduler[PoolTask[Any]] = Scheduler(
            count, attrgetter("queued_ns"), stealing=stealing
        )
        self._clock_ns = clock_ns
        self._name = name
        self._task_locks = tuple(threading.RLock() for _ in range(_STRIPES))
        self._lock = threading.Lock()
        self._discards = 0
        self._closing = threading.Lock()
        self._closer: threading.Thread | None = None
        self._stopped = threading.Event()
        self._cancelled = 0
        self._started_ns = clock_ns()
        self._timer = DeadlineTimer(f"{name}-deadlines")
        self._lane = ProcessLane(processes or processors())
        self._workers = tuple(
            PoolWorker(self, self._scheduler, seat, f"{name}-{seat.index}", clock_ns)
            for seat in self._scheduler.seats
        )
        _pools.add(self)
        _register_fork_hook()
        for worker in self._workers:
            worker.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def workers(self) -> int:
        """How many threads it has."""
        return len(self._workers)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._scheduler.stopped

    def submit(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        priority: Priority = Priority.NORMAL,
        expected_duration_s: float | None = None,
        deadline_s: float | None = None,
        **kwargs: Any,
    ) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` on a worker.

        From inside a task, a plain submission stays with the same worker, newest first, unless
        another worker has nothing to do and steals it. Waiting for it there runs it on the spot
        if nobody has started it, however long it takes.

        Args:
            fn: the task. It may look at ``current_cancelled`` to stop early.
            args: its arguments.
            priority: how urgent it is.
            expected_duration_s: if known: among tasks of its priority, longer ones go first.
            deadline_s: from now. When it has passed, the future ends with ``DeadlineExceeded``:
                a queued task never runs, a running one is asked to stop and its late result is
                dropped.
            kwargs: its keyword arguments.

        Raises:
            PoolClosed: the pool is closed.
        """
        if kwargs:
            fn = partial(fn, **kwargs)
        worker = here.worker
        seat = worker.seat if worker is not None and worker.pool is self else None
        scheduler = self._scheduler
        if deadline_s is None:
            # What ``PoolTask(self, fn, args, now)`` does, but for the lock; the call takes longer.
            task: PoolTask[T] = _blank()
            task._lock = self._task_locks[scheduler.pushed % _STRIPES]
            task._state = PENDING
            task._value = fn
            task._callbacks = None
            task.args = args
            task.pool = self
            task.queued_ns = self._clock_ns()
            scheduler.push(task, seat, priority, expected_duration_s)
            return task
        timed = TimedTask(self, fn, args, self._clock_ns(), deadline_s)
        scheduler.push(timed, seat, priority, expected_duration_s)
        self._timer.add(timed, deadline_s)
        return timed

    def submit_cpu(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run pure-Python computing of a millisecond and more in another process.

        Beside threads such work holds the interpreter, and with it the event loop, for its whole
        length. ``fn`` must be importable, arguments and result picklable. The processes are
        started by the first call and stopped by ``close``. A started call cannot be cancelled.

        Raises:
            PoolClosed: the pool is closed.
        """
        if self._scheduler.stopped:
            raise PoolClosed("the worker pool is closed and takes no more work")
        return self._lane.submit(fn, *args, **kwargs)

    def running(self, longer_than_s: float = 0.0) -> tuple[RunningTask, ...]:
        """What the workers run now, for at least this long: how a watchdog finds stuck tasks."""
        now_ns = self._clock_ns()
        found: list[RunningTask] = []
        for worker in self._workers:
            fn, since_ns = worker.fn, worker.meter.since_ns
            if fn is not None and since_ns:
                running_s = (now_ns - since_ns) / 1e9
                if running_s >= longer_than_s:
                    found.append(RunningTask(worker.seat.index, _name(fn), since_ns, running_s))
        return tuple(found)

    def stats(self) -> PoolStats:
        """A snapshot. It costs the workers nothing: nobody is stopped for it."""
        meters = [w.meter for w in self._workers]
        executed = sum(m.executed for m in meters)
        started = executed + sum(len(w.tasks()) for w in self._workers)
        gone = started + self._discards
        submitted = self._scheduler.pushed  # read last: nothing is gone before it was submitted
        stolen = sum(w.seat.stolen for w in self._workers)
        now_ns = self._clock_ns()
        life_ns = max(1, now_ns - self._started_ns)
        busy_ns = [m.busy_at(now_ns) for m in meters]
        shares = tuple(min(1.0, b / life_ns) for b in busy_ns)
        return PoolStats(
            total=len(meters),
            busy=sum(1 for m in meters if m.since_ns),
            queued=max(0, submitted - gone),
            submitted=submitted,
            executed=executed,
            failed=sum(m.failed for m in meters),
            stolen=stolen,
            steal_rate=stolen / executed if executed else 0.0,
            utilization=sum(shares) / len(shares) if shares else 0.0,
            worker_utilization=shares,
            busy_s=sum(busy_ns) / 1e9,
            available_s=life_ns * len(meters) / 1e9,
            queue_wait=Percentiles.of(t for m in meters for t in m.waits_ns.copy()),
            run_time=Percentiles.of(t for m in meters for t in m.runs_ns.copy()),
        )

    def close(self, deadline_s: float = 5.0) -> CloseReport:
        """Take no more work, cancel what is queued, ask running tasks to stop, wait for them.

        Idempotent; a later call goes on waiting. May be called from anywhere: a task of this
        pool (which then waits for nothing), a signal handler, or at exit. The closing happens in
        a thread of its own, so that a signal handler which has interrupted the pool's own code
        does not meet a lock that the code beneath it holds.

        Returns:
            How many tasks were cancelled and what still runs after ``deadline_s``.
        """
        end_s = time.monotonic() + deadline_s
        if self._closing.acquire(blocking=False):
            self._closer = threading.Thread(
                target=self._close, args=(deadline_s,), name=f"{self._name}-close", daemon=True
            )
            try:
                self._closer.start()
            except RuntimeError:  # the interpreter is ending and starts no more threads
                self._close(deadline_s)
        worker = here.worker
        if (worker is None or worker.pool is not self) and self._stopped.wait(deadline_s):
            for thread in (*(w.thread for w in self._workers), self._closer):
                if thread is not None and thread.ident is not None:
                    thread.join(max(0.0, end_s - time.monotonic()))
        return CloseReport(self._cancelled, self.running())

    def _close(self, deadline_s: float) -> None:
        end_s = time.monotonic() + deadline_s
        self._timer.close()
        self._cancelled = sum(task.set_cancelled() for task in self._scheduler.stop())
        for worker in self._workers:
            for task in worker.tasks():
                task.cancel()
        self._stopped.set()
        self._lane.close(max(0.0, end_s - time.monotonic()))
        self._timer.join(max(0.0, end_s - time.monotonic()))

    def discard(self) -> None:
        """For tasks: one ended before it ran."""
        with self._lock:
            self._discards += 1

    def settled(self) -> None:
        """For workers: a task with a deadline ended."""
        self._timer.settled()

    def abandon(self) -> None:
        """In a forked child: the threads are gone, and locks may be held by nobody."""
        self._scheduler = Scheduler(1, attrgetter("queued_ns"))
        self._scheduler.stop()
        self._workers = ()
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._closing.acquire()
        self._closer = None
        self._stopped = threading.Event()
        self._stopped.set()


def _name(fn: Callable[..., object]) -> str:
    inner = fn.func if isinstance(fn, partial) else fn
    return getattr(inner, "__qualname__", None) or repr(inner)


_pools: weakref.WeakSet[WorkStealingPool] = weakref.WeakSet()


@cache
def _register_fork_hook() -> None:
    """Once for all pools: what is registered with the interpreter stays there for good."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_abandon_all)


def _abandon_all() -> None:
    """A forked child has none of the pools' threads."""
    for pool in tuple(_pools):
        pool.abandon()


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
