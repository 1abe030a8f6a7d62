"""Hazards that need a script, a process of their own, or many repetitions."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_core.errors import PoolClosed
from orchestrator_core.primitives.injector import Priority
from orchestrator_core.runtime.future import CancelledError, Future
from orchestrator_core.runtime.scheduling import Scheduler, Seat
from orchestrator_core.runtime.worker_pool import WorkStealingPool

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 20.0
CORE = Path(__file__).parents[3] / "core"


class Conducted(Scheduler[str]):
    """Holds a seat's worker up before or after the looks that a test names."""

    def __init__(self, seats: int) -> None:
        super().__init__(seats, lambda _: 0)
        self.looks: Counter[int] = Counter()
        self.stops: dict[tuple[str, int, int], tuple[threading.Event, threading.Event]] = {}

    def stop_at(self, when: str, seat: int, look: int) -> None:
        self.stops[when, seat, look] = (threading.Event(), threading.Event())

    def wait_for(self, when: str, seat: int, look: int) -> None:
        assert self.stops[when, seat, look][0].wait(WAIT_S)

    def let_go(self, when: str, seat: int, look: int) -> None:
        self.stops[when, seat, look][1].set()

    def take(self, seat: Seat[str]) -> str | None:
        self.looks[seat.index] += 1
        look = self.looks[seat.index]
        self._reach("before", seat.index, look)
        entry = super().take(seat)
        self._reach("after", seat.index, look)
        return entry

    def _reach(self, when: str, seat: int, look: int) -> None:
        if (when, seat, look) in self.stops:
            arrived, go_on = self.stops[when, seat, look]
            arrived.set()
            assert go_on.wait(WAIT_S)


def workers_of(scheduler: Scheduler[str]) -> tuple[list[threading.Thread], list[str | None]]:
    got: list[str | None] = []

    def work(seat: Seat[str]) -> None:
        got.append(scheduler.next(seat))

    threads = [threading.Thread(target=work, args=(s,), daemon=True) for s in scheduler.seats]
    return threads, got


def test_a_push_between_the_last_look_and_the_announcement_is_found() -> None:
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


def test_a_wake_up_meant_for_another_entry_is_passed_on() -> None:
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


def until(condition: Any) -> None:
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.001)


def test_a_task_runs_or_is_cancelled_but_never_both() -> None:
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


def test_a_close_from_a_signal_handler_that_interrupts_a_submission() -> None:
    """The handler may interrupt the pool's own code, even inside its lock."""
    script = """
import signal, sys, threading
from orchestrator_core.errors import PoolClosed
from orchestrator_core.runtime.worker_pool import WorkStealingPool
pool = WorkStealingPool(2)
signal.signal(signal.SIGALRM, lambda *_: pool.close(deadline_s=0.2))
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    while True:
        pool.submit(int)
except PoolClosed:
    report = pool.close(10)
    alive = [w for w in pool._workers if w.thread.is_alive()]
    assert not alive and not report.stuck, (alive, report)
    print("closed")
"""
    for _ in range(3):
        assert run(script) == "closed"


def test_a_signal_inside_the_locked_region_does_not_deadlock() -> None:
    script = """
import os, signal
from orchestrator_core.errors import PoolClosed
from orchestrator_core.runtime.worker_pool import WorkStealingPool
pool = WorkStealingPool(1)
signal.signal(signal.SIGUSR1, lambda *_: pool.close(deadline_s=0.2))
with pool._scheduler._lock:
    os.kill(os.getpid(), signal.SIGUSR1)
assert not pool.close(10).stuck
try:
    pool.submit(int)
except PoolClosed:
    print("closed")
"""
    assert run(script) == "closed"


def test_a_pool_that_nobody_closed_does_not_keep_the_process() -> None:
    script = """
import time
from orchestrator_core.runtime.worker_pool import WorkStealingPool
pool = WorkStealingPool(2)
pool.submit(time.sleep, 60, deadline_s=60)
assert pool.submit(str, "left").result() == "left"
print("left")
"""
    assert run(script) == "left"


def test_a_pool_can_be_closed_at_exit() -> None:
    script = """
import atexit
from orchestrator_core.runtime.worker_pool import WorkStealingPool
pool = WorkStealingPool(2)
atexit.register(lambda: print(pool.close(5).stuck == ()))
pool.submit(int).result()
"""
    assert run(script) == "True"


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
        env={"PYTHONPATH": str(CORE)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.fixture
def tiny_switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def storm(workers: int, tasks: int, seed: int, *, stealing: bool) -> None:
    """Outsiders, children, cancellations and a close in the middle: everything adds up."""
    ran: Counter[int] = Counter()
    ran_lock = threading.Lock()
    futures: list[tuple[int, Future[Any]]] = []
    pool = WorkStealingPool(workers, stealing=stealing)

    def mark(number: int, children: int) -> None:
        with ran_lock:
            ran[number] += 1
        try:
            spawned = [pool.submit(int) for _ in range(children)]
        except PoolClosed:
            return
        for child in spawned[: len(spawned) // 2]:
            with suppress(CancelledError):  # the pool may close
                child.result(WAIT_S)

    def outsider(first: int) -> None:
        rng = random.Random(seed + first)
        for number in range(first, first + tasks):
            try:
                future = pool.submit(
                    mark,
                    number,
                    rng.randrange(3),
                    priority=rng.choice(list(Priority)),
                    expected_duration_s=rng.choice([None, None, rng.random()]),
                )
            except PoolClosed:
                return
            futures.append((number, future))
            if rng.random() < 0.2:
                rng.choice(futures)[1].cancel()

    threads = [threading.Thread(target=outsider, args=(i * tasks,)) for i in range(3)]
    for thread in threads:
        thread.start()
    if seed % 2:
        until(lambda: len(futures) > tasks // 2)
        pool.close(WAIT_S)
    for thread in threads:
        thread.join(WAIT_S)
    if not pool.closed:
        for _, future in futures:
            until(future.done)
    assert pool.close(WAIT_S).stuck == ()
    assert all(times == 1 for times in ran.values())
    for number, future in futures:
        assert future.done()
        if not ran[number]:
            assert future.cancelled()
    stats = pool.stats()
    assert stats.queued == 0
    assert stats.busy == 0


@pytest.mark.usefixtures("tiny_switch_interval")
@pytest.mark.parametrize("stealing", [True, False])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_work_adds_up_with_a_tiny_switch_interval(seed: int, stealing: bool) -> None:
    storm(4, 300, seed, stealing=stealing)


@pytest.mark.soak
@pytest.mark.usefixtures("tiny_switch_interval")
def test_storms_add_up_for_a_long_time() -> None:
    for seed in range(40):
        storm(2 + seed % 6, 1000, seed, stealing=seed % 3 != 0)


def test_signals_reach_the_main_thread_only() -> None:
    """The pool's threads rely on nothing being raised into them."""
    caught: list[threading.Thread] = []

    def catch(_number: int, _frame: object) -> None:
        caught.append(threading.current_thread())

    before = signal.signal(signal.SIGUSR1, catch)
    try:
        with WorkStealingPool(2) as pool:
            pool.submit(signal.raise_signal, signal.SIGUSR1).result(WAIT_S)
            until(lambda: caught)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught == [threading.main_thread()]
