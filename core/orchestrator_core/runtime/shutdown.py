"""The end of everything that was constructed, in order, within a time, whatever hangs.

Each owner of something that must not be left behind registers how to close it. `shutdown`
closes them one after another: higher priority first, and within one the latest constructed
first, since what came later may use what came before.

Nothing can stop it half-way:

- A handler that raises is reported, and the next one runs.
- A handler that takes longer than its deadline is left behind, and the next one runs. Sync
  handlers therefore run in threads of their own, and coroutines on their loop under a timer
  that is kept by the shutdown's own thread: a blocked loop blocks no other handler.
- Before the time for all is over, the handlers that had no turn are started together.
- At the end of the time a last resort kills what is left.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator_core.errors import PoolClosed
from orchestrator_core.runtime.shutdown_report import Ending, Outcome, ShutdownReport

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

Close = Callable[[], object]
"""How to close something: a plain function, or one that returns an awaitable."""

HANDLER_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 10.0
_SLOW_S = 1.0
_LAST_TURN_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class _Registration:
    """One handler's place in the shutdown."""

    name: str
    close: Close
    priority: int
    timeout_s: float
    loop: asyncio.AbstractEventLoop | None
    sequence: int


class ShutdownManager:
    """Closes everything that was registered, once. Thread-safe.

    Args:
        last_resort: kills what is left when the time is over, above all child processes. It
            runs in the shutdown's thread and must not block.
        handler_timeout_s: the deadline of a handler that has none of its own.
        total_timeout_s: the time for all handlers.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        last_resort: Callable[[], None] = lambda: None,
        *,
        handler_timeout_s: float = HANDLER_TIMEOUT_S,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._last_resort = last_resort
        self._handler_timeout_s = handler_timeout_s
        self._total_timeout_s = total_timeout_s
        self._clock = clock
        # Re-entrant: a signal's handler may call while its thread is in here.
        self._lock = threading.RLock()
        self._waiting: list[_Registration] = []
        self._sequence = itertools.count()
        self._finished = False
        self._report: Future[ShutdownReport] | None = None

    def register(
        self, name: str, close: Close, *, priority: int = 0, timeout_s: float | None = None
    ) -> None:
        """Have something closed at the end.

        Args:
            name: what it is, for the report.
            close: closes it. It is called in a thread; what it returns, if that can be
                awaited, is awaited on the loop that runs now, else on a loop of its own.
            priority: higher ones are closed first.
            timeout_s: its deadline.

        Raises:
            PoolClosed: everything has been shut down; the caller must close it itself.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        with self._lock:
            if self._finished:
                raise PoolClosed(f"{name} came too late: everything has been shut down")
            timeout_s = self._handler_timeout_s if timeout_s is None else timeout_s
            self._waiting.append(
                _Registration(name, close, priority, timeout_s, loop, next(self._sequence))
            )

    def begin(self, reason: str) -> Future[ShutdownReport]:
        """Begin to close everything; from any thread, a signal's handler, or a handler itself.

        Returns at once. Further calls change nothing and return the same future. Only a
        thread that no handler needs may wait for it: coroutines await `shutdown`.
        """
        with self._lock:
            if self._report is not None:
                return self._report
            self._report = Future()
            report = self._report
        worker = threading.Thread(
            target=self._run, args=(reason, report), name="shutdown", daemon=True
        )
        try:
            worker.start()
        except RuntimeError:  # the interpreter is ending, and starts no more threads
            self._run(reason, report)
        return report

    async def shutdown(self, reason: str) -> ShutdownReport:
        """Close everything and wait for it. Cancelling the wait stops nothing."""
        return await asyncio.shield(asyncio.wrap_future(self.begin(reason)))

    def _take_next(self) -> _Registration | None:
        """The handler whose turn it is; with the last one taken, no more may come."""
        with self._lock:
            if not self._waiting:
                self._finished = True
                return None
            registration = min(self._waiting, key=_turn)
            self._waiting.remove(registration)
            return registration

    def _run(self, reason: str, report: Future[ShutdownReport]) -> None:
        started = self._clock()
        end = started + self._total_timeout_s
        outcomes: list[Outcome] = []
        last_turn = end - self._total_timeout_s * _LAST_TURN_SHARE
        while self._clock() < last_turn and (registration := self._take_next()) is not None:
            deadline = min(self._clock() + registration.timeout_s, last_turn)
            outcomes += self._close([registration], deadline)
        remaining: list[_Registration] = []
        while (registration := self._take_next()) is not None:
            remaining.append(registration)
        outcomes += self._close(remaining, end)
        forced = any(outcome.ending is Ending.STUCK for outcome in outcomes)
        if forced:
            self._force()
        result = ShutdownReport(reason, tuple(outcomes), self._clock() - started, forced)
        level = logging.INFO if result.clean else logging.WARNING
        logger.log(level, "shutdown: %s", result)
        report.set_result(result)

    def _force(self) -> None:
        try:
            self._last_resort()
        except Exception:
            logger.exception("the last resort of the shutdown failed")

    def _close(self, registrations: Sequence[_Registration], deadline: float) -> list[Outcome]:
        """Start handlers together and wait for each until the deadline."""
        started = self._clock()
        attempts = [_Attempt(registration, self._clock) for registration in registrations]
        return [attempt.wait(started, deadline) for attempt in attempts]


class _Attempt:
    """One handler being called, in a thread of its own, and perhaps on a loop."""

    def __init__(self, registration: _Registration, clock: Callable[[], float]) -> None:
        self._registration = registration
        self._clock = clock
        self._ended = threading.Event()
        self._ended_at = 0.0
        self._error: BaseException | None = None
        self._task: Future[object] | None = None
        thread = threading.Thread(target=self._run, name=f"close-{registration.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # as in `begin`
            self._run()

    def wait(self, started: float, deadline: float) -> Outcome:
        ended = self._ended.wait(max(0.0, deadline - self._clock()))
        name = self._registration.name
        if not ended:
            if self._task is not None:
                self._task.cancel()
            return Outcome(name, Ending.STUCK, self._clock() - started)
        duration_s = self._ended_at - started
        if self._error is not None:
            logger.error("closing %s failed", name, exc_info=self._error)
            return Outcome(name, Ending.FAILED, duration_s, self._error)
        ending = Ending.SLOW if duration_s > _SLOW_S else Ending.DONE
        return Outcome(name, ending, duration_s)

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 (whatever it is, the next handler runs)
            self._error = error
        finally:
            self._ended_at = self._clock()
            self._ended.set()

    def _call(self) -> None:
        result = self._registration.close()
        if not inspect.isawaitable(result):
            return
        closing = result if inspect.iscoroutine(result) else _await(result)
        loop = self._registration.loop
        if loop is None or not loop.is_running():
            asyncio.run(closing)
        else:
            self._task = asyncio.run_coroutine_threadsafe(closing, loop)
            self._task.result()


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable


def _turn(registration: _Registration) -> tuple[int, int]:
    return (-registration.priority, -registration.sequence)
