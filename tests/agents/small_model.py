"""A real small model through our own backend: plan, stream, cancel, limits. By ``make test-agents``.

Its 135 million parameters write no sensible plan. So what is tested is what holds whatever a model
says: answers stream and are counted, plans that cannot be read go back three times at most, a
cancelled request is silent, and limits end a mission cleanly.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest

from orchestrator_core.agents.api_choice import Api, LazyApi
from orchestrator_core.agents.budget import Budget
from orchestrator_core.agents.conversation import Conversation
from orchestrator_core.agents.model_gate import ModelGate
from orchestrator_core.agents.role_talk import agree_on_plan
from orchestrator_core.config import ModelSettings, Settings
from orchestrator_core.errors import AgentError, RequestError
from orchestrator_core.orchestrator import Orchestrator
from orchestrator_core.places import Places
from orchestrator_core.records import MissionStatus, Spent
from orchestrator_core.runtime.concurrency import ConcurrencyController
from orchestrator_core.safety import BudgetLimits
from orchestrator_core.services import Services
from scripted_backend import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

INSTALLED = Path(os.environ["TEST_AGENTS"]).absolute()
CONTEXT_TOKENS = 8192
REPLY_TOKENS = 256
DEADLINE_S = 240
"""A thread that answers 60 tokens a second has enough of it, beside whatever else runs."""


class Server:
    """The model's process."""

    def __init__(self, address: str) -> None:
        self.address = address

    def busy(self) -> bool:
        """Whether it works on an answer."""
        with urllib.request.urlopen(f"{self.address}/slots", timeout=30) as answer:
            return any(slot["is_processing"] for slot in json.load(answer))


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    """The model, on loopback."""
    python = INSTALLED / "model" / "bin" / "python"
    line = [python, Path(__file__).parent / "model_server.py", str(CONTEXT_TOKENS)]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), address
        listening = psutil.Process(process.pid).net_connections("tcp")
        assert {place.laddr.ip for place in listening} == {"127.0.0.1"}
        yield Server(address)
        assert process.stdin is not None
        process.stdin.close()
        process.kill()


class Line:
    """One conversation with the model."""

    def __init__(self, server: Server, limits: BudgetLimits) -> None:
        api = Api("openai", "smollm2", f"{server.address}/v1", "NO_KEY")
        self.gate = ModelGate(LazyApi(api, 120.0, {}), ConcurrencyController())
        self.budget = Budget(limits)
        self.heard: list[str] = []
        self.began = asyncio.Event()
        self.talk = Conversation(
            self.gate,
            "You are a helpful assistant.",
            self.budget,
            context_tokens=CONTEXT_TOKENS,
            max_output_tokens=REPLY_TOKENS,
            on_text=self._hear,
        )

    def _hear(self, text: str) -> None:
        self.heard.append(text)
        self.began.set()


@asynccontextmanager
async def line(server: Server, limits: BudgetLimits | None = None) -> AsyncGenerator[Line]:
    made = Line(server, limits or BudgetLimits())
    try:
        yield made
    finally:
        await made.gate.close()


@asynccontextmanager
async def opened(root: Path, server: Server, budget: BudgetLimits) -> AsyncGenerator[Orchestrator]:
    """The orchestrator of a small project, on the model."""
    root.mkdir(exist_ok=True)
    (root / "app.py").write_text("def total(items):\n    return sum(items)\n")
    model = ModelSettings(
        name="openai:smollm2",
        base_url=f"{server.address}/v1",
        context_tokens=CONTEXT_TOKENS,
        max_output_tokens=REPLY_TOKENS,
    )
    settings = Settings(backend="llm", model=model, budget=budget)
    places = Places.of(root, state=root.parent / "state", cache=root.parent / "cache")
    engine = Orchestrator(await Services.open(root, settings, Recorder(), places=places))
    try:
        yield engine
    finally:
        await engine.close()


async def idle(server: Server) -> None:
    """Wait until the model works on nothing."""
    async with asyncio.timeout(30):
        while await asyncio.to_thread(server.busy):
            await asyncio.sleep(0.01)


async def test_an_answer_streams_and_is_counted(server: Server) -> None:
    async with line(server) as on, asyncio.timeout(DEADLINE_S):
        begun = time.monotonic()
        said = await on.talk.work("Name three fruits.")
        took_s = time.monotonic() - begun
    spent = on.budget.spent()
    print(f"\n{len(on.heard)} pieces in {took_s:.1f} s, {spent.tokens} tokens: {said[:60]!r}")
    assert said.strip()
    assert "".join(on.heard) == said
    assert len(on.heard) > 5
    assert (spent.requests, spent.reserved_tokens) == (1, 0)
    assert 10 < spent.tokens < 10 + 60 + REPLY_TOKENS


async def test_plans_that_cannot_be_read_go_back_three_times_at_most(server: Server) -> None:
    asked: list[str] = []
    async with line(server) as on, asyncio.timeout(DEADLINE_S):

        async def ask(text: str) -> str:
            asked.append(text)
            return await on.talk.work(text)

        with pytest.raises(AgentError, match="3 plans that cannot be read"):
            await agree_on_plan(ask, "Tell me about bananas, in one sentence.", "smollm2")
    assert len(asked) == 3
    assert all("cannot be read" in text for text in asked[1:])
    assert on.budget.spent().requests >= 3


async def test_a_mission_ends_with_a_clear_reason_and_nothing_changed(
    server: Server, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    async with opened(root, server, BudgetLimits(requests=8)) as engine:
        mission = await engine.start(engine.plans.request("add a function that greets to app.py"))
        report = await asyncio.wait_for(mission.wait(), DEADLINE_S)
    print(f"\n{report.status}: {report.reason}\n{report.stats['spent']}")
    assert report.status in (MissionStatus.FAILED, MissionStatus.CANCELLED)
    assert "smollm2" in report.reason or "budget" in report.reason
    assert (root / "app.py").read_text() == "def total(items):\n    return sum(items)\n"
    await idle(server)


async def test_cancelling_in_mid_stream_leads_to_silence(server: Server) -> None:
    async with line(server) as on, asyncio.timeout(DEADLINE_S):
        work = asyncio.ensure_future(on.talk.work("Tell a very long story about a ship."))
        await on.began.wait()
        work.cancel()
        begun = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await work
        heard = len(on.heard)
        await idle(server)
        print(f"\nsilent {1000 * (time.monotonic() - begun):.0f} ms after the cancel")
    assert len(on.heard) == heard
    assert on.budget.spent().tokens >= REPLY_TOKENS  # nobody knows what it cost: all of it


async def test_stopping_a_mission_ends_the_request(server: Server, tmp_path: Path) -> None:
    async with opened(tmp_path / "project", server, BudgetLimits()) as engine:
        mission = await engine.start(engine.plans.request("add a function that greets to app.py"))
        async with asyncio.timeout(DEADLINE_S):
            while not await asyncio.to_thread(server.busy):
                await asyncio.sleep(0.01)
        mission.stop("enough")
        report = await asyncio.wait_for(mission.wait(), 30)
        assert report.status is MissionStatus.CANCELLED
        await idle(server)


async def test_limits_end_a_mission_that_can_go_on_with_more(
    server: Server, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    async with opened(root, server, BudgetLimits(requests=1)) as engine:
        mission = await engine.start(engine.plans.request("add a function that greets to app.py"))
        report = await asyncio.wait_for(mission.wait(), DEADLINE_S)
        first = msgspec.convert(report.stats["spent"], Spent)
        assert report.status is MissionStatus.CANCELLED, report.reason
        assert "budget of 1 requests" in report.reason
        with pytest.raises(RequestError, match="not resumed"):
            await engine.resume(mission.id)
    async with opened(root, server, BudgetLimits(requests=2)) as engine:
        report = await asyncio.wait_for((await engine.resume()).wait(), DEADLINE_S)
        second = msgspec.convert(report.stats["spent"], Spent)
    print(f"\n{first}\n{second}")
    assert report.mission == mission.id
    assert report.status is MissionStatus.CANCELLED, report.reason
    assert (first.requests, second.requests) == (1, 2)
    assert second.tokens > first.tokens


async def test_no_call_is_made_that_the_limits_do_not_cover(server: Server) -> None:
    async with line(server, BudgetLimits(tokens=REPLY_TOKENS)) as on:
        with pytest.raises(AgentError, match="budget"):
            await on.talk.work("Name three fruits.")
    assert on.budget.spent().requests == 0
    assert not server.busy()
