"""The work-stealing pool: everything that blocks or computes runs here.

Work comes in through ``submit`` and out as a ``Future``, which a thread waits for with
``result`` and a coroutine with ``await``. Inside a task, ``submit`` spawns children that
normally stay with the same worker, and ``result`` of a child that nobody has started runs it on
the spot. That is why nesting cannot deadlock the pool: a worker only ever blocks on a task that
another worker is running, and never starts unrelated work in the middle of a task, which could
wait for the very task beneath it.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from msgspec import Struct

from orchestrator_core.errors import DeadlineExceeded, PoolClosed
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.runtime.deadlines import DeadlineTimer
from orchestrator_core.runtime.future import CANCELLED, FAILED, FINISHED, PENDING, RUNNING, Future
from orchestrator_core.runtime.pool_stats import Meter, Percentiles, PoolStats
from orchestrator_core.runtime.process_lane import ProcessLane
from orchestrator_core.runtime.scheduling import Scheduler, Seat

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CloseReport",
    "PoolTask",
    "Priority",
    "RunningTask",
    "WorkStealingPool",
    "check_cancelled",
    "current_cancelled",
]

T = TypeVar("T")
Call: TypeAlias = "tuple[Callable[..., T], tuple[Any, ...], dict[str, Any]]"


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


class CloseReport(Struct, frozen=True):
    """How a pool ended.

    Attributes:
        cancelled: queued tasks that were cancelled.
        stuck: tasks that did not stop in time; their threads end with the process at the latest.
    """

    cancelled: int = 0
    stuck: tuple[RunningTask, ...] = ()


class PoolTask(Future[T]):
    """A future and its call in one object, so that a task costs one allocation.

    Attributes:
        pool: whose task it is.
        queued_ns: when it was submitted.
        deadline_s: how long after that it ends by force, if ever.
    """

    __slots__ = ("pool", "queued_ns")

    pool: WorkStealingPool
    queued_ns: int
    deadline_s: float | None = None

    def run(self, worker: _PoolWorker) -> bool:
        """Run it on this worker unless somebody has claimed or cancelled it: then False.

        The hot path of the pool: claiming and ending are written out here, and without
        ``finally``, because nothing between the calls on the lock can raise in a pool's thread.
        """
        lock = self._lock
        lock.acquire()
        if self._state != PENDING:
            lock.release()
            return False
        self._state = RUNNING
        call: Call[T] = self._value
        self._value = None
        lock.release()

        fn, args, kwargs = call
        meter, stack, clock_ns = worker.meter, worker.stack, worker.clock_ns
        started_ns = clock_ns()
        if not stack:
            worker.call = call
            meter.since_ns = started_ns
        stack.append(self)
        state, outcome = FINISHED, None
        try:
            outcome = fn(*args, **kwargs) if kwargs else fn(*args)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asks for the result
            state, outcome = self._failure(error)
            meter.failed += 1
        del call, args, kwargs  # the arguments do not outlive the call
        ended_ns = clock_ns()
        # Counted before the result is out: whoever has seen it finds it counted.
        meter.executed += 1
        meter.waits_ns.append(started_ns - self.queued_ns)
        meter.runs_ns.append(ended_ns - started_ns)
        stack.pop()
        if not stack:
            worker.call = None
            meter.since_ns = 0
            meter.busy_ns += ended_ns - started_ns

        lock.acquire()
        callbacks = None
        if self._state < FINISHED:  # else its deadline has passed, and nobody waits any more
            self._state = state
            self._value = outcome
            callbacks, self._callbacks = self._callbacks, None
        lock.release()
        if callbacks is not None:
            self._run(callbacks)
        if self.deadline_s is not None:
            self.pool.settled()
        return True

    def _failure(self, error: BaseException) -> tuple[int, BaseException | None]:
        """How the task ends that raised this: cancelled, if it was asked to stop and says so."""
        if isinstance(error, CancelledError) and self.cancel_requested():
            return CANCELLED, None
        # Without the pool's own frame, which would tie the error to its future in a cycle.
        traceback = error.__traceback__
        return FAILED, error.with_traceback(traceback.tb_next if traceback is not None else None)

    def wanted(self) -> bool:
        """Whether the task, once it runs, should go on."""
        return self._state == RUNNING

    def _never_ran(self) -> None:
        self.pool.discard()

    def _wait(self, timeout_s: float | None) -> None:
        worker = _here.worker
        if worker is None or worker.pool is not self.pool or timeout_s == 0:
            super()._wait(timeout_s)
        elif self.run(worker):
            worker.seat.own.trim(_done)  # it and its elder siblings need not be found once more
        else:
            with worker.meter.blocked(worker.clock_ns):
                super()._wait(timeout_s)


class _TimedTask(PoolTask[T]):
    """A task with a deadline."""

    __slots__ = ("deadline_s",)

    deadline_s: float | None

    def expire(self) -> None:
        """End it because its deadline has passed; what still runs is no longer wanted."""
        what = f"a task had not finished {self.deadline_s} s after it was submitted"
        self.set_exception(DeadlineExceeded(what))


class _PoolWorker:
    """One thread of the pool, and what it is doing."""

    __slots__ = ("_scheduler", "call", "clock_ns", "meter", "pool", "seat", "stack", "thread")

    def __init__(
        self,
        pool: WorkStealingPool,
        scheduler: Scheduler[PoolTask[Any]],
        seat: Seat[PoolTask[Any]],
        name: str,
        clock_ns: Callable[[], int],
    ) -> None:
        self.pool = pool
        self.seat = seat
        self.clock_ns = clock_ns
        self.meter = Meter()
        self.stack: list[PoolTask[Any]] = []  # the running task, and those that wait for it
        self.call: Call[Any] | None = None  # of the outermost task
        self._scheduler = scheduler
        self.thread = threading.Thread(target=self._main, name=name, daemon=True)

    def _main(self) -> None:
        _here.worker = self
        next_task, seat = self._scheduler.next, self.seat
        while (task := next_task(seat)) is not None:
            task.run(self)
            del task  # a parked worker keeps nobody's result alive


_done = PoolTask[Any].done


class _Here(threading.local):
    """The pool worker that this thread is, if it is one."""

    worker: _PoolWorker | None = None


_here = _Here()


def current_cancelled() -> bool:
    """Whether the task that this thread runs was asked to stop. False outside a pool."""
    worker = _here.worker
    return worker is not None and bool(worker.stack) and not worker.stack[-1].wanted()


def check_cancelled() -> None:
    """Stop the running task here if it was asked to.

    Raises:
        CancelledError: it was; let it pass, and the task ends as cancelled.
    """
    if current_cancelled():
        raise CancelledError("the task was asked to stop")


class WorkStealingPool:
    """Threads that run tasks and steal from one another when they have none.

    Thread-safe. Use it as a context manager; leaving it cancels what is queued. After a fork the
    child's copy is closed.

    Args:
        workers: threads; by default one for each processor this process may use.
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
        count = workers if workers is not None else processors()
        self._scheduler: Scheduler[PoolTask[Any]] = Scheduler(count, stealing=stealing)
        self._clock_ns = clock_ns
        self._name = name
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
            _PoolWorker(self, self._scheduler, seat, f"{name}-{seat.index}", clock_ns)
            for seat in self._scheduler.seats
        )
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_Abandon(self))
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
        now_ns = self._clock_ns()
        task: PoolTask[T]
        timed: _TimedTask[T] | None = None
        if deadline_s is None:
            task = PoolTask((fn, args, kwargs))
        else:
            task = timed = _TimedTask((fn, args, kwargs))
            timed.deadline_s = deadline_s
        task.pool = self
        task.queued_ns = now_ns
        worker = _here.worker
        seat = worker.seat if worker is not None and worker.pool is self else None
        self._scheduler.push(task, now_ns, seat, priority, expected_duration_s)
        if timed is not None and deadline_s is not None:
            self._timer.add(timed, deadline_s)
        return task

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
            call, since_ns = worker.call, worker.meter.since_ns
            if call is not None and since_ns:
                running_s = (now_ns - since_ns) / 1e9
                if running_s >= longer_than_s:
                    name = getattr(call[0], "__qualname__", None) or repr(call[0])
                    found.append(RunningTask(worker.seat.index, name, since_ns, running_s))
        return tuple(found)

    def stats(self) -> PoolStats:
        """A snapshot. It costs the workers nothing: nobody is stopped for it."""
        meters = [w.meter for w in self._workers]
        executed = sum(m.executed for m in meters)
        started = executed + sum(len(w.stack) for w in self._workers)
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
        worker = _here.worker
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
            for task in worker.stack.copy():
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
        self._scheduler = Scheduler(1)
        self._scheduler.stop()
        self._workers = ()
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._closing.acquire()
        self._closer = None
        self._stopped = threading.Event()
        self._stopped.set()


class _Abandon:
    """What a fork calls in the child; it does not keep the pool alive."""

    def __init__(self, pool: WorkStealingPool) -> None:
        self._pool = weakref.ref(pool)

    def __call__(self) -> None:
        pool = self._pool()
        if pool is not None:
            pool.abandon()


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
