"""Calls of the tool pool, their answers, and the processes that they share."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import Struct

from core.runtime.tool_bench import WAIT_S, Bench, eventually
from orchestrator_core.errors import (
    ToolError,
    ToolRejected,
)
from orchestrator_core.primitives.buffer_pool import BufferPool


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
