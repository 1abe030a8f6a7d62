"""When to clean: each job at its interval, one at a time, off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from typing import TYPE_CHECKING, Self

from orchestrator_core.errors import CleanupBusy, CleanupError, CleanupRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator_core.cleanup.cleaner import Cleaner

    Submit = Callable[[Callable[[], float]], Awaitable[float]]

log = logging.getLogger(__name__)

JITTER_S = 20.0
_LEAST_PAUSE_S = 1.0
_RETRY_S = 300.0


class CleanupScheduler:
    """Runs a cleaner's jobs when they are due. Belongs to one event loop.

    Timers are monotonic: the loop's. When a job last ran is on record, so that many short
    processes clean as often as one long one. The first look comes after a moment that differs
    from process to process, so that several of one workspace do not all begin at once.

    Args:
        cleaner: does the work.
        submit: runs a function in a thread of the worker pool.
        notice: tells the person something, on the loop.
        uniform: a number from 0 to 1, for the first moment.
        grace_s: how long the end waits for a pass to finish before it cuts it short.
    """

    def __init__(
        self,
        cleaner: Cleaner,
        submit: Submit,
        notice: Callable[[str], None],
        *,
        uniform: Callable[[], float] = random.random,
        grace_s: float = 1.0,
    ) -> None:
        self._cleaner = cleaner
        self._submit = submit
        self._notice = notice
        self._uniform = uniform
        self._grace_s = grace_s
        self._wake = asyncio.Event()
        self._wanted = False
        self._ending = False
        self._stopping = threading.Event()
        self._told = ""
        self._to_tell = ""
        self._started = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin. Idempotent."""
        if self._task is None and not self._ending:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="cleanup")

    def nudge(self) -> None:
        """Run what is due now: a mission ended, say. Call it in the loop's thread."""
        self.start()
        self._wanted = True
        self._wake.set()

    async def stop(self) -> None:
        """End; a pass that is running has a moment, and then ends before its next removal.

        Idempotent.
        """
        self._ending = True
        self._wake.set()
        task, self._task = self._task, None
        if task is None:
            return
        await asyncio.wait([task], timeout=self._grace_s)
        self._stopping.set()
        await asyncio.wait([task])

    async def _run(self) -> None:
        pause_s = self._uniform() * JITTER_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            if self._ending and not self._wanted:
                return
            self._wanted = False
            if not self._ending:
                self._wake.clear()
            try:
                pause_s = max(_LEAST_PAUSE_S, await self._submit(self._run_due))
            except Exception:
                log.exception("a cleanup failed; the next is in %s s", _RETRY_S)
                pause_s = _RETRY_S
            if self._to_tell != self._told:
                self._told = self._to_tell
                if self._told:
                    self._notice(self._told)

    def _run_due(self) -> float:
        """Run the jobs that are due; answers in how many seconds the next one is. Blocks."""
        if not self._cleaner.enabled:
            return _RETRY_S
        try:
            due, next_s = self._cleaner.due(starting=not self._started)
            self._started = True
            if due:
                report = self._cleaner.run(due, stopping=self._stopping.is_set)
                self._to_tell = report.note
                if report.steps:
                    log.info("cleanup freed %d bytes", report.freed_bytes)
        except CleanupBusy:
            return _RETRY_S  # it is being done
        except CleanupRefused as error:
            log.debug("%s", error)
            return _RETRY_S
        except CleanupError as error:
            self._to_tell = str(error)
            return _RETRY_S
        return next_s
