"""A light future: the one result type of the worker pool and the tool pool.

It answers both a thread (``result``) and a coroutine (``await``), and costs a fraction of
``concurrent.futures.Future``: one plain lock instead of a condition, and whatever a waiter needs
is made only when somebody really waits.

What it guarantees:

* A future ends exactly once; whoever comes second is told so by ``False``.
* Exactly one of running and cancelling a pending future wins.
* Completions meant for an event loop are coalesced: a burst of them wakes the loop once.
* Nothing here relies on the GIL: every transition happens under the future's lock.

Futures may share a lock. It can be taken again by the thread that holds it, because the collector
may run a finalizer anywhere, even here, and that may end or cancel a future. For the same reason
nothing is made or called between the look at a state and the step that follows from it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from orchestrator_core.runtime.loop_inbox import inbox_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["CancelledError", "Future"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

PENDING, RUNNING, STOPPING, FINISHED, FAILED, CANCELLED = range(6)
"""The states, in order: STOPPING is running with a cancellation asked for; from FINISHED on it
is done."""
_STATE_NAMES = ("pending", "running", "stopping", "finished", "failed", "cancelled")


class Future(Generic[T]):
    """The outcome of work that runs elsewhere.

    Consumers use ``result``, ``exception``, ``cancel``, ``add_done_callback`` and ``await``;
    producers ``set_running_or_cancelled`` and then one of ``set_result``, ``set_exception`` and
    ``set_cancelled``. Every method may be called from any thread.
    """

    __slots__ = ("__weakref__", "_callbacks", "_lock", "_state", "_value")

    def __init__(self, value: object = None) -> None:
        self._lock = threading.RLock()
        self._state = PENDING
        # What it holds goes by the state. Pending: what the producer put there; running: its
        # ``on_cancel``; finished: the result; failed: the exception.
        self._value: Any = value
        self._callbacks: list[Callable[[Self], object]] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {_STATE_NAMES[self._state]} at {id(self):#x}>"

    # What consumers ask

    def done(self) -> bool:
        """Whether it has finished or was cancelled."""
        return self._state >= FINISHED

    def running(self) -> bool:
        """Whether a producer has started and not yet ended it."""
        return RUNNING <= self._state <= STOPPING

    def cancelled(self) -> bool:
        """Whether it ended as cancelled."""
        return self._state == CANCELLED

    def cancel_requested(self) -> bool:
        """Whether it runs on although somebody asked to cancel it, or ended as cancelled."""
        state = self._state
        return state in {STOPPING, CANCELLED}

    def result(self, timeout_s: float | None = None) -> T:
        """The value, waiting for it as long as needed or up to ``timeout_s``.

        Raises:
            TimeoutError: it was not done in time; the future goes on.
            CancelledError: it was cancelled (``concurrent.futures.CancelledError``).
            BaseException: whatever the work raised, with its traceback.
        """
        if self._state < FINISHED:
            self._wait(timeout_s)
        if self._state == FINISHED:
            return self._value
        if self._state == CANCELLED:
            raise CancelledError
        try:
            raise self._value
        finally:
            del self  # the traceback keeps this frame: without it there is no cycle

    def exception(self, timeout_s: float | None = None) -> BaseException | None:
        """What the work raised, or None, waiting up to ``timeout_s``.

        Raises:
            TimeoutError: it was not done in time.
            CancelledError: it was cancelled.
        """
        if self._state < FINISHED:
            self._wait(timeout_s)
        if self._state == CANCELLED:
            raise CancelledError
        return self._value if self._state == FAILED else None

    def cancel(self) -> bool:
        """Cancel it, or ask a running producer to stop.

        A pending future is cancelled at once. A running one only learns of the wish (through
        ``cancel_requested`` and the producer's ``on_cancel``) and ends as its producer decides.

        Returns:
            False if it had finished already, otherwise True.
        """
        callbacks = None
        with self._lock:
            before = self._state
            if before >= FINISHED:
                return before == CANCELLED
            on_cancel, self._value = self._value, None
            if before == PENDING:
                self._state = CANCELLED
                callbacks, self._callbacks = self._callbacks, None
            else:
                self._state = STOPPING
        if before == PENDING:
            self._never_ran()
        elif on_cancel is not None:
            on_cancel()
        if callbacks is not None:
            self._run(callbacks)
        return True

    def add_done_callback(self, fn: Callable[[Self], object]) -> None:
        """Call ``fn(future)`` when it is done, at once if it is done already.

        It runs in the thread that ends the future and must not block. What it raises is logged.
        """
        if not self._register(fn):
            self._run([fn])

    def __await__(self) -> Generator[object, None, T]:
        """Wait on the running asyncio loop; cancelling the waiting task cancels the future."""
        if self._state < FINISHED:
            loop = asyncio.get_running_loop()
            waiter = loop.create_future()
            wake = partial(inbox_of(loop).post, waiter)
            if self._register(wake, first=True):
                try:
                    yield from waiter
                except asyncio.CancelledError:
                    self._unregister(wake)
                    self.cancel()
                    raise
        if self._state == CANCELLED:
            raise asyncio.CancelledError
        return self.result()

    # What producers do

    def set_running_or_cancelled(self, on_cancel: Callable[[], object] | None = None) -> bool:
        """Claim the work: exactly one caller gets True, and none once it was cancelled.

        Args:
            on_cancel: called at most once, in the cancelling thread, if ``cancel`` comes while
                the work runs. It may end the future.
        """
        with self._lock:
            if self._state != PENDING:
                return False
            self._state = RUNNING
            self._value = on_cancel
            return True

    def set_result(self, result: T) -> bool:
        """End it with a value; False if it was done already and the value is dropped."""
        return self._finish(FINISHED, result)

    def set_exception(self, exception: BaseException) -> bool:
        """End it with an exception; False if it was done already."""
        return self._finish(FAILED, exception)

    def set_cancelled(self) -> bool:
        """End it as cancelled, running or not; False if it was done already."""
        return self._finish(CANCELLED, None)

    def _finish(self, state: int, value: object) -> bool:
        """Enter a final state; True for the one caller that does it.

        A future that is done holds on to nobody: that keeps finished work out of reference
        cycles.
        """
        lock = self._lock
        lock.acquire()
        try:
            before = self._state
            if before >= FINISHED:
                return False
            self._state = state
            self._value = value
            callbacks, self._callbacks = self._callbacks, None
        finally:
            lock.release()
        if before == PENDING:
            self._never_ran()
        if callbacks is not None:
            self._run(callbacks)
        return True

    def _never_ran(self) -> None:
        """For producers: it ended before anybody claimed it."""

    # Waiting

    def _wait(self, timeout_s: float | None) -> None:
        """Block the thread until done.

        Raises:
            TimeoutError: it was not done in time.
        """
        gate = threading.Lock()
        gate.acquire()

        def opened(_: object) -> None:
            gate.release()

        if not self._register(opened, first=True):
            return
        if gate.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s)):
            return
        self._unregister(opened)
        if self._state < FINISHED:
            raise TimeoutError(f"not done within {timeout_s} s")

    def _register(self, callback: Callable[[Self], object], *, first: bool = False) -> bool:
        """Keep the callback; False if it is done. ``first``: a waiter, ahead of slow callbacks."""
        alone = [callback]
        lock = self._lock
        lock.acquire()
        try:
            if self._state >= FINISHED:
                return False
            if self._callbacks is None:
                self._callbacks = alone
            elif first:
                self._callbacks.insert(0, callback)
            else:
                self._callbacks.append(callback)
            return True
        finally:
            lock.release()

    def _unregister(self, callback: Callable[[Self], object]) -> None:
        with self._lock:
            if self._callbacks is not None and callback in self._callbacks:
                self._callbacks.remove(callback)

    def _run(self, callbacks: list[Callable[[Self], object]]) -> None:
        for callback in callbacks:
            try:
                callback(self)
            except BaseException:  # noqa: BLE001 - a consumer's mistake must not end a pool worker
                _log.exception("A done callback of %r failed", self)
