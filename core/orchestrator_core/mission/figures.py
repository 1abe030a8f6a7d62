"""What the pools and the process of a workspace do, in figures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import msgspec

from orchestrator_core.runtime.polling import AdaptivePoller, StuckWatch
from orchestrator_core.runtime.usage import ProcessUsage, UsageReader

if TYPE_CHECKING:
    from orchestrator_core.mission.engine import Engine
    from orchestrator_core.mission.pools import Pools
    from orchestrator_core.runtime.tool_pool import RustToolPool


class Figures:
    """Reads the figures, and tells the listener of them as they change. Lives on the event loop.

    Args:
        engine: the workspace's services; its listener is told.
        tools: the tool processes.
        pools: what missions use again.
    """

    def __init__(self, engine: Engine, tools: RustToolPool, pools: Pools) -> None:
        self._engine = engine
        self._tools = tools
        self._pools = pools
        self._usage = UsageReader()
        self._looking = asyncio.Lock()
        self._process = ProcessUsage(0, 0.0, 0, 0, 0)
        self._told: dict[str, object] = {}
        self._pool_told = self._pool_seen = engine.pool.stats()
        self._stuck = StuckWatch(engine.pool.running)
        self._poller = AdaptivePoller(
            self._tell, self._load, adaptive=engine.settings.flags.adaptive_polling
        )

    def start(self) -> None:
        """Tell changes from now on, at the adaptive interval; repeating it does nothing."""
        self._poller.start()

    def nudge(self) -> None:
        """Tell what has changed soon, whatever the interval is now."""
        self._poller.nudge()

    async def stop(self) -> None:
        """Tell nothing any more."""
        await self._poller.stop()

    async def look(self) -> dict[str, object]:
        """The figures with the process's usage as it is now, which takes some milliseconds."""
        async with self._looking:
            self._process = await self._engine.pool.submit(self._usage.read)
        return self.stats()

    def stats(self) -> dict[str, object]:
        """The figures of ``$/orchestrator/poolStats``, with its keys.

        The process's usage is that of the last look at it.
        """
        pool, tools, usage = self._engine.pool.stats(), self._tools.stats(), self._process
        return {
            "workers": {
                "total": pool.total,
                "busy": pool.busy,
                "queued": pool.queued,
                "executed": pool.executed,
                "stolen": pool.stolen,
                "stealRate": round(pool.steal_rate, 4),
                "utilization": round(pool.utilization, 4),
            },
            **self._pools.stats(),
            "tools": {name: round(value, 3) for name, value in msgspec.to_builtins(tools).items()},
            "concurrency": {
                role: {"active": s.active, "limit": s.limit, "circuit": str(s.circuit)}
                for role, s in self._engine.concurrency.stats().items()
            },
            "process": {
                "rssBytes": usage.rss_bytes,
                "cpuPercent": usage.cpu_percent,
                "threads": usage.threads,
                "children": usage.children,
                "fds": usage.fds,
            },
        }

    def _load(self) -> float:
        """The pool's utilization since it was last asked."""
        before, self._pool_seen = self._pool_seen, self._engine.pool.stats()
        return self._pool_seen.utilization_since(before)

    async def _tell(self) -> None:
        """Tell the figures if work was done since they were told, with the utilization since then."""
        stats = await self.look()
        told, self._told = self._told, {**stats, "process": None}
        if self._told != told:
            before, self._pool_told = self._pool_told, self._engine.pool.stats()
            share = round(self._pool_told.utilization_since(before), 4)
            workers = cast("dict[str, object]", stats["workers"])
            self._engine.listener.on_stats({**stats, "workers": {**workers, "utilization": share}})
        for task in self._stuck.look():
            self._engine.listener.on_notice(
                f"{task.name} has run for {task.running_s:.0f} s and may be stuck: /stop ends the "
                "mission that waits for it"
            )
