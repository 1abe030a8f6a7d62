"""Mistakes that the programs of `schedules` must show: each class makes one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from orchestrator_core.primitives.work_deque import WorkStealingDeque
from orchestrator_core.runtime.concurrency_token import ConcurrencyToken
from orchestrator_core.runtime.future import CANCELLED, PENDING, RUNNING, Future
from orchestrator_core.runtime.pool_task import PoolTask
from orchestrator_core.runtime.scheduling import Scheduler

if TYPE_CHECKING:
    from orchestrator_core.runtime.pool_task import PoolWorker
    from orchestrator_core.runtime.scheduling import Seat


class NoRescan(Scheduler[Any]):
    def next(self, seat: Seat[Any]) -> Any:
        while True:
            entry = self.take(seat)
            if entry is not None:
                return entry
            with self._lock:
                if self._stopped:
                    return None
                seat.idle = True
                self._idle.append(seat)
            seat.gate.acquire()


class StaleToken(Scheduler[Any]):
    """Leaves the wake-up behind that came while it found something itself."""

    def _withdraw(self, seat: Seat[Any]) -> None:
        with self._lock:
            if seat.idle:
                self._no_longer_idle(seat)


class DeafToStop(Scheduler[Any]):
    """Looks whether it has stopped before it takes the lock to announce itself."""

    def next(self, seat: Seat[Any]) -> Any:
        while True:
            entry = self.take(seat)
            if entry is not None:
                return entry
            if self._stopped:
                return None
            with self._lock:
                seat.idle = True
                self._idle.append(seat)
            entry = self.take(seat)
            if entry is not None:
                self._withdraw(seat)
                return entry
            seat.gate.acquire()


class LookThenTake(WorkStealingDeque[Any]):
    def pop(self) -> Any:
        if not self.entries:
            return None
        entry = self.entries[-1]
        with suppress(IndexError):
            self.entries.pop()
        return entry


class CheckThenSet(Future[Any]):
    def set_running_or_cancelled(self, on_cancel: Any = None) -> bool:
        if self._state != PENDING:
            return False
        self._state = RUNNING
        return True

    def cancel(self) -> bool:
        if self._state == PENDING:
            self._state = CANCELLED
        return True


class RunUnclaimed(PoolTask[Any]):
    """Looks whether it is pending, and only then says that it runs."""

    def run(self, worker: PoolWorker) -> bool:
        if self._state != PENDING:
            return False
        fn = self._value
        self._state = RUNNING
        worker.meter.executed += 1
        self.set_result(fn(*self.args))
        return True


class NoDrain(Scheduler[Any]):
    def _drain(self) -> list[Any]:
        return []


class ReleasedTwice(ConcurrencyToken):
    """Looks whether it was released, and only then says so."""

    def _give_back(self, succeeded: bool | None) -> bool:
        if self._expired:
            return False
        self._expired = True
        self._take_back(self.keys, self._entered, succeeded)
        return True


MUTANTS: dict[str, tuple[str, type]] = {
    "no rescan before parking": ("park and wake", NoRescan),
    "stale wake token": ("park and wake", StaleToken),
    "look, then take": ("last entry", LookThenTake),
    "check-then-set claim": ("claim and cancel", CheckThenSet),
    "run unclaimed": ("run and cancel", RunUnclaimed),
    "no drain at stop": ("stop and push", NoDrain),
    "deaf to stop": ("stop and take", DeafToStop),
    "token released twice": ("token releases", ReleasedTwice),
}
"""Each by its name, with the program that shows it."""
