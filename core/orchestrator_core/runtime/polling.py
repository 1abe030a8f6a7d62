"""Looking at things regularly: often when there is much to see, seldom when there is not."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from orchestrator_core.runtime.pool_stats import RunningTask

_log = logging.getLogger(__name__)

BUSY_AT = 0.8
"""The utilization that counts as busy."""


class AdaptivePoller:
    """Calls ``tick`` at an interval that follows the load. Belongs to one event loop.

    At :data:`BUSY_AT` and above the interval is ``busy_interval_s`` at once. Below, it is the longer
    the less there is to do, up to ``idle_interval_s``, and grows at most twofold from one tick
    to the next, so that a short lull does not blind it. Time is the loop's.

    Args:
        tick: what to do; may be a coroutine function. What it raises is logged.
        utilization: the load, 0 to 1, since it was last asked.
        adaptive: False: always ``busy_interval_s``.
        busy_interval_s: the shortest interval.
        idle_interval_s: the longest.
    """

    def __init__(
        self,
        tick: Callable[[], Awaitable[object] | object],
        utilization: Callable[[], float],
        *,
        adaptive: bool = True,
        busy_interval_s: float = 0.5,
        idle_interval_s: float = 5.0,
    ) -> None:
        if not 0 < busy_interval_s <= idle_interval_s:
            raise ValueError(f"cannot poll every {busy_interval_s} to {idle_interval_s} s")
        self._tick = tick
        self._utilization = utilization
        self._adaptive = adaptive
        self._busy_interval_s = busy_interval_s
        self._idle_interval_s = idle_interval_s
        self._interval_s = busy_interval_s
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def interval_s(self) -> float:
        """The present interval."""
        return self._interval_s

    def start(self) -> None:
        """Begin; the first tick comes after one interval. Idempotent."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="poller")

    async def stop(self) -> None:
        """End, letting a running tick be cancelled. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def nudge(self) -> None:
        """Tick now: something began or ended. Call it in the loop's thread."""
        self._nudged.set()

    def next_interval_s(self, utilization: float) -> float:
        """The interval after the present one, at this load."""
        if not self._adaptive or utilization >= BUSY_AT:
            return self._busy_interval_s
        idleness = 1 - max(0.0, utilization) / BUSY_AT
        wanted_s = self._busy_interval_s + idleness * (
            self._idle_interval_s - self._busy_interval_s
        )
        return min(wanted_s, self._interval_s * 2)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._nudged.wait()
            except TimeoutError:
                pass
            self._nudged.clear()
            try:
                self._interval_s = self.next_interval_s(self._utilization())
                outcome = self._tick()
                if outcome is not None and hasattr(outcome, "__await__"):
                    await outcome  # pyright: ignore[reportGeneralTypeIssues]
            except Exception:  # noqa: BLE001 - one failed look must not end all later ones
                _log.exception("A poll failed; the next is in %s s", self._interval_s)


class StuckWatch:
    """Tells each task that runs for too long once: the watchdog's memory.

    Args:
        running: for example ``WorkStealingPool.running``.
        after_s: what runs longer is stuck.
    """

    def __init__(
        self, running: Callable[[float], Iterable[RunningTask]], after_s: float = 600.0
    ) -> None:
        self._running = running
        self._after_s = after_s
        self._told: set[tuple[int, int]] = set()

    def look(self) -> list[RunningTask]:
        """The tasks that have become stuck since the last look."""
        stuck = list(self._running(self._after_s))
        fresh = [t for t in stuck if (t.worker, t.started_ns) not in self._told]
        self._told = {(t.worker, t.started_ns) for t in stuck}
        return fresh
