from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.runtime.virtual_time import VirtualTimeLoop, now_s, run_virtual
from orchestrator_core.errors import (
    AcquireTimeout,
    AgentError,
    CircuitOpen,
    EditRefused,
    MemoryPressure,
    PoolClosed,
    StaleEdit,
    TaskTextError,
    TokenReleased,
    ToolCrashed,
    ToolRejected,
)
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.runtime.circuit import CircuitBreaker, CircuitState
from orchestrator_core.runtime.concurrency import ConcurrencyController
from orchestrator_core.runtime.concurrency_token import ConcurrencyToken


def controller(**options: Any) -> ConcurrencyController:
    options.setdefault("memory", lambda: 0.1)
    return ConcurrencyController(**options)


def virtual(**options: Any) -> ConcurrencyController:
    """On the running virtual loop's clock."""
    return controller(clock_s=now_s, circuit=lambda: CircuitBreaker(clock_s=now_s), **options)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


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


def test_a_token_releases_itself_after_six_hundred_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        subject = virtual()
        token = await subject.acquire("commander")
        await asyncio.sleep(599)
        assert not token.released
        await asyncio.sleep(2)
        assert token.released
        (await subject.acquire("commander", wait_limit_s=0.1)).release()
        with pytest.raises(TokenReleased, match="time was up"):
            token.release()

    with caplog.at_level(logging.WARNING):
        run_virtual(main())
    assert "was held for 600" in caplog.text


def test_a_token_is_kept_as_long_as_its_holder_is_at_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        subject = virtual()
        async with subject.acquire("worker", backend="api") as token:
            await asyncio.sleep(599)
            with token.kept():
                await asyncio.sleep(2000)
                with token.kept():
                    await asyncio.sleep(2000)
                await asyncio.sleep(2000)
                assert subject.stats()["worker"].active == 1
            await asyncio.sleep(599)
            assert not token.released
        assert subject.stats()["worker"].active == 0
        lost = await subject.acquire("worker", backend="api")
        with lost.kept():
            await asyncio.sleep(1000)
        await asyncio.sleep(599)
        assert not lost.released
        await asyncio.sleep(2)
        assert lost.released

    with caplog.at_level(logging.WARNING):
        run_virtual(main())
    assert caplog.text.count("was held for 600") == 1


async def test_a_released_token_leaves_no_timer_behind() -> None:
    subject = controller()
    for _ in range(5):
        async with subject.acquire("worker") as token:
            with token.kept():
                pass
    token = await subject.acquire("worker")
    with token.kept():
        await asyncio.to_thread(token.release)
    await settle()
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [t for t in timers if not t.cancelled()] == []


async def test_a_token_cannot_be_released_twice() -> None:
    subject = controller()
    token = await subject.acquire("worker")
    token.release()
    with pytest.raises(TokenReleased, match="already"):
        token.release()
    assert subject.stats()["worker"].active == 0


async def test_leaving_the_block_after_an_explicit_release_is_fine() -> None:
    subject = controller()
    async with subject.acquire("worker") as token:
        token.release()
    with await subject.acquire("worker") as held:
        assert not held.released
    assert held.released
    assert subject.stats()["worker"].active == 0


async def test_limits_follow_success_and_failure_and_wake_who_waits() -> None:
    subject = controller()
    tokens = [await subject.acquire("worker") for _ in range(10)]
    waiting = asyncio.ensure_future(subject.acquire("worker").__aenter__())
    also = asyncio.ensure_future(subject.acquire("worker").__aenter__())
    await settle()
    for token in tokens[:3]:
        token.release(True)
    await settle()
    assert subject.stats()["worker"].limit == 11
    assert waiting.done()
    assert also.done()
    for token in tokens[3:5]:
        token.release(False)
    assert subject.stats()["worker"].limit == 10
    for token in (*tokens[5:], waiting.result(), also.result()):
        token.release(None)
    assert subject.stats()["worker"].limit == 10


async def test_a_raised_limit_wakes_who_waits() -> None:
    subject = controller(roles={"worker": 1})
    held = await subject.acquire("worker")
    waiting = asyncio.ensure_future(subject.acquire("worker").__aenter__())
    await settle()
    assert not waiting.done()
    subject.resize("role", "worker", 2)
    (await waiting).release()
    held.release()


async def test_a_configured_limit_and_the_one_commander_are_never_exceeded() -> None:
    subject = controller(roles={"worker": 2})
    for _ in range(12):
        for role in ("commander", "worker", "planner"):
            async with subject.acquire(role):
                pass
    limits = {role: s.limit for role, s in subject.stats().items()}
    assert limits == {"commander": 1, "worker": 2, "planner": 14, "reviewer": 10}


async def test_without_auto_scaling_limits_stay() -> None:
    subject = controller(auto_scale=False)
    for _ in range(9):
        async with subject.acquire("worker"):
            pass
    assert subject.stats()["worker"].limit == 10


async def test_an_exception_counts_as_failure_and_a_cancellation_as_nothing() -> None:
    subject = controller()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            async with subject.acquire("worker"):
                raise ValueError("broken")
    assert subject.stats()["worker"].limit == 9
    for _ in range(4):
        with pytest.raises(asyncio.CancelledError):
            async with subject.acquire("worker"):
                raise asyncio.CancelledError
    assert subject.stats()["worker"].limit == 9
    assert subject.stats()["worker"].circuit is CircuitState.CLOSED


@pytest.mark.parametrize(
    "error",
    [
        TaskTextError("no verb understands this"),
        StaleEdit("a.py"),
        EditRefused("the editor refused"),
        ToolRejected("the pattern is wrong"),
        AcquireTimeout("no slot"),
        PoolClosed("the end has begun"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_nobodys_fault_moves_no_limit_and_opens_no_circuit(error: Exception) -> None:
    """Five typing errors must not keep the planner from the sixth text."""
    subject = controller()
    for _ in range(6):
        with pytest.raises(type(error)):
            async with subject.acquire("planner"):
                raise error
    stats = subject.stats()["planner"]
    assert (stats.limit, stats.circuit) == (10, CircuitState.CLOSED)


@pytest.mark.parametrize(
    "error",
    [AgentError("no answer"), ToolCrashed("gone"), TimeoutError(), ValueError("a mistake")],
    ids=lambda error: type(error).__name__,
)
async def test_failures_of_who_works_lower_its_limit_and_open_its_circuit(error: Exception) -> None:
    subject = controller()
    for _ in range(5):
        with pytest.raises(type(error)):
            async with subject.acquire("planner", backend="api"):
                raise error
    stats = subject.stats()["planner"]
    assert (stats.limit, stats.circuit) == (8, CircuitState.OPEN)
    assert subject.stats("backend")["api"].circuit is CircuitState.OPEN


def test_a_probe_that_says_nothing_makes_room_for_the_next_probe() -> None:
    async def main() -> None:
        subject = virtual()
        for _ in range(5):
            (await subject.acquire("planner")).release(False)
        await asyncio.sleep(30)
        for _ in range(3):
            (await subject.acquire("planner")).release(None)
            assert subject.stats()["planner"].circuit is CircuitState.HALF_OPEN
        for _ in range(2):
            (await subject.acquire("planner")).release(True)
        assert subject.stats()["planner"].circuit is CircuitState.CLOSED

    run_virtual(main())


def test_five_failures_refuse_everybody_for_thirty_seconds_then_admit_one() -> None:
    async def main() -> None:
        subject = virtual(backends={"api": 1})
        held = await subject.acquire("planner", backend="api")
        waiting = asyncio.ensure_future(subject.acquire("planner", backend="api").__aenter__())
        await settle()
        for _ in range(4):
            (await subject.acquire("planner")).release(False)
        held.release(False)
        with pytest.raises(CircuitOpen, match=r"planner failed too often.*in 30 s"):
            await waiting
        with pytest.raises(CircuitOpen):
            await subject.acquire("planner")
        (await subject.acquire("worker")).release()
        await asyncio.sleep(30)
        assert subject.stats()["planner"].circuit is CircuitState.HALF_OPEN
        outcomes = await asyncio.gather(
            *[subject.acquire("planner").__aenter__() for _ in range(5)], return_exceptions=True
        )
        probes = [o for o in outcomes if isinstance(o, ConcurrencyToken)]
        assert len(probes) == 1
        assert sum(isinstance(o, CircuitOpen) for o in outcomes) == 4
        probes[0].release(True)
        (await subject.acquire("planner")).release(True)
        assert subject.stats()["planner"].circuit is CircuitState.CLOSED

    run_virtual(main())


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


class ControllerMachine(RuleBasedStateMachine):
    """The controller beside a model of its slots, on a clock that the test moves."""

    @initialize()
    def open(self) -> None:
        self.loop = VirtualTimeLoop()
        self.subject = controller(
            roles={"worker": 2, "planner": 3},
            backends={"api": 2},
            wait_limit_s=10,
            hold_limit_s=600,
            clock_s=self.loop.time,
            circuit=lambda: CircuitBreaker(clock_s=self.loop.time),
        )
        self.held: list[ConcurrencyToken] = []
        self.waiting: list[tuple[asyncio.Task[ConcurrencyToken], str]] = []

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            for task, _ in self.waiting:
                task.cancel()
            self.loop.run_until_complete(settle())
            for task, _ in self.waiting:
                assert task.cancelled() or task.exception() is None
                if not task.cancelled():
                    self.held.append(task.result())
            for token in self.held:
                token.release(None)
            assert all(s.active == 0 for s in self.subject.stats().values())
            assert all(s.waiting == 0 for s in self.subject.stats().values())
            self.loop.run_until_complete(settle())
            self.loop.close()

    def _collect(self) -> None:
        self.loop.run_until_complete(settle())
        still: list[Any] = []
        for task, role in self.waiting:
            if not task.done():
                still.append((task, role))
            elif not task.cancelled() and task.exception() is None:
                self.held.append(task.result())
        self.waiting = still
        self.held = [t for t in self.held if not t.released]

    @rule(
        role=st.sampled_from(["worker", "planner"]),
        backend=st.sampled_from([None, "api"]),
        priority=st.sampled_from(Priority),
    )
    def ask(self, role: str, backend: str | None, priority: Priority) -> None:
        acquiring = self.subject.acquire(role, backend=backend, priority=priority)
        self.waiting.append((self.loop.create_task(acquiring.__aenter__()), role))
        self._collect()

    @rule(number=st.integers(0, 10), succeeded=st.sampled_from([True, False, None]))
    def give_back(self, number: int, succeeded: bool | None) -> None:
        if self.held:
            token = self.held.pop(number % len(self.held))
            token.release(succeeded)
            with pytest.raises(TokenReleased):
                token.release()
        self._collect()

    @rule(number=st.integers(0, 10))
    def give_up(self, number: int) -> None:
        if self.waiting:
            self.waiting[number % len(self.waiting)][0].cancel()
        self._collect()

    @rule(seconds=st.sampled_from([1.0, 11.0, 31.0, 601.0]))
    def time_passes(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self._collect()

    @invariant()
    def slots_add_up(self) -> None:
        if not hasattr(self, "subject"):
            return
        stats = {**self.subject.stats("role"), **self.subject.stats("backend")}
        held = [name for token in self.held for _, name in token.keys]
        for name, maximum in (("worker", 2), ("planner", 3), ("api", 2)):
            if name in stats:
                assert stats[name].active == held.count(name)
                assert stats[name].active <= maximum
        assert sum(stats[r].waiting for r in ("worker", "planner")) == len(self.waiting)

    @invariant()
    def nobody_waits_for_what_is_free(self) -> None:
        if not hasattr(self, "subject") or "api" not in self.subject.stats("backend"):
            return
        roles, api = self.subject.stats(), self.subject.stats("backend")["api"]
        if api.active < api.limit:
            for _, role in self.waiting:
                assert roles[role].active >= roles[role].limit or roles[role].waiting == 0


TestController = ControllerMachine.TestCase
TestController.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
