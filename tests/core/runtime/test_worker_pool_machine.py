"""The pool as a state machine: whatever is asked of it, every task ends as it must."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from orchestrator_core.errors import PoolClosed
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from orchestrator_core.runtime.future import Future

WAIT_S = 20.0


class PoolMachine(RuleBasedStateMachine):
    """One worker that the test holds and lets go, so that queued and running are its choice."""

    futures = Bundle("futures")

    @initialize(stealing=st.booleans())
    def open(self, stealing: bool) -> None:
        self.pool = WorkStealingPool(1, stealing=stealing)
        self.release: threading.Event | None = None
        self.closed = False
        self.ran: set[int] = set()
        self.queued: dict[int, Future[Any]] = {}
        self.finished: dict[int, Future[Any]] = {}
        self.cancelled: dict[int, Future[Any]] = {}
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            self._let_go()
            assert self.pool.close(WAIT_S).stuck == ()

    def _let_go(self) -> None:
        if self.release is not None:
            self.release.set()
            self.release = None

    @precondition(lambda self: not self.closed and self.release is None)
    @rule()
    def hold_the_worker(self) -> None:
        self.release, started = threading.Event(), threading.Event()

        def hold(release: threading.Event = self.release) -> None:
            started.set()
            release.wait(WAIT_S)

        self.pool.submit(hold)
        assert started.wait(WAIT_S)

    @precondition(lambda self: self.release is not None)
    @rule()
    def let_the_worker_go(self) -> None:
        self._let_go()
        for number, future in self.queued.items():
            assert future.result(WAIT_S) == number
        self.finished.update(self.queued)
        self.queued.clear()

    @rule(
        target=futures,
        priority=st.sampled_from(Priority),
        duration=st.none() | st.floats(0, 10),
        deadline=st.none() | st.just(1000.0),
    )
    def submit(self, priority: Priority, duration: float | None, deadline: float | None) -> Any:
        number = self.count
        self.count += 1

        def work() -> int:
            self.ran.add(number)
            return number

        try:
            future = self.pool.submit(
                work, priority=priority, expected_duration_s=duration, deadline_s=deadline
            )
        except PoolClosed:
            assert self.closed
            return multiple()
        assert not self.closed
        if self.release is None:
            assert future.result(WAIT_S) == number
            self.finished[number] = future
        else:
            self.queued[number] = future
        return number

    @rule(number=futures)
    def cancel(self, number: int) -> None:
        if number in self.queued:
            future = self.cancelled[number] = self.queued.pop(number)
            assert future.cancel()
        elif number in self.finished:
            assert not self.finished[number].cancel()
        else:
            assert self.cancelled[number].cancel()

    @rule()
    def close(self) -> None:
        self.closed = True
        report = self.pool.close(0.0 if self.release else WAIT_S)
        if self.release is None:
            assert report.stuck == ()
        for future in self.queued.values():
            while not future.done():  # the close goes on in a thread of its own
                threading.Event().wait(0.001)
        self.cancelled.update(self.queued)
        self.queued.clear()

    @invariant()
    def everything_is_where_it_belongs(self) -> None:
        if not hasattr(self, "pool"):
            return
        assert self.ran == set(self.finished)
        assert all(f.cancelled() for f in self.cancelled.values())
        assert all(f.done() and not f.cancelled() for f in self.finished.values())
        assert not any(f.done() for f in self.queued.values())
        assert self.pool.stats().queued == len(self.queued)


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
