"""A task of the worker pool, and the thread that runs it: what every task costs is here.

The code that each task passes through is written out instead of being shared with ``Future``, and
makes as few objects as it can: each that a task has is handed from one processor's cache to the
other's, and the collector looks at every living container over and over. So a task is its future
and nothing beside it, and takes its lock from those that its pool's tasks share.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from orchestrator_core.errors import DeadlineExceeded
from orchestrator_core.runtime.future import CANCELLED, FAILED, FINISHED, PENDING, RUNNING, Future
from orchestrator_core.runtime.pool_stats import Meter

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator_core.runtime.scheduling import Scheduler, Seat

T = TypeVar("T")


class TaskOwner(Protocol):
    """What a task tells the pool that it belongs to."""

    def discard(self) -> None:
        """It ended before it ran."""
        ...

    def settled(self) -> None:
        """It had a deadline, and has run to its end."""
        ...


class PoolTask(Future[T]):
    """A future and its call in one object. While it is pending, the future's value is the function.

    Attributes:
        args: what the function is called with.
        pool: whose task it is.
        queued_ns: when it was submitted, on the pool's clock.
    """

    __slots__ = ("args", "pool", "queued_ns")

    def __init__(
        self,
        pool: TaskOwner,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        queued_ns: int,
    ) -> None:
        self._lock = threading.RLock()
        self._state = PENDING
        self._value = fn
        self._callbacks = None
        self.args: tuple[Any, ...] = args
        self.pool = pool
        self.queued_ns = queued_ns

    def run(self, worker: PoolWorker) -> bool:
        """Run it on this worker unless somebody has claimed or cancelled it: then False.

        Nothing between the calls on the lock can raise in a pool's thread, where no signal
        handler runs: that is why there is no ``finally``.
        """
        lock = self._lock
        lock.acquire()
        if self._state != PENDING:
            lock.release()
            return False
        self._state = RUNNING
        fn: Callable[..., T] = self._value
        self._value = None
        lock.release()
        args = self.args
        self.args = ()

        meter, clock_ns, beneath = worker.meter, worker.clock_ns, worker.task
        if beneath is None:
            worker.fn = fn
            meter.since_ns = started_ns = worker.freed_ns or clock_ns()
        else:
            worker.waiting.append(beneath)
            started_ns = clock_ns()
        worker.task = self
        state = FINISHED
        try:
            outcome = fn(*args)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asks for the result
            state, outcome = self._failure(error)
            meter.failed += 1
        del fn, args  # the arguments do not outlive the call
        ended_ns = clock_ns()
        run_ns = ended_ns - started_ns
        # Counted before the result is out: whoever has seen it finds it counted.
        meter.executed += 1
        meter.waits_ns.append(started_ns - self.queued_ns)
        meter.runs_ns.append(run_ns)
        worker.task = beneath
        if beneath is None:
            worker.fn = None
            worker.freed_ns = ended_ns
            meter.since_ns = 0
            meter.busy_ns += run_ns
        else:
            worker.waiting.pop()

        lock.acquire()
        callbacks = None
        if self._state < FINISHED:  # else its deadline has passed, and nobody waits any more
            self._state = state
            self._value = outcome
            callbacks = self._callbacks
            self._callbacks = None
        lock.release()
        if callbacks is not None:
            self._run(callbacks)
            worker.freed_ns = 0  # what they took is nobody's run time
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
        self.args = ()
        self.pool.discard()

    def _wait(self, timeout_s: float | None) -> None:
        worker = here.worker
        if worker is None or worker.pool is not self.pool or timeout_s == 0:
            super()._wait(timeout_s)
        elif self.run(worker):
            worker.seat.own.trim(_done)  # it and its elder siblings need not be found once more
        else:
            with worker.meter.blocked(worker.clock_ns):
                super()._wait(timeout_s)


class TimedTask(PoolTask[T]):
    """A task that ends by force ``deadline_s`` after it was submitted."""

    __slots__ = ("deadline_s",)

    def __init__(
        self,
        pool: TaskOwner,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        queued_ns: int,
        deadline_s: float,
    ) -> None:
        super().__init__(pool, fn, args, queued_ns)
        self.deadline_s = deadline_s

    def run(self, worker: PoolWorker) -> bool:
        """As any task; the pool's timer hears of the end."""
        ran = super().run(worker)
        if ran:
            self.pool.settled()
        return ran

    def expire(self) -> None:
        """End it because its deadline has passed; what still runs is no longer wanted."""
        what = f"a task had not finished {self.deadline_s} s after it was submitted"
        self.set_exception(DeadlineExceeded(what))


class PoolWorker:
    """One thread of the pool, and what it is doing.

    Attributes:
        pool: whose worker it is.
        seat: its place in the scheduler.
        clock_ns: the pool's clock.
        meter: its counters.
        task: the task it runs; its thread alone writes this and the next three.
        waiting: the tasks beneath that one, each of which waits for the next.
        fn: the function of the outermost of them.
        freed_ns: when it ended its last task, 0 if it did anything since but look for the next. A
            worker that goes from task to task is busy all along, and its clock is read once a task.
    """

    __slots__ = (
        "_scheduler",
        "clock_ns",
        "fn",
        "freed_ns",
        "meter",
        "pool",
        "seat",
        "task",
        "thread",
        "waiting",
    )

    def __init__(
        self,
        pool: TaskOwner,
        scheduler: Scheduler[PoolTask[Any]],
        seat: Seat[PoolTask[Any]],
        name: str,
        clock_ns: Callable[[], int],
    ) -> None:
        self.pool = pool
        self.seat = seat
        self.clock_ns = clock_ns
        self.meter = Meter()
        self.task: PoolTask[Any] | None = None
        self.waiting: list[PoolTask[Any]] = []
        self.fn: Callable[..., object] | None = None
        self.freed_ns = 0
        self._scheduler = scheduler
        self.thread = threading.Thread(target=self._main, name=name, daemon=True)

    def tasks(self) -> set[PoolTask[Any]]:
        """Those it has begun, from any thread."""
        # Twice, for between two looks one may come to wait, or one that waited may go on.
        before = self.waiting.copy()
        task = self.task
        begun = {*before, *self.waiting.copy()}
        if task is not None:
            begun.add(task)
        return begun

    def _main(self) -> None:
        here.worker = self
        take, next_task, seat = self._scheduler.take, self._scheduler.next, self.seat
        own, inbox = seat.own.entries, seat.inbox
        plain = inbox.plain
        while True:
            if own or inbox.special:
                task = take(seat)
            else:  # what ``take`` does first then, without the call
                try:
                    task = plain.popleft()
                except IndexError:
                    task = take(seat)
            if task is None:
                self.freed_ns = 0
                task = next_task(seat)
                if task is None:
                    return
            task.run(self)
            del task  # a parked worker keeps nobody's result alive


_done = PoolTask[Any].done


class _Here(threading.local):
    """The pool worker that this thread is, if it is one."""

    worker: PoolWorker | None = None


here = _Here()


def current_cancelled() -> bool:
    """Whether the task that this thread runs was asked to stop. False outside a pool."""
    worker = here.worker
    return worker is not None and worker.task is not None and not worker.task.wanted()


def check_cancelled() -> None:
    """Stop the running task here if it was asked to.

    Raises:
        CancelledError: it was; let it pass, and the task ends as cancelled.
    """
    if current_cancelled():
        raise CancelledError("the task was asked to stop")
