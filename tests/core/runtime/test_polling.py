from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from core.runtime.virtual_time import now_s, run_virtual
from orchestrator_core.runtime.polling import AdaptivePoller, StuckWatch
from orchestrator_core.runtime.pool_stats import RunningTask


def ticks_at(loads: list[float], *, for_s: float, adaptive: bool = True) -> list[float]:
    """When a poller ticks that sees these loads, the last one for ever."""

    async def main() -> list[float]:
        times: list[float] = []
        seen = iter(loads)

        async with AdaptivePoller(
            lambda: times.append(now_s()), lambda: next(seen, loads[-1]), adaptive=adaptive
        ):
            await asyncio.sleep(for_s)
        return times

    return run_virtual(main())


def test_it_ticks_every_half_second_at_eighty_percent() -> None:
    assert ticks_at([0.8, 1.0, 0.9], for_s=2.1) == [0.5, 1.0, 1.5, 2.0]


def test_it_slows_down_to_five_seconds_when_idle() -> None:
    assert ticks_at([0.0], for_s=19) == [0.5, 1.5, 3.5, 7.5, 12.5, 17.5]


def test_it_is_fast_again_as_soon_as_it_is_busy() -> None:
    assert ticks_at([0.0, 0.0, 0.9], for_s=5) == [0.5, 1.5, 3.5, 4.0, 4.5]


def test_in_between_it_waits_in_proportion() -> None:
    poller = AdaptivePoller(lambda: None, lambda: 0.0, busy_interval_s=0.5, idle_interval_s=0.9)
    assert poller.next_interval_s(0.4) == pytest.approx(0.7)


def test_without_adapting_the_interval_is_fixed() -> None:
    assert ticks_at([0.0], for_s=2.1, adaptive=False) == [0.5, 1.0, 1.5, 2.0]


def test_a_nudge_ticks_at_once() -> None:
    async def main() -> list[float]:
        times: list[float] = []
        async with AdaptivePoller(lambda: times.append(now_s()), lambda: 0.0) as poller:
            await asyncio.sleep(0.1)
            poller.nudge()
            await asyncio.sleep(0.1)
        return times

    assert run_virtual(main()) == [0.1]


def test_a_failing_tick_is_logged_and_the_next_comes(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    async def tick() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("broken")

    async def main() -> None:
        async with AdaptivePoller(tick, lambda: 1.0):
            await asyncio.sleep(1.1)

    with caplog.at_level(logging.ERROR):
        run_virtual(main())
    assert len(calls) == 2
    assert "A poll failed" in caplog.text


def test_stopping_ends_a_running_tick_and_may_be_repeated() -> None:
    async def main() -> str:
        ended: list[str] = []

        async def tick() -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        poller = AdaptivePoller(tick, lambda: 1.0)
        poller.start()
        poller.start()
        await asyncio.sleep(1)
        await poller.stop()
        await poller.stop()
        return ended[0]

    assert run_virtual(main()) == "cancelled"


def test_senseless_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot poll"):
        AdaptivePoller(lambda: None, lambda: 0.0, busy_interval_s=6)


def test_the_watch_tells_each_stuck_task_once() -> None:
    now: list[RunningTask] = []

    def running(longer_than_s: float) -> Any:
        return [t for t in now if t.running_s >= longer_than_s]

    watch = StuckWatch(running, after_s=10)
    now = [RunningTask(0, "f", 1, 11.0), RunningTask(1, "g", 2, 3.0)]
    assert [t.name for t in watch.look()] == ["f"]
    now = [RunningTask(0, "f", 1, 15.0), RunningTask(1, "g", 2, 12.0)]
    assert [t.name for t in watch.look()] == ["g"]
    assert watch.look() == []
    now = [RunningTask(0, "f", 9, 20.0)]  # another task on the same worker
    assert [t.name for t in watch.look()] == ["f"]
