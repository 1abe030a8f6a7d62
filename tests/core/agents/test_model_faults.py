"""What goes wrong on the model's side, over real connections to a scripted server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_core.agents.api_choice import Api, LazyApi
from orchestrator_core.agents.budget import Budget
from orchestrator_core.agents.chat import ToolCall, ToolResult, ToolSpec
from orchestrator_core.agents.conversation import Conversation
from orchestrator_core.agents.model_gate import ModelGate
from orchestrator_core.errors import AgentError, BudgetExceeded
from orchestrator_core.primitives.backoff import Backoff
from orchestrator_core.runtime.circuit import CircuitBreaker
from orchestrator_core.runtime.concurrency import ConcurrencyController
from orchestrator_core.safety import BudgetLimits
from scripted_model import OVERFLOW, ModelProcess, call, rule, say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

MODEL = "openai:scripted"


class Tools:
    """One tool, which answers with what it was given, many times over."""

    specs = (
        ToolSpec("echo", "Echo.", {"type": "object", "properties": {"text": {"type": "string"}}}),
    )

    def __init__(self, times: int = 1) -> None:
        self.calls: list[str] = []
        self._times = times

    async def call(self, call: ToolCall) -> ToolResult:
        """Answer."""
        self.calls.append(call.arguments)
        return ToolResult(call, call.arguments * self._times)


class Line:
    """A conversation with a scripted server, and what became of it."""

    def __init__(
        self, process: ModelProcess, talk: Conversation, budget: Budget, gate: ModelGate
    ) -> None:
        self.process = process
        self.talk = talk
        self.budget = budget
        self.gate = gate
        self.slept: list[float] = []
        self.heard: list[str] = []


@asynccontextmanager
async def line(
    folder: Path,
    *answers: dict[str, Any],
    silent_s: float = 5.0,
    context_tokens: int = 100_000,
    limits: BudgetLimits | None = None,
    concurrency: ConcurrencyController | None = None,
    again: bool = False,
) -> AsyncGenerator[Line]:
    """A conversation whose waits are noted and not waited."""
    with ModelProcess(folder, rule(*answers, again=again)) as process:
        model = LazyApi(Api("openai", "scripted", process.base_url, "NO_KEY"), silent_s, {})
        slept: list[float] = []
        heard: list[str] = []
        now = 0.0

        async def sleep(seconds: float) -> None:
            nonlocal now
            slept.append(seconds)
            now += seconds

        gate = ModelGate(
            model,
            concurrency or ConcurrencyController(),
            backoff=lambda: Backoff(0.5, 30.0),
            sleep=sleep,
            clock_s=lambda: now,
        )
        budget = Budget(limits or BudgetLimits())
        talk = Conversation(
            gate, "system", budget, context_tokens=context_tokens, max_output_tokens=500,
            on_text=heard.append,
        )  # fmt: skip
        made = Line(process, talk, budget, gate)
        made.slept, made.heard = slept, heard
        try:
            yield made
        finally:
            await gate.close()


async def test_text_comes_piece_by_piece_and_its_cost_is_counted(tmp_path: Path) -> None:
    async with line(tmp_path, say("one two three four")) as on:
        assert await on.talk.work("go") == "one two three four"
        assert len(on.heard) > 1
        assert "".join(on.heard) == "one two three four"
        spent = on.budget.spent()
    assert spent.requests == 1
    assert spent.tokens > 0
    assert spent.reserved_tokens == 0


async def test_too_many_requests_are_waited_for_as_long_as_asked(tmp_path: Path) -> None:
    busy = {"status": 429, "headers": {"retry-after": "7"}}
    async with line(tmp_path, busy, say("done")) as on:
        assert await on.talk.work("go") == "done"
    assert sum(on.slept) == 7


async def test_a_wait_that_is_too_long_fails_with_its_reason(tmp_path: Path) -> None:
    async with line(tmp_path, {"status": 429, "headers": {"retry-after": "9000"}}) as on:
        with pytest.raises(AgentError, match="asks to wait 9000 s"):
            await on.talk.work("go")
        assert on.slept == []


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
async def test_a_server_that_fails_is_asked_again_later(tmp_path: Path, status: int) -> None:
    async with line(tmp_path, {"status": status}, {"status": status}, say("done")) as on:
        assert await on.talk.work("go") == "done"
    assert on.slept == [0.5, 1.0]


@pytest.mark.parametrize("pieces", [0, 1, 4])
async def test_a_stream_that_is_cut_is_asked_for_again(tmp_path: Path, pieces: int) -> None:
    async with line(tmp_path, say("a long answer " * 9, cut=pieces), say("done")) as on:
        assert await on.talk.work("go") == "done"


async def test_a_silent_model_is_given_up_and_asked_again(tmp_path: Path) -> None:
    async with line(tmp_path, {"hang": True}, say("done"), silent_s=0.3) as on:
        assert await on.talk.work("go") == "done"


async def test_a_model_that_always_fails_ends_with_a_reason(tmp_path: Path) -> None:
    async with line(tmp_path, {"status": 503}, again=True) as on:
        with pytest.raises(AgentError, match=r"503.*tried 6 times"):
            await on.talk.work("go")


async def test_a_server_that_is_not_there_ends_with_a_reason(tmp_path: Path) -> None:
    async with line(tmp_path) as on:
        on.process._process.kill()
        on.process._process.wait()
        with pytest.raises(AgentError, match="tried 6 times"):
            await on.talk.work("go")


@pytest.mark.parametrize(("status", "hint"), [(401, "API key"), (404, "name"), (400, "400")])
async def test_what_cannot_go_well_is_not_tried_again(
    tmp_path: Path, status: int, hint: str
) -> None:
    async with line(tmp_path, {"status": status}, say("never")) as on:
        with pytest.raises(AgentError, match=hint):
            await on.talk.work("go")
        assert on.slept == []
        assert len(on.process.requests) == 1


async def test_a_refusal_fails_with_what_was_said(tmp_path: Path) -> None:
    async with line(tmp_path, {"refusal": "I will not do that."}) as on:
        with pytest.raises(AgentError, match="refused"):
            await on.talk.work("go")


async def test_an_empty_answer_is_asked_for_again_a_few_times(tmp_path: Path) -> None:
    async with line(tmp_path, say(""), say("  "), say("done")) as on:
        assert await on.talk.work("go") == "done"
    async with line(tmp_path, say(""), again=True) as on:
        with pytest.raises(AgentError, match="nothing usable 3 times"):
            await on.talk.work("go")


async def test_an_answer_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    async with line(tmp_path, say("half", finish="length"), say("whole")) as on:
        assert await on.talk.work("go") == "whole"


async def test_a_malformed_call_reaches_the_tool_as_written(tmp_path: Path) -> None:
    broken = {"calls": [{"name": "echo", "arguments": '{"text": '}]}
    tools = Tools()
    async with line(tmp_path, broken, call("echo", text="x"), say("done")) as on:
        assert await on.talk.work("go", tools, turns=5) == "done"
        assert tools.calls[0] == '{"text": '
        assert len(on.process.requests) == 3


async def test_a_model_that_never_ends_is_stopped(tmp_path: Path) -> None:
    async with line(tmp_path, call("echo", text="x"), again=True) as on:
        with pytest.raises(AgentError, match="after 4 turns"):
            await on.talk.work("go", Tools(), turns=4)
        assert len(on.process.requests) == 4


async def test_a_conversation_that_is_too_long_loses_the_oldest_answers(tmp_path: Path) -> None:
    answers = (call("echo", text="first"), call("echo", text="second"), OVERFLOW, say("done"))
    async with line(tmp_path, *answers) as on:
        assert await on.talk.work("go", Tools(times=100), turns=9) == "done"
        last = on.process.requests[-1]["body"]["messages"]
    tools = [m["content"] for m in last if m["role"] == "tool"]
    assert "left out to save room" in tools[0]
    assert "left out" not in tools[1]


async def test_room_is_made_before_the_limit_is_met(tmp_path: Path) -> None:
    answers = (call("echo", text="first"), call("echo", text="second"), say("done"))
    async with line(tmp_path, *answers, context_tokens=2_000) as on:
        assert await on.talk.work("go", Tools(times=200), turns=9) == "done"
        assert all(r["ended"] == "told" for r in on.process.requests)


async def test_what_is_too_long_without_answers_fails_with_advice(tmp_path: Path) -> None:
    async with line(tmp_path, OVERFLOW) as on:
        with pytest.raises(AgentError, match="longer context"):
            await on.talk.work("go")


async def test_cancelling_in_mid_stream_ends_the_request_at_once(tmp_path: Path) -> None:
    async with line(tmp_path, say("word " * 5000, chunk_s=0.01)) as on:
        heard = asyncio.Event()

        def hear(_: str) -> None:
            heard.set()

        on.talk._on_text = hear
        work = asyncio.ensure_future(on.talk.work("go"))
        await asyncio.wait_for(heard.wait(), 20)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        async with asyncio.timeout(10):
            while on.process.log()["active"]:
                await asyncio.sleep(0.01)
        assert [r["ended"] for r in on.process.requests] == ["gone"]
        assert on.budget.spent().tokens >= 500  # nobody knows what it cost: all that was reserved


async def test_no_call_is_made_that_the_budget_does_not_cover(tmp_path: Path) -> None:
    async with line(tmp_path, say("never"), limits=BudgetLimits(tokens=400)) as on:
        with pytest.raises(BudgetExceeded, match="tokens"):
            await on.talk.work("go")
        assert on.process.requests == []


async def test_a_failing_model_opens_its_circuit_for_everybody(tmp_path: Path) -> None:
    circuit = lambda: CircuitBreaker(failures=3, open_s=1000)  # noqa: E731
    concurrency = ConcurrencyController(circuit=circuit)
    async with line(tmp_path, {"status": 500}, again=True, concurrency=concurrency) as on:
        with pytest.raises(AgentError, match="500"):
            await on.talk.work("go")
        with pytest.raises(AgentError, match="failed too often"):
            await on.talk.work("again")
        assert len(on.process.requests) == 3
        assert concurrency.stats("model")[MODEL].circuit == "open"
        assert on.budget.spent().reserved_tokens == 0


async def test_a_busy_model_keeps_its_circuit(tmp_path: Path) -> None:
    concurrency = ConcurrencyController(circuit=lambda: CircuitBreaker(failures=2))
    busy = {"status": 429, "headers": {"retry-after": "1"}}
    async with line(tmp_path, busy, busy, busy, say("done"), concurrency=concurrency) as on:
        assert await on.talk.work("go") == "done"
        assert concurrency.stats("model")[MODEL].circuit == "closed"
