"""The ends of the tool pool's processes: idle, grown too large, or with the pool."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from core.runtime.tool_bench import WAIT_S, Bench, eventually
from orchestrator_core.errors import (
    PoolClosed,
)


def test_idle_processes_end(bench: Bench) -> None:
    pool = bench.pool(idle_s=0.1)
    pid = pool.submit("echo").result(WAIT_S)["pid"]
    eventually(lambda: not psutil.pid_exists(pid))
    eventually(lambda: pool.stats().processes == 0)
    assert pool.submit("echo").result(WAIT_S)["pid"] != pid
    assert pool.stats().restarts == 0


def test_a_process_that_grew_too_large_is_replaced(bench: Bench) -> None:
    pool = bench.pool(growth_limit_bytes=30_000_000)
    pool.submit("echo").result(WAIT_S)
    old = pool.submit("grow", {"bytes": 50_000_000}).result(WAIT_S)["pid"]
    deadline = time.monotonic() + WAIT_S
    while pool.submit("echo").result(WAIT_S)["pid"] == old:
        assert time.monotonic() < deadline
    eventually(lambda: not psutil.pid_exists(old))
    assert pool.stats().restarts == 1


def test_a_process_that_holds_much_on_purpose_is_kept(bench: Bench) -> None:
    pool = bench.pool(growth_limit_bytes=30_000_000)
    old = pool.submit("echo").result(WAIT_S)["pid"]
    pool.submit("hold", {"bytes": 100_000_000}).result(WAIT_S)
    eventually(lambda: pool.submit("statuses").result(WAIT_S)["asked"] > 0)
    assert pool.submit("echo").result(WAIT_S)["pid"] == old
    pool.submit("grow", {"bytes": 50_000_000}).result(WAIT_S)
    eventually(lambda: pool.submit("echo").result(WAIT_S)["pid"] != old)
    assert pool.stats().restarts == 1


def test_a_process_that_grows_while_it_works_is_replaced_after_its_calls(bench: Bench) -> None:
    pool = bench.pool(growth_limit_bytes=30_000_000)
    old = pool.submit("echo").result(WAIT_S)["pid"]
    working = pool.submit("wait", {"seconds": 600})
    pool.submit("grow", {"bytes": 50_000_000}).result(WAIT_S)
    eventually(lambda: pool.submit("echo").result(WAIT_S)["pid"] != old)
    assert psutil.pid_exists(old)
    assert working.cancel()
    eventually(lambda: not psutil.pid_exists(old))


def test_a_closed_pool_refuses_and_leaves_nothing(bench: Bench) -> None:
    pool = bench.pool(max_processes=1, calls_per_process=1)
    pool.submit("echo").result(WAIT_S)
    running, waiting = pool.submit("wait", {"seconds": 600}), pool.submit("echo")
    pool.close()
    for call in (running, waiting):
        with pytest.raises(PoolClosed):
            call.result(WAIT_S)
    with pytest.raises(PoolClosed):
        pool.submit("echo")
    assert not any(psutil.pid_exists(pid) for pid in bench.starts())


def test_closing_kills_a_process_that_hangs(bench: Bench) -> None:
    pool = bench.pool(stop_s=0.2)
    pool.submit("echo").result(WAIT_S)
    call = pool.submit("hang")
    pool.close()
    with pytest.raises(PoolClosed):
        call.result(WAIT_S)
    assert not any(psutil.pid_exists(pid) for pid in bench.starts())


def test_closing_a_pool_that_is_still_starting_leaves_nothing(bench: Bench) -> None:
    for _ in range(5):
        pool = bench.pool()
        call = pool.submit("echo")
        pool.close()
        with pytest.raises(PoolClosed):
            call.result(WAIT_S)


def test_processes_die_with_a_parent_that_is_killed(bench: Bench) -> None:
    script = (
        "import sys\n"
        "from orchestrator_core.runtime.tool_pool import RustToolPool\n"
        "pool = RustToolPool(sys.argv[1], sys.argv[2])\n"
        "pool.submit('echo').result(30)\n"
        "pool.submit('hang')\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", script, str(bench.binary), str(bench.folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        parent.kill()
    (pid,) = bench.starts()
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")
