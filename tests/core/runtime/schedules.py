"""Programs of two or three threads whose schedules are explored, each with a broken twin.

Run under the ``frontrun`` command, which replaces locks by ones that it schedules:
``frontrun python schedules.py PROGRAM [MUTANT] [EXECUTIONS]``. It takes every schedule that
differs in the order of conflicting steps (dynamic partial-order reduction) and prints what it
found as JSON.

Deques are C code, whose accesses the explorer cannot see. So they are replaced by ones that take
a lock around each operation: still atomic, as the real ones are, and visible.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

import frontrun

from core.runtime.seeded_mistakes import MUTANTS
from orchestrator_core.errors import PoolClosed, TokenReleased
from orchestrator_core.primitives import injector, work_deque
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.primitives.work_deque import WorkStealingDeque
from orchestrator_core.runtime.concurrency import ConcurrencyController
from orchestrator_core.runtime.concurrency_token import ConcurrencyToken
from orchestrator_core.runtime.future import Future
from orchestrator_core.runtime.pool_task import PoolTask, PoolWorker
from orchestrator_core.runtime.scheduling import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable


class VisibleDeque(deque[Any]):
    """A deque whose operations the explorer sees."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._turn = threading.Lock()

    def append(self, x: Any) -> None:
        with self._turn:
            super().append(x)

    def pop(self) -> Any:
        with self._turn:
            return super().pop()

    def popleft(self) -> Any:
        with self._turn:
            return super().popleft()

    def __len__(self) -> int:
        with self._turn:
            return super().__len__()

    def __getitem__(self, index: Any) -> Any:
        with self._turn:
            return super().__getitem__(index)


def no_time(_: object) -> int:
    """When an entry came: all at once."""
    return 0


class Program:
    """State of one run; ``threads`` run at once, then ``holds`` must be true.

    The class under test is an attribute, so that a mutant can take its place.
    """

    subject: ClassVar[Any] = None
    threads: ClassVar[list[Callable[[Any], object]]] = []

    def holds(self) -> bool:
        raise NotImplementedError


class ParkAndWake(Program):
    """A push meets a worker on its way to sleep."""

    subject: ClassVar[Any] = Scheduler

    def __init__(self) -> None:
        self.scheduler: Scheduler[str] = self.subject(1, no_time)
        self.got: list[str | None] = []

    def _work(self) -> None:
        self.got.append(self.scheduler.next(self.scheduler.seats[0]))

    def _push(self) -> None:
        self.scheduler.push("a")

    threads: ClassVar[list[Callable[[Any], object]]] = [_work, _push]

    def holds(self) -> bool:
        seat = self.scheduler.seats[0]
        token_left = not seat.gate.locked()
        return self.got == ["a"] and not token_left and not seat.idle and not self.scheduler._idle


class LastEntry(Program):
    """The owner pops what a thief steals."""

    subject: ClassVar[Any] = WorkStealingDeque

    def __init__(self) -> None:
        self.deque: WorkStealingDeque[str] = self.subject()
        self.deque.push("a")
        self.got: list[str | None] = []

    def _pop(self) -> None:
        self.got.append(self.deque.pop())

    def _steal(self) -> None:
        self.got.append(self.deque.steal())

    threads: ClassVar[list[Callable[[Any], object]]] = [_pop, _steal]

    def holds(self) -> bool:
        return sorted(x or "" for x in self.got) == ["", "a"]


class ClaimAndCancel(Program):
    """Two workers claim a future that a third thread cancels."""

    subject: ClassVar[Any] = Future

    def __init__(self) -> None:
        self.future: Future[int] = self.subject()
        self.outcomes: list[str] = []

    def _claim(self) -> None:
        if self.future.set_running_or_cancelled():
            self.outcomes.append("ran")
            self.future.set_result(1)

    def _cancel(self) -> None:
        self.future.cancel()
        if self.future.cancelled():
            self.outcomes.append("cancelled")

    threads: ClassVar[list[Callable[[Any], object]]] = [_claim, _claim, _cancel]

    def holds(self) -> bool:
        return len(self.outcomes) == 1


class RunAndCancel(Program):
    """A worker runs a task that another runs on the spot and a third thread cancels."""

    subject: ClassVar[Any] = PoolTask

    def __init__(self) -> None:
        scheduler: Scheduler[PoolTask[Any]] = Scheduler(2, no_time)
        self.workers = [PoolWorker(self, scheduler, s, "", lambda: 0) for s in scheduler.seats]
        self.ran: list[int] = []
        self.discarded: list[int] = []
        self.task: PoolTask[None] = self.subject(self, self.ran.append, (1,), 0)

    def discard(self) -> None:
        self.discarded.append(1)

    def settled(self) -> None:
        raise AssertionError("it has no deadline")

    def _run(self) -> None:
        self.task.run(self.workers[0])

    def _run_on_the_spot(self) -> None:
        self.task.run(self.workers[1])

    def _cancel(self) -> None:
        self.task.cancel()

    threads: ClassVar[list[Callable[[Any], object]]] = [_run, _run_on_the_spot, _cancel]

    def holds(self) -> bool:
        executed = sum(worker.meter.executed for worker in self.workers)
        one_end = len(self.ran) + len(self.discarded) == 1
        return one_end and executed == len(self.ran) and self.task.done()


class StopAndPush(Program):
    """An entry arrives while the scheduler stops."""

    subject: ClassVar[Any] = Scheduler

    def __init__(self) -> None:
        self.scheduler: Scheduler[str] = self.subject(1, no_time)
        self.scheduler.push("queued")
        self.seen: list[str] = []

    def _push(self) -> None:
        try:
            self.scheduler.push("late")
        except PoolClosed:
            self.seen.append("late")

    def _stop(self) -> None:
        self.seen.extend(self.scheduler.stop())

    threads: ClassVar[list[Callable[[Any], object]]] = [_push, _stop]

    def holds(self) -> bool:
        return sorted(self.seen) == ["late", "queued"]


class StopAndTake(Program):
    """A worker takes an entry while the scheduler stops, and then wants to sleep."""

    subject: ClassVar[Any] = Scheduler

    def __init__(self) -> None:
        self.scheduler: Scheduler[str] = self.subject(1, no_time)
        self.scheduler.push("queued")
        self.seen: list[str] = []

    def _work(self) -> None:
        while (entry := self.scheduler.next(self.scheduler.seats[0])) is not None:
            self.seen.append(entry)

    def _stop(self) -> None:
        self.seen.extend(self.scheduler.stop())

    threads: ClassVar[list[Callable[[Any], object]]] = [_work, _stop]

    def holds(self) -> bool:
        return self.seen == ["queued"]


class TokenReleases(Program):
    """Two threads release the same token."""

    subject: ClassVar[Any] = ConcurrencyToken

    def __init__(self) -> None:
        self.controller = ConcurrencyController(memory=lambda: 0.0)
        served = self.controller._enqueue((("role", "worker"),), Priority.NORMAL).future.result()
        self.token = self.subject(self.controller._take_back, served.keys, served._entered)
        self.refused = 0

    def _release(self) -> None:
        try:
            self.token.release(None)
        except TokenReleased:
            self.refused += 1

    threads: ClassVar[list[Callable[[Any], object]]] = [_release, _release]

    def holds(self) -> bool:
        return self.refused == 1 and self.controller.stats()["worker"].active == 0


PROGRAMS: dict[str, type[Program]] = {
    "park and wake": ParkAndWake,
    "last entry": LastEntry,
    "claim and cancel": ClaimAndCancel,
    "run and cancel": RunAndCancel,
    "stop and push": StopAndPush,
    "stop and take": StopAndTake,
    "token releases": TokenReleases,
}


def explore(program: type[Program], executions: int | None) -> dict[str, Any]:
    """The explorer's verdict: ``holds`` is true, false, or None if a schedule never ended."""
    injector.deque = work_deque.deque = VisibleDeque  # type: ignore[misc]
    found = frontrun.explore(
        setup=program,
        workers=list(program.threads),
        invariant=program.holds,
        max_executions=executions,
        timeout_per_run=2.0,
        reproduce_on_failure=0,
        detect_io=False,
        preemption_bound=None,
    )
    return {"holds": found.property_holds, "explored": found.num_explored}


def main() -> None:
    name, mutant, executions = sys.argv[1], sys.argv[2], int(sys.argv[3])
    program = PROGRAMS[name]
    if mutant:
        program = type(mutant, (program,), {"subject": MUTANTS[mutant][1]})
    sys.stdout.write(json.dumps(explore(program, executions or None)) + "\n")
    sys.stdout.flush()
    os._exit(0)  # a thread that a mutant has put to sleep for ever would keep the process


if __name__ == "__main__":
    main()
