"""The tool pool with servers that crash, hang, talk nonsense or never start."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest

from core.runtime.tool_bench import WAIT_S, Bench, eventually
from orchestrator_core.errors import (
    ToolCrashed,
    ToolTimeout,
    ToolUnavailable,
)
from orchestrator_core.runtime.future import CancelledError
from orchestrator_core.runtime.tool_pool import RustToolPool


def test_a_crash_fails_its_calls_at_once_and_the_next_gets_a_new_process(bench: Bench) -> None:
    pool = bench.pool()
    old = pool.submit("echo").result(WAIT_S)["pid"]
    bystander = pool.submit("wait", {"seconds": 600}, timeout_s=600)
    crashing = pool.submit("crash", timeout_s=600)
    for future in (crashing, bystander):
        with pytest.raises(ToolCrashed, match=r"signal 9.*about to fall"):
            future.result(WAIT_S)
    assert pool.submit("echo").result(WAIT_S)["pid"] != old
    assert pool.stats().restarts == 1


def test_killing_the_process_from_outside_fails_the_call_at_once(bench: Bench) -> None:
    pool = bench.pool()
    pid = pool.submit("echo").result(WAIT_S)["pid"]
    call = pool.submit("wait", {"seconds": 600}, timeout_s=600)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ToolCrashed):
        call.result(WAIT_S)


def test_invalid_json_ends_the_process_and_fails_its_calls(bench: Bench) -> None:
    pool = bench.pool()
    with pytest.raises(ToolCrashed, match="not a JSON-RPC message"):
        pool.submit("garbage", timeout_s=600).result(WAIT_S)
    assert pool.submit("echo").result(WAIT_S)


def test_submitting_to_a_hung_process_does_not_block(bench: Bench) -> None:
    pool = bench.pool(stop_s=0.2)
    pool.submit("echo").result(WAIT_S)
    hung = pool.submit("hang", timeout_s=0.3)
    others = [pool.submit("length", {"text": "t" * 3_000_000}, timeout_s=600) for _ in range(3)]
    with pytest.raises(ToolTimeout, match=r"within 0\.3 s"):
        hung.result(WAIT_S)
    for other in others:  # the hung process is found out by its silence, not by their deadline
        with pytest.raises(ToolCrashed, match="no sign of life"):
            other.result(WAIT_S)
    assert pool.submit("echo").result(WAIT_S)


def test_a_server_that_floods_stderr_is_not_blocked(bench: Bench) -> None:
    assert bench.pool().submit("flood", {"mib": 8}).result(WAIT_S) == {"flooded": True}


def test_a_binary_that_does_not_exist_is_named_at_once(bench: Bench) -> None:
    with RustToolPool(bench.folder / "missing", bench.folder) as pool:
        for _ in range(2):
            with pytest.raises(ToolUnavailable, match=r"missing.*No such file"):
                pool.submit("echo", timeout_s=600).result(WAIT_S)


def test_a_server_that_cannot_start_is_tried_a_few_times_then_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_START", "crash")
    pool = bench.pool()
    futures = [pool.submit("echo", timeout_s=600) for _ in range(3)]
    for future in futures:
        with pytest.raises(ToolUnavailable, match="cannot find my grammar"):
            future.result(WAIT_S)
    starts = len(bench.starts())
    assert starts == 5
    for _ in range(100):  # no crash loop: refused without another start
        with pytest.raises(ToolUnavailable, match="next try in"):
            pool.submit("echo").result(WAIT_S)
    assert len(bench.starts()) == starts
    monkeypatch.delenv("FAKE_START")
    deadline = time.monotonic() + WAIT_S
    while True:  # once the pause is over it is tried again
        with contextlib.suppress(ToolUnavailable):
            assert pool.submit("echo").result(WAIT_S)
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_greets_with_garbage_is_unavailable(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_START", "garbage")
    with pytest.raises(ToolUnavailable, match="not a JSON-RPC message"):
        bench.pool().submit("echo").result(WAIT_S)


def test_a_server_that_never_gets_ready_is_killed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_START", "hang")
    pool = bench.pool(start_s=1.0)
    call = pool.submit("echo")
    eventually(lambda: len(bench.starts()) >= 2)
    monkeypatch.delenv("FAKE_START")
    assert call.result(WAIT_S)


def test_threads_that_call_cancel_and_crash_lose_no_call(bench: Bench) -> None:
    pool = bench.pool(calls_per_process=3, stop_s=0.5)
    ended: list[str] = []

    def caller(seed: int) -> None:
        for n in range(15):
            kind = (seed + n) % 5
            if kind == 0 and seed == 0 and n % 5 == 0:
                call = pool.submit("crash", timeout_s=WAIT_S)
            elif kind == 1:
                call = pool.submit("wait", {"seconds": 600}, timeout_s=WAIT_S)
                call.cancel()
            else:
                call = pool.submit("echo", {"value": n}, timeout_s=WAIT_S)
            try:
                call.result(WAIT_S + 5)
                ended.append("answer")
            except (ToolCrashed, CancelledError) as error:
                ended.append(type(error).__name__)

    threads = [threading.Thread(target=caller, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 6 * 15
    assert "answer" in ended
