"""The editor's process watched, and our own end enforced."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest

from orchestrator_core.runtime import watchdog
from orchestrator_core.runtime.watchdog import HardExit, ProcessWatch


@pytest.fixture(params=["pidfd", "polling"])
def kind(request, monkeypatch) -> str:
    if request.param == "polling":
        monkeypatch.setattr(watchdog, "_open_pidfd", {}.get)
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("no pidfd here")
    return request.param


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        yield child
        child.kill()


def test_the_death_of_the_process_is_reported_once(kind, sleeper) -> None:
    died = threading.Event()
    calls: list[int] = []

    def on_death() -> None:
        calls.append(1)
        died.set()

    with ProcessWatch(sleeper.pid, on_death, poll_s=0.01) as watch:
        assert watch.watching
        assert not died.is_set()
        sleeper.kill()  # not waited for: a zombie counts as dead
        assert died.wait(5)
    assert calls == [1]


def test_a_closed_watch_reports_nothing_and_leaves_no_thread(kind, sleeper) -> None:
    calls: list[int] = []
    descriptors = len(os.listdir("/proc/self/fd"))
    watch = ProcessWatch(sleeper.pid, lambda: calls.append(1), poll_s=0.01)
    watch.close()
    watch.close()
    assert not watch.watching
    sleeper.kill()
    sleeper.wait(5)
    assert calls == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("pid", [2**22 + 7, -1, 0, 2**70])
def test_a_process_that_is_not_there_is_not_watched(kind, pid) -> None:
    if pid == 0 and kind == "polling":
        pytest.skip("0 is a process to psutil on some systems")
    with ProcessWatch(pid, lambda: pytest.fail("it was never there")) as watch:
        assert not watch.watching


def test_a_hard_exit_calls_the_last_resort_and_ends_the_process(capfd) -> None:
    ended = threading.Event()
    order: list[object] = []

    def end_process(code: int) -> None:
        order.append(code)
        ended.set()

    hard_exit = HardExit(lambda: order.append("killed"), end_process=end_process)
    hard_exit.arm(0.01, 7)
    assert ended.wait(5)
    hard_exit.disarm()
    assert order == ["killed", 7]
    assert "Thread 0x" in capfd.readouterr().err


def test_a_disarmed_hard_exit_does_nothing() -> None:
    hard_exit = HardExit(end_process=lambda _: pytest.fail("disarmed in time"))
    hard_exit.arm(60, 1)
    hard_exit.arm(0.0, 2)
    hard_exit.disarm()


@pytest.mark.parametrize("hang", ["while True: pass", "threading.Event().wait()"])
def test_a_process_whose_main_thread_hangs_is_ended(hang: str) -> None:
    program = textwrap.dedent(
        f"""
        import threading
        from orchestrator_core.runtime.watchdog import HardExit
        HardExit().arm(0.1, 5)
        {hang}
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 5
    assert b"Thread 0x" in done.stderr  # where everybody was
