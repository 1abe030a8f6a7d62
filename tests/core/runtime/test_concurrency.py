"""Who may work when: limits of roles, backends and models, and the order of who waits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from core.runtime.controllers import controller, settle, virtual
from core.runtime.virtual_time import now_s, run_virtual
from orchestrator_core.errors import (
    AcquireTimeout,
    MemoryPressure,
)
from orchestrator_core.primitives.injector import Priority


def test_defaults_are_one_commander_and_ten_of_the_others() -> None:
    limits = {role: s.limit for role, s in controller().stats().items()}
    assert limits == {"commander": 1, "planner": 10, "worker": 10, "reviewer": 10}


async def test_a_limit_of_two_never_runs_three() -> None:
    subject = controller(roles={"worker": 2})
    running = peak = 0

    async def work() -> None:
        nonlocal running, peak
        async with subject.acquire("worker"):
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*[work() for _ in range(50)])
    assert peak == 2
    assert subject.stats()["worker"].active == 0


def test_a_limit_of_two_never_runs_three_from_several_loops() -> None:
    subject = controller(roles={"worker": 2})
    lock = threading.Lock()
    running = 0
    peaks: list[int] = []

    async def work() -> None:
        nonlocal running
        async with subject.acquire("worker"):
            with lock:
                running += 1
                peaks.append(running)
            await asyncio.sleep(0)
            with lock:
                running -= 1

    async def main() -> None:
        await asyncio.gather(*[work() for _ in range(60)])

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(peaks) == 180
    assert max(peaks) == 2


async def test_backend_and_model_have_limits_of_their_own() -> None:
    subject = controller(backends={"local": 1}, models={"small": 1})
    first = await subject.acquire("worker", backend="local", model="big")
    other_backend = await subject.acquire("worker", backend="api", model="small")
    with pytest.raises(AcquireTimeout, match="backend local"):
        await subject.acquire("worker", backend="local", wait_limit_s=0.01)
    with pytest.raises(AcquireTimeout, match="model small"):
        await subject.acquire("reviewer", model="small", wait_limit_s=0.01)
    assert subject.stats("backend")["local"].active == 1
    first.release()
    other_backend.release()
    assert subject.stats("model")["small"].active == 0


async def test_who_wants_something_free_goes_before_who_does_not() -> None:
    subject = controller(backends={"local": 1})
    held = await subject.acquire("worker", backend="local")
    waiting = asyncio.ensure_future(subject.acquire("worker", backend="local").__aenter__())
    await settle()
    (await subject.acquire("worker", wait_limit_s=5)).release()
    held.release()
    (await waiting).release()


async def test_waiters_are_served_by_priority_then_age() -> None:
    subject = controller(roles={"worker": 1})
    held = await subject.acquire("worker")
    order: list[str] = []

    async def work(name: str, priority: Priority) -> None:
        async with subject.acquire("worker", priority=priority):
            order.append(name)

    tasks = [
        asyncio.ensure_future(work(name, priority))
        for name, priority in [
            ("low", Priority.LOW),
            ("first", Priority.NORMAL),
            ("second", Priority.NORMAL),
            ("high", Priority.HIGH),
        ]
    ]
    await settle()
    assert subject.stats()["worker"].waiting == 4
    held.release()
    await asyncio.gather(*tasks)
    assert order == ["high", "first", "second", "low"]


def test_an_old_low_request_goes_before_a_young_high_one() -> None:
    async def main() -> list[str]:
        subject = virtual(roles={"worker": 1}, patience_s=30)
        held = await subject.acquire("worker")
        order: list[str] = []

        async def work(name: str, priority: Priority) -> None:
            async with subject.acquire("worker", priority=priority):
                order.append(name)

        old = asyncio.ensure_future(work("old low", Priority.LOW))
        await asyncio.sleep(61)
        young = asyncio.ensure_future(work("young high", Priority.HIGH))
        await settle()
        held.release()
        await asyncio.gather(old, young)
        return order

    assert run_virtual(main()) == ["old low", "young high"]


def test_who_needs_two_things_is_not_starved_by_those_who_need_one() -> None:
    """After its patience a request holds back a slot that is free too early for it."""

    async def main() -> int:
        subject = virtual(roles={"worker": 1}, backends={"local": 1}, patience_s=30)
        backend = await subject.acquire("reviewer", backend="local")
        role = await subject.acquire("worker")
        needs_both = asyncio.ensure_future(subject.acquire("worker", backend="local").__aenter__())
        await settle()
        others = 0
        while True:
            await asyncio.sleep(1)
            role.release()
            another = asyncio.ensure_future(subject.acquire("worker").__aenter__())
            await settle()
            if not another.done():
                break
            role = another.result()
            others += 1
        backend.release()
        (await needs_both).release()
        (await another).release()
        return others

    assert run_virtual(main()) == 29


def test_waiting_is_limited_to_three_hundred_seconds() -> None:
    async def main() -> float:
        subject = virtual()
        async with subject.acquire("commander"):
            with pytest.raises(AcquireTimeout, match="role commander"):
                await subject.acquire("commander")
            assert subject.stats()["commander"].waiting == 0
            return now_s()

    assert run_virtual(main()) == 300


async def test_low_work_is_refused_while_memory_is_short() -> None:
    share = 0.81
    subject = controller(memory=lambda: share)
    with pytest.raises(MemoryPressure, match="81%"):
        await subject.acquire("worker", priority=Priority.LOW)
    (await subject.acquire("worker")).release()
    share = 0.8
    (await subject.acquire("worker", priority=Priority.LOW)).release()


async def test_cancelling_who_waits_withdraws_the_request() -> None:
    subject = controller(roles={"worker": 1})
    held = await subject.acquire("worker")
    waiting = asyncio.ensure_future(subject.acquire("worker").__aenter__())
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert subject.stats()["worker"].waiting == 0
    held.release()
    assert subject.stats()["worker"].active == 0


async def test_a_slot_given_to_a_task_that_is_being_cancelled_is_not_lost() -> None:
    subject = controller(roles={"worker": 1})
    held = await subject.acquire("worker")
    waiting = asyncio.ensure_future(subject.acquire("worker").__aenter__())
    await settle()
    held.release()  # the slot is the waiting task's now, which does not know it yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert subject.stats()["worker"].active == 0
