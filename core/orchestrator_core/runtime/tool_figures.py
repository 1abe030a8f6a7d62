"""How a tool pool is doing, in numbers."""

from __future__ import annotations

from collections import deque

from msgspec import Struct


class PoolStats(Struct, frozen=True, rename="camel"):
    """Figures of a tool pool.

    Attributes:
        processes: tool processes that run.
        busy: those that work on a call.
        calls: calls that were answered, since the start.
        p50_ms: median time of the last 1,000 calls, from ``submit`` to the answer.
        p99_ms: the time that one in a hundred of them exceeded.
        restarts: processes that replaced one that died or had grown too large.
    """

    processes: int = 0
    busy: int = 0
    calls: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    restarts: int = 0


class CallTimes:
    """How many calls were answered, and how long the latest took. Guarded by the pool's lock."""

    def __init__(self) -> None:
        self.count = 0
        self._latest_s: deque[float] = deque(maxlen=1000)

    def add(self, time_s: float) -> None:
        """A call was answered."""
        self.count += 1
        self._latest_s.append(time_s)

    def latest_s(self) -> list[float]:
        """The times of the latest calls, in the order of the calls."""
        return list(self._latest_s)


def percentile_ms(sorted_s: list[float], percent: int) -> float:
    """A percentile of times in ascending order; 0 without any."""
    return sorted_s[len(sorted_s) * percent // 100] * 1e3 if sorted_s else 0.0
