"""Hazards of the end of a worker pool, each by name."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from core.runtime.conducted import Conducted, workers_of
from core.runtime.pools import WAIT_S, until
from orchestrator_core.errors import PoolClosed
from orchestrator_core.runtime.future import Future
from orchestrator_core.runtime.worker_pool import WorkStealingPool

CORE = Path(__file__).parents[3] / "core"


@pytest.mark.parametrize("look", [1, 2], ids=["before it is idle", "before it sleeps"])
def test_task_lost_between_the_scan_and_the_stop(look: int) -> None:
    """A worker has looked and found nothing; then an entry comes, and then the end."""
    scheduler = Conducted(1)
    scheduler.stop_at("after", 0, look)
    (thread,), got = workers_of(scheduler)
    thread.start()
    scheduler.wait_for("after", 0, look)
    scheduler.push("late")
    left = scheduler.stop()
    scheduler.let_go("after", 0, look)
    thread.join(WAIT_S)
    assert (left, got) == (["late"], [None])


def test_task_lost_between_the_scan_and_the_stop_in_many_tries() -> None:
    """Nothing may be lost between a worker's last look and the stop."""
    for _ in range(30):
        pool = WorkStealingPool(2)
        futures: list[Future[int]] = []
        going = threading.Event()

        def feed(pool=pool, futures=futures, going=going) -> None:
            try:
                for _ in range(100_000):
                    futures.append(pool.submit(int))
                    going.set()
            except PoolClosed:
                return

        feeder = threading.Thread(target=feed)
        feeder.start()
        going.wait(WAIT_S)
        pool.close(WAIT_S)
        feeder.join(WAIT_S)
        for future in futures:
            assert future.exception(WAIT_S) is None if not future.cancelled() else True
        stats = pool.stats()
        assert stats.submitted == len(futures)
        assert stats.executed == sum(not f.cancelled() for f in futures)


def test_shutdown_from_a_worker(pool: WorkStealingPool) -> None:
    assert pool.submit(pool.close).result(WAIT_S) is not None
    until(lambda: not any(w.thread.is_alive() for w in pool._workers))


def test_shutdown_refuses_what_a_running_task_spawns(pool: WorkStealingPool) -> None:
    outcomes: list[Any] = []

    def spawner() -> None:
        until(lambda: pool.closed)
        try:
            outcomes.append(pool.submit(int))
        except PoolClosed:
            outcomes.append("refused")

    future = pool.submit(spawner)
    pool.close(WAIT_S)
    assert future.cancelled() or outcomes == ["refused"]


def test_shutdown_from_a_signal_handler_that_interrupts_a_submission() -> None:
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


def test_shutdown_from_a_signal_handler_inside_the_locked_region() -> None:
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


def test_shutdown_at_exit_of_a_pool_that_nobody_closed() -> None:
    script = """
import time
from orchestrator_core.runtime.worker_pool import WorkStealingPool
pool = WorkStealingPool(2)
pool.submit(time.sleep, 60, deadline_s=60)
assert pool.submit(str, "left").result() == "left"
print("left")
"""
    assert run(script) == "left"


def test_shutdown_at_exit() -> None:
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
