"""The tool pool against a server that does everything wrong that a server can do wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from msgspec import Struct

from orchestrator_core.errors import (
    PoolClosed,
    ToolCrashed,
    ToolError,
    ToolRejected,
    ToolTimeout,
    ToolUnavailable,
)
from orchestrator_core.primitives.buffer_pool import BufferPool
from orchestrator_core.runtime.future import CancelledError
from orchestrator_core.runtime.tool_pool import RustToolPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT_S = 20.0


class Bench:
    """A fake server's program, its start log, and pools that are closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "starts"
        self.binary = folder / "server"
        source = Path(__file__).with_name("fake_tool_server.py")
        self.binary.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{source}" "$@"\n')
        self.binary.chmod(0o755)
        self.pools = contextlib.ExitStack()

    def pool(self, **options: Any) -> RustToolPool:
        return self.pools.enter_context(RustToolPool(self.binary, self.folder, **options))

    def starts(self) -> list[int]:
        return [int(pid) for pid in self.log.read_text().split()] if self.log.exists() else []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    monkeypatch.setenv("FAKE_LOG", str(bench.log))
    before = pool_threads(), open_files()
    with bench.pools:
        yield bench
    for pid in bench.starts():
        eventually(lambda pid=pid: not psutil.pid_exists(pid))
    eventually(lambda: (pool_threads(), open_files()) == before)


def pool_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("tool-", "server-"))]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_a_call_gets_its_answer_and_the_pools_root(bench: Bench) -> None:
    answer = bench.pool().submit("echo", {"value": ["é", 1]}).result(WAIT_S)
    assert answer["value"] == ["é", 1]
    assert answer["root"] == str(bench.folder)


async def test_a_call_can_be_awaited(bench: Bench) -> None:
    pool = bench.pool()
    answers = await asyncio.gather(*(pool.submit("echo", {"value": n}) for n in range(10)))
    assert [answer["value"] for answer in answers] == list(range(10))


def test_results_are_decoded_as_the_type_asked_for(bench: Bench) -> None:
    class Echo(Struct):
        value: int
        pid: int

    pool = bench.pool()
    assert pool.submit("echo", {"value": 7}, result_type=Echo).result(WAIT_S).value == 7
    with pytest.raises(ToolError, match="echo answered in a form"):
        pool.submit("echo", {"value": "x"}, result_type=Echo).result(WAIT_S)


def test_the_servers_tools_are_listed(bench: Bench) -> None:
    (tool,) = bench.pool().list_tools().result(WAIT_S)
    assert tool.name == "echo"
    assert tool.input_schema["type"] == "object"


def test_sixty_four_calls_at_once_on_a_cold_pool_are_all_answered(bench: Bench) -> None:
    pool = bench.pool()
    futures = [pool.submit("echo", {"value": n}) for n in range(64)]
    answers = [future.result(WAIT_S) for future in futures]
    assert [answer["value"] for answer in answers] == list(range(64))
    assert 1 <= len(bench.starts()) <= 4
    assert pool.stats().calls == 64


def test_calls_share_one_process_until_it_is_full(bench: Bench) -> None:
    pool = bench.pool(calls_per_process=2, max_processes=2)
    first = [pool.submit("wait", {"seconds": 60}) for _ in range(2)]
    eventually(lambda: pool.stats().busy == 1)
    assert len(bench.starts()) == 1
    more = [pool.submit("wait", {"seconds": 60}) for _ in range(5)]
    eventually(lambda: pool.stats().busy == 2)
    assert pool.stats().processes == 2
    for future in first + more:
        assert future.cancel()
    assert pool.submit("echo").result(WAIT_S)
    assert len(bench.starts()) == 2


def test_an_error_answer_keeps_its_code_and_data(bench: Bench) -> None:
    with pytest.raises(ToolRejected, match="unknown tool 'nonsense'") as caught:
        bench.pool().submit("nonsense").result(WAIT_S)
    assert caught.value.code == -32602
    assert caught.value.data == {"tools": ["echo"]}


def test_a_result_marked_as_an_error_is_one(bench: Bench) -> None:
    with pytest.raises(ToolRejected, match="the pattern is wrong"):
        bench.pool().submit("is_error").result(WAIT_S)


def test_arguments_that_are_not_json_are_refused_at_once(bench: Bench) -> None:
    with pytest.raises(ToolRejected, match="cannot be sent"):
        bench.pool().submit("echo", {"value": object()})
    with pytest.raises(ToolRejected, match="cannot be sent"):
        bench.pool().submit("echo", {"value": "\udc80"})


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


def test_an_answer_of_200_megabytes_arrives(bench: Bench) -> None:
    answer = bench.pool().submit("big", {"bytes": 200_000_000}, timeout_s=60).result(60)
    assert len(answer["text"]) == 200_000_000


def test_answers_are_read_through_pooled_buffers(bench: Bench) -> None:
    buffers = BufferPool()
    pool = bench.pool(idle_s=0.1, buffers=buffers)
    for _ in range(2):
        answer = pool.submit("big", {"bytes": 5_000_000}).result(WAIT_S)
        assert len(answer["text"]) == 5_000_000
        eventually(lambda: pool.stats().processes == 0)
    counts = buffers.stats()
    assert counts.in_use == 0
    assert counts.hit_rate > 0


def test_arguments_larger_than_the_pipe_are_sent_without_blocking(bench: Bench) -> None:
    pool = bench.pool()
    text = "t" * 5_000_000
    futures = [pool.submit("length", {"text": text}) for _ in range(4)]
    assert [future.result(WAIT_S)["length"] for future in futures] == [5_000_000] * 4


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


def test_the_deadline_of_a_call_stops_its_work(bench: Bench) -> None:
    pool = bench.pool()
    pool.submit("echo").result(WAIT_S)
    with pytest.raises(ToolTimeout):
        pool.submit("wait", {"seconds": 600}, timeout_s=0.05).result(WAIT_S)
    assert pool.submit("was_cancelled").result(WAIT_S) == {"count": 1}
    assert len(bench.starts()) == 1


def test_a_call_that_waits_for_a_process_has_a_deadline_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_START", "hang")
    with pytest.raises(ToolTimeout):
        bench.pool(stop_s=0.2).submit("echo", timeout_s=0.1).result(WAIT_S)


def test_cancelling_a_future_stops_the_work(bench: Bench) -> None:
    pool = bench.pool()
    pool.submit("echo").result(WAIT_S)
    call = pool.submit("wait", {"seconds": 600})
    assert call.cancel()
    with pytest.raises(CancelledError):
        call.result(WAIT_S)
    assert pool.submit("was_cancelled").result(WAIT_S) == {"count": 1}


async def test_cancelling_the_awaiting_task_stops_the_work(bench: Bench) -> None:
    pool = bench.pool()
    await pool.submit("echo")

    async def work() -> None:
        await pool.submit("wait", {"seconds": 600})

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.submit("was_cancelled") == {"count": 1}


def test_a_waiting_call_that_is_cancelled_is_never_sent(bench: Bench) -> None:
    pool = bench.pool(max_processes=1, calls_per_process=1)
    running = pool.submit("wait", {"seconds": 600})
    waiting = pool.submit("crash")
    assert waiting.cancel()
    assert running.cancel()
    assert pool.submit("echo").result(WAIT_S)
    assert len(bench.starts()) == 1


def test_a_process_that_does_not_stop_a_cancelled_call_is_killed(bench: Bench) -> None:
    pool = bench.pool(stop_s=0.2)
    old = pool.submit("echo").result(WAIT_S)["pid"]
    pool.submit("stubborn", {"seconds": 600}).cancel()
    eventually(lambda: not psutil.pid_exists(old))
    assert pool.submit("echo").result(WAIT_S)["pid"] != old


def test_a_stubborn_call_does_not_take_the_others_with_it(bench: Bench) -> None:
    pool = bench.pool(stop_s=0.1)
    old = pool.submit("echo").result(WAIT_S)["pid"]
    other = pool.submit("stubborn", {"seconds": 0.6})
    pool.submit("stubborn", {"seconds": 600}).cancel()
    assert other.result(WAIT_S) == {"pid": old}
    eventually(lambda: not psutil.pid_exists(old))


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


def test_overlays_reach_live_and_later_processes(bench: Bench) -> None:
    pool = bench.pool(idle_s=0.1)
    pool.set_overlay("a.py", "one")
    assert pool.submit("overlays").result(WAIT_S) == {"a.py": "one"}
    pool.set_overlay("a.py", "two")
    pool.set_overlay("b.py", "three")
    assert pool.submit("overlays").result(WAIT_S) == {"a.py": "two", "b.py": "three"}
    pool.clear_overlay("a.py")
    pool.clear_overlay("never-set.py")
    assert pool.submit("overlays").result(WAIT_S) == {"b.py": "three"}
    eventually(lambda: pool.stats().processes == 0)
    assert pool.submit("overlays").result(WAIT_S) == {"b.py": "three"}


def test_without_persistence_each_call_has_a_process_and_the_same_result(bench: Bench) -> None:
    pool = bench.pool(persistent=False)
    pool.set_overlay("a.py", "one")
    assert pool.submit("overlays").result(WAIT_S) == {"a.py": "one"}
    pids = {pool.submit("echo", {"value": n}).result(WAIT_S)["pid"] for n in range(3)}
    assert len(pids) == 3
    assert len(bench.starts()) == 4
    eventually(lambda: pool.stats().processes == 0)
    with pytest.raises(ToolRejected, match="unknown tool"):
        pool.submit("nonsense").result(WAIT_S)


def test_without_persistence_many_calls_run_a_few_at_a_time(bench: Bench) -> None:
    pool = bench.pool(persistent=False, max_processes=2)
    futures = [pool.submit("echo", {"value": n}) for n in range(6)]
    most = pool.stats().processes
    assert sorted(future.result(WAIT_S)["value"] for future in futures) == list(range(6))
    assert most == 2
    assert len(bench.starts()) == 6


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
    pool = bench.pool(start_s=0.2)
    call = pool.submit("echo")
    eventually(lambda: len(bench.starts()) >= 2)
    monkeypatch.delenv("FAKE_START")
    assert call.result(WAIT_S)


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
