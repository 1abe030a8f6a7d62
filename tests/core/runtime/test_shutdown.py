"""The end of everything: in order, whatever fails or hangs, from wherever it is called."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_core.errors import PoolClosed
from orchestrator_core.runtime.shutdown import ShutdownManager
from orchestrator_core.runtime.shutdown_report import Ending, Outcome, ShutdownReport


def endings(report: ShutdownReport) -> dict[str, Ending]:
    return {outcome.name: outcome.ending for outcome in report.outcomes}


def run(manager: ShutdownManager) -> ShutdownReport:
    return manager.begin("test").result(30)


@pytest.fixture
def stuck():
    """A close that ends only when the test does."""
    released = threading.Event()
    yield released.wait
    released.set()


@given(st.lists(st.integers(-3, 3), max_size=12))
def test_higher_priority_first_and_the_latest_constructed_first_within_one(
    priorities: list[int],
) -> None:
    manager = ShutdownManager()
    called: list[int] = []
    for index, priority in enumerate(priorities):
        manager.register(str(index), lambda index=index: called.append(index), priority=priority)

    report = run(manager)

    expected = sorted(range(len(priorities)), key=lambda i: (-priorities[i], -i))
    assert called == expected
    assert [outcome.name for outcome in report.outcomes] == [str(i) for i in expected]
    assert report.clean


async def test_coroutines_are_awaited_on_the_loop_that_they_were_registered_on() -> None:
    manager = ShutdownManager()
    seen: list[object] = []

    async def close() -> None:
        await asyncio.sleep(0)
        seen.append(asyncio.get_running_loop())

    manager.register("async", close)
    report = await manager.shutdown("test")
    assert report.clean
    assert seen == [asyncio.get_running_loop()]


def test_a_coroutine_whose_loop_has_ended_is_run_on_a_loop_of_its_own() -> None:
    manager = ShutdownManager()
    closed: list[str] = []

    async def close() -> None:
        await asyncio.sleep(0)
        closed.append("closed")

    async def construct() -> None:
        manager.register("async", close)

    asyncio.run(construct())
    assert run(manager).clean
    assert closed == ["closed"]


def test_every_handler_runs_whatever_the_others_raise() -> None:
    manager = ShutdownManager()
    called: list[str] = []

    def fail(error: BaseException) -> None:
        called.append("fail")
        raise error

    manager.register("last", lambda: called.append("last"))
    manager.register("exit", lambda: fail(SystemExit(3)))
    manager.register("error", lambda: fail(ValueError("no")))
    report = run(manager)
    assert called == ["fail", "fail", "last"]
    assert endings(report) == {
        "error": Ending.FAILED,
        "exit": Ending.FAILED,
        "last": Ending.DONE,
    }
    assert not report.clean
    assert isinstance(report.outcomes[0].error, ValueError)


def test_a_stuck_handler_is_left_behind_and_the_last_resort_is_called(stuck) -> None:
    forced: list[str] = []
    manager = ShutdownManager(lambda: forced.append("killed"))
    manager.register("after", lambda: None)
    manager.register("stuck", stuck, timeout_s=0.05)
    report = run(manager)
    assert endings(report) == {"stuck": Ending.STUCK, "after": Ending.DONE}
    assert report.forced
    assert forced == ["killed"]
    assert "stuck stuck" in str(report)


async def test_a_stuck_coroutine_is_cancelled_and_left_behind() -> None:
    manager = ShutdownManager()
    cancelled = asyncio.Event()

    async def close() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    manager.register("stuck", close, timeout_s=0.05)
    report = await manager.shutdown("test")
    assert endings(report) == {"stuck": Ending.STUCK}
    async with asyncio.timeout(30):
        await cancelled.wait()


async def test_handlers_run_while_the_loop_is_blocked() -> None:
    """The deadlines are kept by the shutdown's thread, not by the loop that may hang."""
    manager = ShutdownManager()
    manager.register("sync", lambda: None)

    async def close() -> None:
        raise AssertionError("the loop is blocked")

    manager.register("async", close, timeout_s=0.05)
    report = manager.begin("test").result(30)  # blocks the loop on purpose
    assert endings(report) == {"async": Ending.STUCK, "sync": Ending.DONE}
    await asyncio.sleep(0.01)  # the loop runs again and drops what was cancelled


def test_all_handlers_are_started_before_the_time_for_all_is_over(stuck) -> None:
    started: list[str] = []

    def close(name: str) -> None:
        started.append(name)
        stuck()

    manager = ShutdownManager(total_timeout_s=0.5, handler_timeout_s=0.25)
    manager.register("quick", lambda: started.append("quick"))
    for index in range(6):
        manager.register(str(index), lambda name=str(index): close(name))
    report = run(manager)
    assert sorted(started) == ["0", "1", "2", "3", "4", "5", "quick"]
    assert endings(report)["quick"] is Ending.DONE
    assert len(report.outcomes) == 7


def test_slow_handlers_are_reported() -> None:
    now = [0.0]
    manager = ShutdownManager(clock=lambda: now[0])
    manager.register("slow", lambda: now.append(now.pop() + 4.0))
    report = run(manager)
    assert report.outcomes == (Outcome("slow", Ending.SLOW, 4.0),)
    assert report.clean


def test_a_second_call_returns_the_same_report_and_calls_nothing_again() -> None:
    manager = ShutdownManager()
    called: list[int] = []
    manager.register("once", lambda: called.append(1))
    first = manager.begin("first")
    assert manager.begin("second") is first
    assert first.result(30).reason == "first"
    assert called == [1]


def test_many_threads_at_once_shut_down_once() -> None:
    manager = ShutdownManager()
    called: list[int] = []
    manager.register("once", lambda: called.append(1))
    barrier = threading.Barrier(8)

    def call() -> None:
        barrier.wait(5)
        manager.begin("race")

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run(manager).clean
    assert called == [1]


async def test_a_handler_may_itself_ask_for_the_shutdown() -> None:
    manager = ShutdownManager()
    manager.register("asks", lambda: manager.begin("again"))
    assert (await manager.shutdown("first")).clean


async def test_cancelling_the_wait_stops_nothing() -> None:
    manager = ShutdownManager()
    entered, leave = threading.Event(), threading.Event()

    def close() -> None:
        entered.set()
        leave.wait(5)

    manager.register("slow", close)
    waiting = asyncio.create_task(manager.shutdown("test"))
    await asyncio.to_thread(entered.wait, 5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    leave.set()
    assert (await manager.shutdown("again")).clean


def test_what_is_registered_during_the_shutdown_is_closed_and_later_is_refused() -> None:
    manager = ShutdownManager()
    called: list[str] = []
    manager.register("first", lambda: manager.register("late", lambda: called.append("late")))
    assert run(manager).clean
    assert called == ["late"]
    with pytest.raises(PoolClosed, match="too late came too late"):
        manager.register("too late", lambda: None)


def test_a_failing_last_resort_does_not_keep_the_report_back(stuck) -> None:
    def fail() -> None:
        raise OSError("cannot kill")

    manager = ShutdownManager(fail)
    manager.register("stuck", stuck, timeout_s=0.01)
    assert run(manager).forced


@pytest.mark.parametrize("where", ["signal", "atexit", "worker"])
def test_it_can_be_called_from(where: str) -> None:
    program = textwrap.dedent(
        """
        import atexit, os, signal, sys, threading, time
        from orchestrator_core.runtime.shutdown import ShutdownManager
        manager = ShutdownManager()
        manager.register("b", lambda: os.write(1, b"b"))
        manager.register("a", lambda: os.write(1, b"a"))
        def on_signal(*_):
            manager.begin("signal").result()
            sys.exit(0)
        if sys.argv[1] == "signal":
            signal.signal(signal.SIGTERM, on_signal)
            os.write(1, b"r")
            while True: time.sleep(0.01)
        if sys.argv[1] == "atexit":
            os.write(1, b"r")
            atexit.register(lambda: manager.begin("exit").result())
        else:
            os.write(1, b"r")
            worker = threading.Thread(target=lambda: manager.begin("worker").result())
            worker.start(); worker.join()
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-c", program, where], stdout=subprocess.PIPE, env=environment
    )
    assert child.stdout is not None
    assert child.stdout.read(1) == b"r"
    if where == "signal":
        child.send_signal(signal.SIGTERM)
    output, _ = child.communicate(timeout=30)
    assert output == b"ab"
    assert child.returncode == 0


@pytest.mark.soak
def test_three_hundred_cycles_leave_no_thread() -> None:
    before = threading.active_count()
    for _ in range(300):
        manager = ShutdownManager()
        for index in range(5):
            manager.register(str(index), lambda: None)
        assert run(manager).clean
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
