from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path

import psutil
import pytest

from orchestrator_core.errors import PoolClosed
from orchestrator_core.runtime.process_lane import ProcessLane
from orchestrator_core.runtime.worker_pool import WorkStealingPool

WAIT_S = 40.0
CORE = Path(__file__).parents[3] / "core"


def test_calls_run_in_other_processes_and_a_broken_one_is_replaced() -> None:
    with ProcessLane(1) as lane:
        pid = lane.submit(os.getpid).result(WAIT_S)
        assert pid != os.getpid()
        with pytest.raises(ValueError, match="invalid literal"):
            lane.submit(int, "x").result(WAIT_S)
        with pytest.raises(BrokenExecutor):
            lane.submit(os.kill, pid, signal.SIGKILL).result(WAIT_S)
        assert lane.submit(divmod, 7, 2).result(WAIT_S) == (3, 1)
        survivor = lane.submit(os.getpid).result(WAIT_S)
    assert not psutil.pid_exists(survivor)
    with pytest.raises(PoolClosed):
        lane.submit(int)


def test_cancel_of_a_running_subprocess_call_lets_it_end_and_frees_what_waits(
    tmp_path: Path,
) -> None:
    """What a process has begun it ends; what nobody has begun never runs."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ProcessLane(1) as lane:
        running = lane.submit(Path.read_text, pipe)
        waiting = [lane.submit(os.getpid) for _ in range(5)]
        with pipe.open("w") as writer:  # opens when the process has opened the other end
            assert running.cancel()
            assert running.cancel_requested()
            assert waiting[-1].cancel()
            assert waiting[-1].cancelled()
            writer.write("ended")
        assert running.result(WAIT_S) == "ended"
        assert waiting[0].result(WAIT_S) == lane.submit(os.getpid).result(WAIT_S)


def test_closing_ends_a_process_that_does_not_stop() -> None:
    pool = WorkStealingPool(1, processes=1)
    pid = pool.submit_cpu(os.getpid).result(WAIT_S)
    stuck = pool.submit_cpu(time.sleep, 1000)
    pool.close(deadline_s=0.2)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=WAIT_S)
    assert not psutil.pid_exists(pid)
    with pytest.raises((BrokenExecutor, CancelledError)):  # by whether it had begun
        stuck.result(WAIT_S)


def test_its_processes_end_with_a_parent_that_is_killed() -> None:
    script = """
import os, time
from orchestrator_core.runtime.process_lane import ProcessLane
if __name__ == "__main__":
    print(ProcessLane(1).submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(CORE)},
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    _, alive = psutil.wait_procs([child], timeout=WAIT_S)
    assert not alive
