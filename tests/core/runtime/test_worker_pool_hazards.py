"""The known hazards of such pools, each by name.

Those of the end are in ``test_worker_pool_shutdown``, that of the last entry in
``test_work_deque``, that of a closed loop in ``test_future``, and that of pooled objects in
``test_object_pool``. ``test_schedules`` explores what here is one schedule.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from core.runtime.conducted import Conducted, workers_of
from core.runtime.pools import WAIT_S, fib, occupied, until
from core.runtime.processes import gone, read_pid
from orchestrator_core.errors import PoolClosed
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.runtime.command import CommandResult, run_command
from orchestrator_core.runtime.future import CancelledError, Future
from orchestrator_core.runtime.pool_task import check_cancelled
from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from pathlib import Path


def test_lost_wake_up_of_a_push_between_the_last_look_and_the_announcement() -> None:
    """The lost wake-up: nobody was idle when the entry came, so that nobody was woken."""
    scheduler = Conducted(1)
    scheduler.stop_at("after", 0, 1)
    (thread,), got = workers_of(scheduler)
    thread.start()
    scheduler.wait_for("after", 0, 1)
    scheduler.push("a")
    scheduler.let_go("after", 0, 1)
    thread.join(WAIT_S)
    assert got == ["a"]


def test_stale_wake_token_is_passed_on() -> None:
    """The stale wake token: a worker is chosen for one entry while it finds another itself."""
    scheduler = Conducted(2)
    for stop in (
        ("after", 0, 1),
        ("after", 1, 1),
        ("before", 1, 2),
        ("after", 1, 2),
        ("after", 0, 2),
    ):
        scheduler.stop_at(*stop)
    threads, got = workers_of(scheduler)
    for thread in threads:
        thread.start()
    scheduler.wait_for("after", 0, 1)
    scheduler.wait_for("after", 1, 1)
    scheduler.push("first")  # neither has announced itself: nobody is woken
    scheduler.let_go("after", 1, 1)
    scheduler.wait_for("before", 1, 2)
    scheduler.let_go("after", 0, 1)
    scheduler.wait_for("after", 0, 2)  # it has announced itself and found the first entry
    scheduler.let_go("before", 1, 2)
    scheduler.wait_for("after", 1, 2)  # it has announced itself earlier and found nothing
    scheduler.push("second")  # chooses the worker that announced itself last
    assert [seat.idle for seat in scheduler.seats] == [False, True]
    scheduler.let_go("after", 1, 2)
    scheduler.let_go("after", 0, 2)
    for thread in threads:
        thread.join(WAIT_S)
    assert sorted(map(str, got)) == ["first", "second"]
    assert not scheduler._idle
    assert all(seat.gate.locked() for seat in scheduler.seats)  # no token is left behind


def test_double_run_against_cancel() -> None:
    ran: list[int] = []
    with WorkStealingPool(4) as pool:
        futures: list[Future[None]] = []
        done = threading.Event()

        def canceller() -> None:
            rng = random.Random(3)
            while not done.is_set():
                if futures:
                    rng.choice(futures).cancel()

        thread = threading.Thread(target=canceller)
        thread.start()
        futures.extend(pool.submit(ran.append, number) for number in range(5_000))
        for future in futures:
            until(future.done)
        done.set()
        thread.join()
        stats = pool.stats()
    counted = Counter(ran)
    assert all(times == 1 for times in counted.values())
    for number, future in enumerate(futures):
        assert (number in counted) != future.cancelled()
    assert stats.executed == len(counted)


def test_starvation_of_outside_work_by_work_that_keeps_spawning() -> None:
    with WorkStealingPool(1) as pool:
        stop = threading.Event()

        def endless() -> None:
            if not stop.is_set():
                pool.submit(endless)

        pool.submit(endless)
        assert pool.submit(str, "served").result(WAIT_S) == "served"
        stop.set()


def test_starvation_of_low_work_by_a_stream_of_high_work() -> None:
    """It ages: after ten seconds of the pool's clock it goes before what is more urgent."""
    now_ns = 0
    order: list[str] = []
    with WorkStealingPool(1, clock_ns=lambda: now_ns) as pool, occupied(pool) as release:
        low = pool.submit(order.append, "low", priority=Priority.LOW)
        now_ns = 11_000_000_000
        high = pool.submit(order.append, "high", priority=Priority.HIGH)
        release.set()
        low.result(WAIT_S)
        high.result(WAIT_S)
    assert order == ["low", "high"]


def test_priority_inversion_by_what_tasks_spawned() -> None:
    """Priority inversion: a worker with a long list of its own must not keep it waiting."""
    order: list[str] = []
    with WorkStealingPool(1) as pool:
        ready, go = threading.Event(), threading.Event()

        def spawner() -> None:
            for _ in range(10):
                pool.submit(order.append, "child")
            ready.set()
            go.wait(WAIT_S)

        pool.submit(spawner)
        ready.wait(WAIT_S)
        pool.submit(order.append, "urgent", priority=Priority.HIGH)
        go.set()
        pool.submit(order.append, "last", priority=Priority.LOW).result(WAIT_S)
    assert order[0] == "urgent"


def test_nested_wait_inside_a_worker(pool: WorkStealingPool) -> None:
    assert pool.submit(fib, pool, 14).result(WAIT_S) == 377


def test_nested_wait_inside_the_only_worker() -> None:
    with WorkStealingPool(1) as pool:
        assert (
            pool.submit(lambda: pool.submit(lambda: pool.submit(int).result()).result()).result(
                WAIT_S
            )
            == 0
        )
        assert pool.submit(fib, pool, 10).result(WAIT_S) == 55


def test_nested_wait_starts_no_unrelated_task() -> None:
    """It could be one that waits for the very task beneath it."""
    with WorkStealingPool(2) as pool:
        release, running = threading.Event(), threading.Event()

        def slow() -> str:
            running.set()
            release.wait(WAIT_S)
            return "slow"

        slow_one = pool.submit(slow)
        running.wait(WAIT_S)
        depends: list[Future[str]] = []
        both_known = threading.Event()

        def waits() -> str:
            both_known.wait(WAIT_S)
            unrelated = pool.submit(lambda: depends[0].result())  # waits for this very task
            depends.append(unrelated)
            return slow_one.result()

        waiter = pool.submit(waits)
        depends.append(waiter)
        both_known.set()
        until(lambda: len(depends) == 2)
        release.set()
        assert waiter.result(WAIT_S) == "slow"
        assert depends[1].result(WAIT_S) == "slow"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError])
def test_base_exception_in_a_task_does_not_end_its_worker(
    pool: WorkStealingPool, kind: type[BaseException]
) -> None:
    def fail() -> None:
        raise kind

    for _ in range(4):
        assert isinstance(pool.submit(fail).exception(WAIT_S), kind)
    assert pool.submit(str, 1).result(WAIT_S) == "1"
    assert pool.stats().failed == 4


def test_base_exception_in_a_callback_does_not_end_its_worker(pool: WorkStealingPool) -> None:
    def fail(_: object) -> None:
        raise SystemExit

    with occupied(pool) as release:
        futures = [pool.submit(int) for _ in range(4)]
        for future in futures:
            future.add_done_callback(fail)
        release.set()
        assert [f.result(WAIT_S) for f in futures] == [0] * 4
    assert pool.submit(str, 1).result(WAIT_S) == "1"


def test_cancel_of_a_running_subprocess(tmp_path: Path) -> None:
    """A cancelled task takes its command along, and all that the command started."""
    endless = (
        f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/pid; while :; do echo; sleep 0.01; done"
    )

    def work() -> CommandResult:
        return run_command(endless, on_output=lambda _: check_cancelled(), grace_s=0.1)

    with WorkStealingPool(1) as pool:
        future = pool.submit(work)
        grandchild = read_pid(tmp_path / "pid")
        assert future.cancel()
        until(future.done)
        assert future.cancelled()
        assert gone(grandchild)
        assert pool.submit(str, 1).result(WAIT_S) == "1"


async def test_cancel_of_a_running_subprocess_by_who_awaits_it(tmp_path: Path) -> None:
    def work() -> CommandResult:
        return run_command(
            f"echo $$ > {tmp_path}/pid; while :; do echo; sleep 0.01; done",
            on_output=lambda _: check_cancelled(),
        )

    async def wait() -> CommandResult:
        return await pool.submit(work)

    with WorkStealingPool(1) as pool:
        waiting = asyncio.ensure_future(wait())
        child = await asyncio.to_thread(read_pid, tmp_path / "pid")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await asyncio.to_thread(gone, child)


def test_fork_with_live_threads_leaves_a_closed_pool_to_the_child(pool: WorkStealingPool) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork here")
    pool.submit(int).result(WAIT_S)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            pool.submit(int)
        except PoolClosed:
            code = 0 if pool.close() and pool.closed else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert pool.submit(str, 1).result(WAIT_S) == "1"


def test_signals_reach_the_main_thread_only() -> None:
    """The pool's threads rely on nothing being raised into them."""
    caught: list[threading.Thread] = []

    def catch(_number: int, _frame: object) -> None:
        caught.append(threading.current_thread())

    before = signal.signal(signal.SIGUSR1, catch)
    try:
        with WorkStealingPool(2) as pool:
            pool.submit(signal.raise_signal, signal.SIGUSR1).result(WAIT_S)
            until(lambda: bool(caught))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught == [threading.main_thread()]
